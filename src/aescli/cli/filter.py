"""`aes filter`: the rows of score files that are worth keeping."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.cli.writing import named_file, on_terminal, open_output
from aescli.errors import ExitCode, NothingMatched, UsageError
from aescli.names import escape
from aescli.writers.opening import choose_format

if TYPE_CHECKING:
    from aescli.filtering.choosing import Chosen
    from aescli.labels.values import Problem
    from aescli.writers.chosen import Form

_LIST = ".txt"
_SHOWN = 5  # problems that are told one by one


def filter_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="What aes score wrote; a folder stands for its Parquet parts.")],
    *,
    where: Annotated[str | None, typer.Option(metavar="CONDITION", help="Such as 'overall > 6 and sharpness > 4'.")] = None,
    percentile: Annotated[float | None, typer.Option(min=0, max=100, help="Keep what is at or above this percentile: 90 keeps the best tenth.")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Keep only this many of the best.")] = None,
    by: Annotated[str, typer.Option(metavar="COLUMN", help="What ranks; higher is better.")] = "overall",
    per: Annotated[str | None, typer.Option(metavar="COLUMN|folder", help="Rank inside each value of a column: the best of each class.")] = None,
    dedupe: Annotated[bool, typer.Option("--dedupe", help="Drop near-duplicates of better pictures; opens the pictures.")] = False,
    dedupe_bits: Annotated[int | None, typer.Option(min=0, max=7, metavar="BITS", help="The same, where 64-bit hashes differ in no more; 6 otherwise.")] = None,
    layout: Annotated[str, typer.Option(metavar="wide|long", rich_help_panel=options.OUTPUT, help="A row for each picture, or one for each number.")] = "wide",
    format: options.FormatOption = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", callback=options.keep_pictures, rich_help_panel=options.OUTPUT, help="Write to a file; .txt is a list of paths.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=options.OUTPUT, help="Print paths only.")] = False,
    null: Annotated[bool, typer.Option("-0", "--null", rich_help_panel=options.OUTPUT, help="Paths only, as raw bytes with NUL behind each.")] = False,
) -> ExitCode:  # fmt: skip
    """Keep rows that meet a condition, are among the best, and look like no better one.

    aes filter scores.parquet --where 'overall > 6 and sharpness > 4' -o keep.txt

    aes filter scores.csv --percentile 90 --per folder --dedupe -o best.csv
    """
    from aescli.filtering.choosing import Filter, choose
    from aescli.filtering.conditions import parse
    from aescli.images.alike import USUAL_BITS
    from aescli.images.opening import Opener
    from aescli.images.picture import take_over_pillow
    from aescli.score_files import find_files

    if per and percentile is None and top is None:
        raise UsageError("--per parts what --percentile and --top rank", hint=f"--per {escape(per)} --top 100")
    bits = dedupe_bits if dedupe_bits is not None else USUAL_BITS if dedupe else None
    wanted = Filter(parse(where) if where else None, by, percentile, top, per, bits)
    target = named_file(output)
    form = _choose_form(format, layout, target, names_only=quiet or null, nul=null)
    found, problems = find_files(files), list["Problem"]()
    take_over_pillow()
    with stopping(), open_output(target) as stream:
        with Opener() if bits is not None else nullcontext() as opener:
            chosen = choose(found, wanted, problems.append, opener)
        if not chosen.kept:
            raise NothingMatched(
                f"nothing passes: {_describe(chosen)}", hint="" if target is None else "the output is as it was"
            )
        _write(found, chosen, form, stream)
    for problem in [*problems, *chosen.unreadable][:_SHOWN]:
        console.print_note(f"could not be read: {problem}")
    left_out = f", {len(problems)} lines could not be read" if problems else ""
    console.print_note(f"{_describe(chosen)}{left_out}{f'; written to {target}' if target else ''}")
    return ExitCode.SOME_FAILED if problems or chosen.unreadable else ExitCode.OK


def _choose_form(format: str, layout: str, target: Path | None, *, names_only: bool, nul: bool) -> "Form":
    from aescli.writers.chosen import Form

    if layout not in ("wide", "long"):
        raise UsageError(f"'{layout}' is no value of --layout", hint="--layout wide|long")
    is_list = names_only or bool(target and target.suffix.lower() == _LIST and format == "auto")
    name = "list" if is_list else choose_format(format, target, on_terminal=on_terminal(target))
    colour = target is None and console.wants_colour(sys.stdout)
    return Form(name, layout == "long", nul, exact=target is not None, colour=colour)


def _write(files: list[Path], chosen: "Chosen", form: "Form", stream: BinaryIO) -> None:
    from aescli.filtering.choosing import read_chosen
    from aescli.writers.chosen import lost_columns, open_chosen

    writer = None
    for batch, places in read_chosen(files, chosen):
        if writer is None:
            writer = open_chosen(form, stream, files, batch)
            if lost := lost_columns(form, files, batch.names):
                listed = escape(", ".join(lost))
                console.print_note(
                    f"note: {form.format} of another format has no column {listed}; the one that is read keeps all"
                )
        writer.write(batch, places)
    if writer:
        writer.finish()


def _describe(chosen: "Chosen") -> str:
    """Say what became of every row."""
    parts = [f"{chosen.kept} of {chosen.total} kept"]
    parts += [f"{chosen.errors} are errors and cannot pass"] if chosen.errors else []
    parts += [f"{chosen.unknown} lack a value that is asked for"] if chosen.unknown else []
    parts += [f"{chosen.alike} look like a better one"] if chosen.alike else []
    parts += [f"{len(chosen.unreadable)} could not be opened and cannot pass"] if chosen.unreadable else []
    return ", ".join(parts) + (f"; ranked in {chosen.strata} parts" if chosen.strata > 1 else "")
