"""`aes data`: training data before it is trained on."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.errors import ExitCode
from aescli.names import escape

if TYPE_CHECKING:
    from aescli.training.checking import Check

app = typer.Typer(no_args_is_help=True, help="Look at training data before they are trained on.")


@app.command()
def check(
    data: Annotated[str, typer.Argument(metavar="PATH|NAME[=PATH]|hf:ID", help="A file, a folder, humanbeauty, aesmmit, or a data set of the Hub.")],
    *,
    scale: Annotated[str | None, typer.Option("--range", metavar="LO:HI", help="What scores run from and to; their smallest and largest otherwise.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the splits, as for aes train.")] = 0,
    as_json: options.JsonOption = False,
) -> ExitCode:  # fmt: skip
    """Open every picture, count, draw histograms, and find what is wrong; exits 3 when something is.

    Missing and unreadable pictures, scores out of range, and pictures that look alike across the splits of the seed.
    """
    from aescli.images.picture import take_over_pillow
    from aescli.training.checking import check_data
    from aescli.training.splitting import SplitChoices

    take_over_pillow()
    found = options.parse_range(scale) if scale else None
    with stopping(), console.Stages() as bar:
        checked = check_data(
            data, SplitChoices(seed=seed), (found.low, found.high) if found else None,
            tell=lambda done, total: bar.show("opening pictures", done, total),
        )  # fmt: skip
    if as_json:
        fields = {**asdict(checked), "problems": [str(each) for each in checked.problems], "good": checked.is_good}
        console.print_text(json.dumps(fields, indent=2))
    else:
        _print(checked)
    return ExitCode.OK if checked.is_good else ExitCode.SOME_FAILED


def _print(checked: "Check") -> None:
    from aescli.training.checking import draw_histogram

    for counts in (checked.counts, checked.groups, checked.levels):
        for name, count in counts.items():
            console.print_text(escape(f"{name:<24} {count:,}"))
        if counts:
            console.print_text("")
    for name, histogram in checked.histograms.items():
        console.print_text(f"{name:<24} 0 {draw_histogram(histogram)} 1")
    _list("could not be used", [str(each) for each in checked.problems])
    _list("is not there", checked.missing)
    _list("its level is not its score's", checked.mismatched)
    _list("look alike in different splits", [f"{one} and {other}" for one, other in checked.alike])


def _list(what: str, lines: Sequence[str]) -> None:
    console.print_notes(lines, "more; --json lists all", before=f"{what}: ")
