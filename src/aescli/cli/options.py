"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from aescli.dimensions import Scale
from aescli.errors import UsageError
from aescli.images.formats import SUFFIXES
from aescli.names import escape
from aescli.runtime import DATA_TYPES
from aescli.writers.opening import FORMATS

INPUTS, OUTPUT, KEEPING, RUNNING = "Inputs", "Output", "What is kept", "Decoding and devices"
MODELS, CLUSTER = "Models that want more", "A cluster"


def parse_range(text: str, example: str = "--range 1:10") -> Scale:
    """Return the range that LO:HI names.

    Raises:
        UsageError: it is none.

    """
    from aescli.labels.cells import LARGEST

    low, colon, high = text.partition(":")
    try:
        scale = Scale(float(low), float(high if colon else "nan"))
    except ValueError:
        raise UsageError(f"'{text}' is no range", hint=example) from None
    if max(abs(scale.low), abs(scale.high)) > LARGEST:
        raise UsageError(f"'{text}' is no range of ratings: they are {LARGEST:g} at most", hint=example)
    return scale


def complete_model(incomplete: str) -> list[str]:
    """Return the model names that begin like this."""
    from aescli.cards import CARDS

    return [name for name in ("mini", *(card.id for card in CARDS)) if name.startswith(incomplete)]


def complete_dimensions(context: typer.Context, incomplete: str) -> list[str]:
    """Return the dimensions of the model on the command line; several may stand with commas between them."""
    from aescli.errors import AesError
    from aescli.registry import find_card

    try:
        card = find_card(context.params.get("model") or "mini")
    except AesError:
        return []
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in ("all", "overall", *card.dimension_names()) if name.startswith(last)]


ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="AES_MODEL",
        metavar="NAME",
        autocompletion=complete_model,
        help="Which model; aes models ls.",
    ),
]
CriticOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="AES_CRITIC",
        metavar="NAME",
        autocompletion=complete_model,
        help="Which model: aesexpert-7b, hf:OWNER/NAME, a folder; aes models ls.",
    ),
]
DimsOption = Annotated[
    str,
    typer.Option(
        "--dims",
        envvar="AES_DIMS",
        metavar="NAMES",
        autocompletion=complete_dimensions,
        help="Dimensions beside overall: all, or names with commas between them.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        envvar="AES_DEVICE", rich_help_panel=RUNNING, metavar="DEVICE", help="auto, cpu, cuda[:N[,M...]] or mps."
    ),
]
DataTypeOption = Annotated[
    str,
    typer.Option(
        "--dtype", envvar="AES_DTYPE", rich_help_panel=RUNNING, metavar="TYPE", help=f"{', '.join(DATA_TYPES)}."
    ),
]
MaxPixelsOption = Annotated[
    int, typer.Option(envvar="AES_MAX_PIXELS", min=1, rich_help_panel=RUNNING, help="Refuse larger pictures.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        envvar="AES_BATCH_SIZE",
        rich_help_panel=RUNNING,
        min=1,
        help="Pictures at once; the model's own choice otherwise.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        envvar="AES_WORKERS", rich_help_panel=RUNNING, min=1, help="Threads; one for each usable CPU otherwise."
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        envvar="AES_FORMAT",
        rich_help_panel=OUTPUT,
        metavar="FORMAT",
        help=f"auto, {', '.join(FORMATS)}; auto is a table on a terminal, CSV in a pipe, the suffix with -o.",
    ),
]


def keep_pictures(output: str | Path | None) -> str | Path | None:
    """Refuse to replace a picture: a name that was forgotten makes `-o` swallow the first of `*.jpg`."""
    if output is not None and Path(output).suffix.lower() in SUFFIXES and Path(output).is_file():
        raise UsageError(f"{escape(str(output))} is a picture, which would be replaced", hint="-o scores.csv")
    return output


OutputOption = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        callback=keep_pictures,
        rich_help_panel=OUTPUT,
        metavar="FILE",
        help="Write to a file or an address instead of stdout; FOLDER/ takes Parquet in parts; {shard} becomes 00003-of-00008.",
    ),
]
FilesFromOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=INPUTS,
        help="Read paths from a file, one a line or NUL-separated, or from a column of a table.",
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=INPUTS,
        help="Of a table: which column holds paths (--files-from) or pictures.",
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        envvar="AES_INCLUDE", metavar="PATTERN", rich_help_panel=INPUTS, help="In folders, only what matches."
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        envvar="AES_EXCLUDE", metavar="PATTERN", rich_help_panel=INPUTS, help="In folders, nothing that matches."
    ),
]
AllFilesOption = Annotated[
    bool,
    typer.Option(
        "--all-files/--no-all-files",
        envvar="AES_ALL_FILES",
        rich_help_panel=INPUTS,
        help="In folders, whatever the suffix.",
    ),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow/--no-follow",
        envvar="AES_FOLLOW",
        rich_help_panel=INPUTS,
        help="In folders, links too; each folder once.",
    ),
]
ReadOutOption = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MODELS,
        metavar="NAME",
        help="Which read-out becomes overall, where a model has several: metavoter, regression, expert or lm.",
    ),
]
MaxTilesOption = Annotated[
    int | None,
    typer.Option(rich_help_panel=MODELS, min=1, max=12, help="Cut pictures into fewer tiles: faster."),
]
BackendOption = Annotated[
    str,
    typer.Option(
        rich_help_panel=MODELS,
        metavar="auto|native|worker",
        help="Our code, or the checkpoint's own in a worker; auto takes ours once models compare has confirmed it.",
    ),
]
UnverifiedOption = Annotated[
    bool,
    typer.Option("--unverified", rich_help_panel=MODELS, help="Take our code unconfirmed; every row carries a flag."),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        rich_help_panel=MODELS,
        help="Let a checkpoint's own code run, in a process of its own; remembered for its commit.",
    ),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        envvar="AES_BASE_URL", rich_help_panel=MODELS, metavar="URL", help="An endpoint's; else OPENAI_BASE_URL."
    ),
]
PriceInOption = Annotated[
    float, typer.Option(min=0, rich_help_panel=MODELS, help="An endpoint's price of a million tokens asked.")
]
PriceOutOption = Annotated[float, typer.Option(min=0, rich_help_panel=MODELS, help="The same for tokens said.")]
MaxCostOption = Annotated[
    float | None,
    typer.Option(min=0, rich_help_panel=MODELS, help="Begin no request once so much is spent; running again goes on."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
