"""`aes tag`: stars or colour labels beside the pictures, where a photographer's programs read them."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli import __version__
from aescli.cli import console, options
from aescli.cli.shoot import ScoresOption, gather
from aescli.cli.stopping import stopping
from aescli.cli.writing import closing_with, named_file, on_terminal, open_output
from aescli.errors import ExitCode, UsageError
from aescli.images.picture import MAX_PIXELS
from aescli.names import escape
from aescli.writers.opening import choose_format

if TYPE_CHECKING:
    from aescli.tagging.planning import Tag, TagOptions

_WRITES = ("stars", "labels")


def tag(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs.")] = None,
    *,
    scores: ScoresOption = None,
    model: options.ModelOption = "mini",
    stars: Annotated[str, typer.Option(metavar="RULE", help="percentile of the shoot or score, with bounds of 5, 4, 3 and 2 stars: score:8,7,6,5.")] = "percentile",
    write: Annotated[str, typer.Option(metavar="stars|labels", help="Stars, or a colour label for each number of stars.")] = "stars",
    colours: Annotated[str, typer.Option(metavar="NAMES", help="Labels of 5 to 1 stars, as your program spells them.")] = "Purple,Blue,Green,Yellow,Red",
    sidecar: Annotated[str, typer.Option(metavar="auto|darktable|adobe", help="x.jpg.xmp or x.xmp; auto goes by what is there.")] = "auto",
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Write; the plan alone otherwise.")] = False,
    max_pixels: options.MaxPixelsOption = MAX_PIXELS,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last --apply back.")] = False,
    format: options.FormatOption = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", callback=options.keep_pictures, rich_help_panel=options.OUTPUT, help="Write the plan to a file.")] = None,
) -> ExitCode:  # fmt: skip
    """Write stars or colour labels to XMP sidecars; without --apply only say what would be written.

    What a person has rated stays as it is, pictures are never touched, and everything else in a sidecar survives.

    aes tag ./photos --apply
    """
    from aescli.tagging.applying import apply_tags
    from aescli.tagging.planning import plan_tags

    if undo:
        return _undo(paths, scores)
    wanted = _understand(stars, write, colours, sidecar)
    target = named_file(output)
    name = choose_format(format, target, on_terminal=on_terminal(target))
    with stopping():
        plan = plan_tags(gather(paths, scores, model, max_pixels), wanted)
        if apply:
            with closing(apply_tags(plan)) as tags, console.Bar(lambda: len(plan), "tagging") as bar:
                done = []
                for each in tags:
                    bar.advance(each)
                    done.append(each)
            plan = done
        with closing_with(lambda: _close(plan, wanted, applied=True), changed=apply):
            _write(plan, name, target)
    return _close(plan, wanted, applied=apply)


def _understand(stars: str, write: str, colours: str, sidecar: str) -> "TagOptions":
    from aescli.tagging.naming import STYLES
    from aescli.tagging.planning import TagOptions
    from aescli.tagging.rules import parse_rule

    if write not in _WRITES:
        raise UsageError(f"'{escape(write)}' is no value of --write", hint=f"--write {'|'.join(_WRITES)}")
    if sidecar not in STYLES:
        raise UsageError(f"'{escape(sidecar)}' is no value of --sidecar", hint=f"--sidecar {'|'.join(STYLES)}")
    labels = tuple(each.strip() for each in colours.split(","))
    if len(set(labels)) != 5 or not all(labels):
        raise UsageError(
            f"--colours names {len(set(labels))} labels, not one for each of 5 to 1 stars",
            hint="--colours Purple,Blue,Green,Yellow,Red",
        )
    return TagOptions(parse_rule(stars), write, sidecar, labels, tool=f"aes {__version__}")


def _write(plan: Sequence["Tag"], name: str, target: Path | None) -> None:
    from aescli.writers.sheet import Column, open_sheet

    columns = (
        Column("action"), Column("stars", "count"), Column("label"), Column("overall", "number"),
        Column("percentile", "number"), Column("path", "path"), Column("sidecar", "path"), Column("reason"),
    )  # fmt: skip
    with open_output(target) as stream:
        sheet = open_sheet(name, stream, columns, colour=target is None and console.wants_colour(sys.stdout))
        for each in plan:
            sheet.write(
                [
                    each.action,
                    each.stars,
                    each.label,
                    each.overall,
                    each.percentile,
                    each.path,
                    each.sidecar or None,
                    each.reason,
                ]
            )
        sheet.finish()


def _close(plan: Sequence["Tag"], wanted: "TagOptions", *, applied: bool) -> ExitCode:
    from aescli.tagging.planning import Action

    counts = Counter(each.action for each in plan)
    changes = counts[Action.CREATE] + counts[Action.UPDATE]
    listed = ", ".join(f"{counts[action]} {action}" for action in Action if counts[action])
    console.print_note(f"{wanted.writes} by {wanted.rule}: {listed}")
    if applied:
        console.print_note("written; aes tag --undo takes it back" if changes else "no file was touched")
    elif changes:
        console.print_note("nothing was written: --apply does")
    return ExitCode.SOME_FAILED if counts[Action.CONFLICT] or counts[Action.FAILED] else ExitCode.OK


def _undo(paths: list[str] | None, scores: Path | None) -> ExitCode:
    from aescli.journal import last_run, take_back
    from aescli.tagging.applying import undo_tag
    from aescli.tagging.planning import JOURNAL

    if paths or scores:
        raise UsageError("--undo takes the whole last run back, whatever is named", hint="aes tag --undo")
    console.tell_run(last_run(JOURNAL))
    with stopping(), closing(take_back(JOURNAL, undo_tag)) as found:
        undone = list(found)
    for each in undone:
        if each.problem:
            console.print_note(f"{escape(each.path)} {escape(each.problem)}")
    done = sum(not each.problem for each in undone)
    console.print_note(f"{done} of {len(undone)} sidecars are as they were")
    return ExitCode.OK if done == len(undone) else ExitCode.SOME_FAILED
