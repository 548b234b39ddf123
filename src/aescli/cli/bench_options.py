"""Options that the suites of `aes bench` share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from aescli.cli import options
from aescli.models.base import EndpointOptions
from aescli.writers.benchmarks import FORMATS

DATA, REPORT = "What is tested", "Report"

DataOption = Annotated[
    Path,
    typer.Option("--data", rich_help_panel=DATA, metavar="PATH", help="The set: a file, or a folder that holds it."),
]
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        rich_help_panel=DATA,
        metavar="NAME",
        autocompletion=options.complete_model,
        help="Which model; several may be given. aes models ls, ./FOLDER, hf:OWNER/NAME, endpoint:MODEL.",
    ),
]
BaselineOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="published|FILE",
        rich_help_panel=REPORT,
        help="Put these beside them: published numbers with their sources, or a recorded run's lines.",
    ),
]
RunsOption = Annotated[
    Path,
    typer.Option(
        envvar="AES_RUNS", metavar="FOLDER", rich_help_panel=options.KEEPING, help="Where lines of inference are kept."
    ),
]
BenchFormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        rich_help_panel=REPORT,
        metavar="|".join(FORMATS),
        help="auto is a table on a terminal, CSV in a pipe, the suffix with -o.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", rich_help_panel=REPORT, help="Write to a file; .html is a page.")
]
ThumbnailsOption = Annotated[
    bool, typer.Option("--thumbnails/--no-thumbnails", rich_help_panel=REPORT, help="Pictures of the set in a page.")
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=DATA, help="Only so many items, the first ones: a trial.")
]
PowerOption = Annotated[
    bool, typer.Option("--power", rich_help_panel=REPORT, help="Say what a set of this size can show, and run nothing.")
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", rich_help_panel=options.KEEPING, help="Ask again about what is kept.")
]
OnlyOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=DATA, help="Only the pictures that this list names, one a line."),
]
RangeOption = Annotated[
    str | None,
    typer.Option("--range", metavar="LO:HI", rich_help_panel=DATA, help="The labels' scale; else what they say of it."),
]
TokensOption = Annotated[
    int, typer.Option("--max-tokens", min=1, rich_help_panel=options.RUNNING, help="The most tokens of one answer.")
]
SideOption = Annotated[
    int,
    typer.Option(
        "--image-side",
        min=28,
        rich_help_panel=options.MODELS,
        help="The long side of what an endpoint is sent, in pixels.",
    ),
]
DetailOption = Annotated[
    str, typer.Option(metavar="low|high|auto", rich_help_panel=options.MODELS, help="How closely an endpoint looks.")
]
EstimateOption = Annotated[
    bool,
    typer.Option(
        "--estimate",
        rich_help_panel=options.MODELS,
        help="Say what an endpoint would take, and ask nothing; needs no key.",
    ),
]
RUNS = Path("runs")
SIDE, DETAIL = EndpointOptions().side, EndpointOptions().detail
