"""Options that the suites of `aes bench` share, declared once, and the values that they make."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from aescli.cli import options
from aescli.errors import UsageError
from aescli.models.base import EndpointOptions, LoadOptions
from aescli.writers.benchmarks import FORMATS

DATA, REPORT = "What is tested", "Report"
_DETAILS = ("low", "high", "auto")

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
    Path | None,
    typer.Option(
        "-o",
        "--output",
        callback=options.keep_pictures,
        rich_help_panel=REPORT,
        help="Write to a file; .html is a page.",
    ),
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
    str, typer.Option(metavar="|".join(_DETAILS), rich_help_panel=options.MODELS, help="How closely an endpoint looks.")
]
EstimateOption = Annotated[
    bool,
    typer.Option(
        "--estimate",
        rich_help_panel=options.MODELS,
        help="Say what an endpoint would take, and ask nothing; needs no key.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What stands in a report, and where it goes."""

    baseline: BaselineOption = None
    format: BenchFormatOption = "auto"
    output: OutputOption = None
    thumbnails: ThumbnailsOption = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How models are run, and where what they say is kept."""

    runs: RunsOption = Path("runs")
    fresh: FreshOption = False
    device: options.DeviceOption = "auto"
    data_type: options.DataTypeOption = "auto"
    base_url: options.BaseUrlOption = None
    image_side: SideOption = EndpointOptions().side
    detail: DetailOption = EndpointOptions().detail
    estimate: EstimateOption = False
    price_in: options.PriceInOption = 0.0
    price_out: options.PriceOutOption = 0.0
    max_cost: options.MaxCostOption = None

    def load(self) -> LoadOptions:
        """Return how models are loaded.

        Raises:
            UsageError: an unknown detail.

        """
        if self.detail not in _DETAILS:
            raise UsageError(f"'{self.detail}' is no detail", hint=f"--detail {'|'.join(_DETAILS)}")
        endpoint = EndpointOptions(
            base_url=self.base_url, side=self.image_side, detail=self.detail, price_in=self.price_in,
            price_out=self.price_out, max_cost=self.max_cost, fresh=self.fresh,
        )  # fmt: skip
        return LoadOptions(device=self.device, data_type=self.data_type, endpoint=endpoint)
