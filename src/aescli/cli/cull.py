"""`aes cull`: which frames of a shoot to keep, to look at again, or to let go."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import console, options
from aescli.cli.shoot import ScoresOption, gather
from aescli.cli.stopping import stopping
from aescli.cli.writing import closing_with, named_file, on_terminal, open_output
from aescli.errors import ExitCode, UsageError
from aescli.images.picture import MAX_PIXELS, Decoding
from aescli.names import escape
from aescli.writers.opening import choose_format

if TYPE_CHECKING:
    from aescli.culling.moving import Done
    from aescli.culling.proposing import Proposal, Verdict

_WAYS = ("move", "link")
_USUAL = {"move": "review,reject", "link": "keep,review,reject"}


def cull(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs.")] = None,
    *,
    scores: ScoresOption = None,
    model: options.ModelOption = "mini",
    dims: options.DimsOption = "overall",
    gap: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="From one frame of a burst to the next, at most.")] = 2.0,
    alike: Annotated[int, typer.Option(min=0, max=7, metavar="BITS", help="How much the hashes of near-duplicates may differ, of 64.")] = 6,
    keep: Annotated[int, typer.Option(min=1, help="How many of a group to keep.")] = 1,
    reject: Annotated[float, typer.Option(min=0, max=100, metavar="PERCENT", help="The lowest part of the shoot that may be rejected.")] = 10.0,
    apply: Annotated[bool, typer.Option("--apply/--dry-run", help="Move or link; the proposal alone otherwise.")] = False,
    by: Annotated[str, typer.Option(metavar="move|link", help="Move files, or give them a second name on the same disk.")] = "move",
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where --apply makes the folders keep, review and reject.")] = None,
    verdicts: Annotated[str | None, typer.Option(metavar="NAMES", help="Whom --apply concerns: review,reject when moving, else all.")] = None,
    max_pixels: options.MaxPixelsOption = MAX_PIXELS,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last --apply back.")] = False,
    format: options.FormatOption = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", callback=options.keep_pictures, rich_help_panel=options.OUTPUT, help="Write the proposal to a file.")] = None,
) -> ExitCode:  # fmt: skip
    """Group bursts and near-duplicates, rank inside each group, and propose keep, review or reject.

    Nothing is moved or linked without --apply, and nothing is ever deleted.

    aes cull ./shoot -o cull.csv

    aes cull ./shoot --apply --into ./culled
    """
    from aescli.culling.proposing import CullOptions, propose
    from aescli.images.opening import Opener

    if undo:
        return _undo(paths, scores)
    if by not in _WAYS:
        raise UsageError(f"'{escape(by)}' is no value of --by", hint=f"--by {'|'.join(_WAYS)}")
    if apply and into is None:
        raise UsageError("--apply needs a folder", hint="--apply --into ./culled")
    concerned = _parse_verdicts(verdicts or _USUAL[by])
    target = named_file(output)
    name = choose_format(format, target, on_terminal=on_terminal(target))
    with stopping():
        rows = gather(paths, scores, model, max_pixels, dims)
        with Opener(Decoding(max_pixels=max_pixels)) as opener:
            proposals = propose(rows, CullOptions(gap, alike, keep, reject), opener)
        beforehand = target is not None and (target.is_file() or not target.exists())
        if beforehand:  # it may be that it cannot be written
            _write(proposals, name, target)
        problems = _apply(proposals, into, by, concerned) if apply and into else []
        if not beforehand:  # in a pipe nobody may be reading, and files are to be moved all the same
            with closing_with(lambda: _close(proposals, problems, applied=True), changed=apply):
                _write(proposals, name, target)
    return _close(proposals, problems, applied=apply)


def _parse_verdicts(text: str) -> list["Verdict"]:
    from aescli.culling.proposing import Verdict

    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in {str(each) for each in Verdict}]:
        raise UsageError(f"'{escape(unknown[0])}' is no verdict", hint=f"--verdicts {','.join(Verdict)}")
    return [Verdict(word) for word in words]


def _write(proposals: Sequence["Proposal"], name: str, target: Path | None) -> None:
    from aescli.writers.proposals import write_proposals

    with open_output(target) as stream:
        write_proposals(proposals, name, stream, colour=target is None and console.wants_colour(sys.stdout))


def _apply(proposals: Sequence["Proposal"], into: Path, by: str, verdicts: list["Verdict"]) -> list["Done"]:
    from aescli.culling.moving import carry_out, plan_steps

    steps = plan_steps(proposals, into, verdicts)
    if not steps:
        console.print_note(f"nothing is {' or '.join(verdicts)}: no file was touched")
        return []
    with closing(carry_out(steps, by, into)) as done:
        problems = [each for each in done if each.problem]
    for each in problems:
        console.print_note(f"{escape(each.path)}: {each.problem}")
    console.print_note(
        f"{len(steps) - len(problems)} files {'moved' if by == 'move' else 'linked'} to {into}; aes cull --undo takes it back"
    )
    return problems


def _close(proposals: Sequence["Proposal"], problems: Sequence["Done"], *, applied: bool) -> ExitCode:
    from aescli.results import Failure

    counts = Counter(each.verdict for each in proposals)
    groups = len({each.group for each in proposals if each.group})
    failed = sum(isinstance(each.row, Failure) for each in proposals)
    listed = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    console.print_note(f"{listed}; {groups} groups of frames alike" + (f"; {failed} have no score" if failed else ""))
    if not applied:
        console.print_note("nothing was moved: --apply --into FOLDER does")
    return ExitCode.SOME_FAILED if problems or failed else ExitCode.OK


def _undo(paths: list[str] | None, scores: Path | None) -> ExitCode:
    from aescli.culling.moving import JOURNAL, put_back
    from aescli.journal import last_run, take_back

    if paths or scores:
        raise UsageError("--undo takes the whole last run back, whatever is named", hint="aes cull --undo")
    console.tell_run(last_run(JOURNAL))
    with stopping(), closing(take_back(JOURNAL, put_back)) as found:
        done = list(found)
    problems = [each for each in done if each.problem]
    for each in problems:
        console.print_note(f"{escape(each.path)}: {each.problem}")
    console.print_note(f"{len(done) - len(problems)} of {len(done)} files are where they were")
    return ExitCode.SOME_FAILED if problems else ExitCode.OK
