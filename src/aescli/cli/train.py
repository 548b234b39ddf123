"""`aes train`: a model of one's own ratings."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import console, fine_tuning, options
from aescli.cli.stopping import stopping
from aescli.errors import AesError, ExitCode, UsageError
from aescli.images.picture import MAX_PIXELS, take_over_pillow
from aescli.models.base import LoadOptions
from aescli.names import escape
from aescli.registry import find_card

if TYPE_CHECKING:
    from aescli.labels.values import LabelledSet
    from aescli.training.progress import Progress
    from aescli.training.reports import TrainReport

RECIPES = ("head", *fine_tuning.RECIPES)

_DATA, _VALIDATION, _TUNING = "Data", "Validation", "Recipes multihead and instruct"
_FOLDS = 5
_COLOURS_HINT = "--labels xmp:Red=1,Green=5"
_LISTED_AT_LAST = 1000  # where there will be no report


def train(
    data: Annotated[list[str], typer.Option(rich_help_panel=_DATA, metavar="PATH|NAME[=PATH]|hf:ID", help="Ratings: CSV, TSV, Parquet, JSON lines, AVA.txt, pairs (winner,loser), or a folder with one of them; humanbeauty, aesmmit; conversations; a data set of the Hub.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The new model's folder.")],
    *,
    model: options.ModelOption = "mini",
    recipe: Annotated[str, typer.Option(metavar="|".join(RECIPES), help="head: a small head on the model's features; multihead: HumanAesExpert's; instruct: a critic on conversations.")] = "head",
    labels: Annotated[str, typer.Option(rich_help_panel=_DATA, metavar="auto|xmp[:COLOUR=SCORE,...]", help="xmp: stars in sidecars and pictures of a photo folder; colours as you say.")] = "auto",
    scale: Annotated[str | None, typer.Option("--range", rich_help_panel=_DATA, metavar="LO:HI", help="The ratings' range; their smallest and largest otherwise.")] = None,
    dims: Annotated[str, typer.Option(rich_help_panel=_DATA, metavar="NAMES", help="Dimensions to train beside overall: all, or names with commas between them.")] = "overall",
    group_by: Annotated[str | None, typer.Option(rich_help_panel=_VALIDATION, metavar="folder|time|COLUMN", help="Never part these between training and validation.")] = None,
    folds: Annotated[int, typer.Option(min=2, max=50, rich_help_panel=_VALIDATION, help="Parts that are held out in turn.")] = _FOLDS,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same weights on a CPU.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace a model that was trained before.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, rich_help_panel=_TUNING, help="How often each sample is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, rich_help_panel=_TUNING, help="Samples of a step, over all processes.")] = None,
    rate: Annotated[float | None, typer.Option(rich_help_panel=_TUNING, help="The highest learning rate.")] = None,
    max_tiles: options.MaxTilesOption = None,
    settings: Annotated[list[str] | None, typer.Option("--set", rich_help_panel=_TUNING, metavar="NAME=VALUE", help="Any other choice of the recipe, such as losses.text=0.5; docs/finetune.md lists them.")] = None,
    trackers: Annotated[list[str] | None, typer.Option("--tracker", rich_help_panel=_TUNING, metavar="NAME", help="Of accelerate, such as tensorboard; metrics.jsonl is always written.")] = None,
    adapter: Annotated[bool, typer.Option("--adapter", rich_help_panel=_TUNING, help="Write low-rank changes alone, to be loaded onto their base.")] = False,
    full: Annotated[bool, typer.Option("--full", rich_help_panel=_TUNING, help="instruct: train every weight of language model and projector.")] = False,
    resume: Annotated[bool, typer.Option("--resume", rich_help_panel=_TUNING, help="Go on from the last checkpoint in --out, if there is one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", rich_help_panel=_TUNING, help="Say what it would take, and write nothing.")] = False,
    device: options.DeviceOption = "auto",
    data_type: options.DataTypeOption = "auto",
    max_pixels: options.MaxPixelsOption = MAX_PIXELS,
    as_json: options.JsonOption = False,
) -> ExitCode:  # fmt: skip
    """Train a model on your ratings, and say honestly whether it is better than what it stands on.

    aes train --data ratings.csv --out my-taste     then: aes score ./photos --model ./my-taste

    aes train --data ./library --labels xmp --group-by time --out my-stars

    aes train --data humanbeauty --model internvl2-1b --recipe multihead --out runs/hae
    """
    if recipe not in RECIPES:
        raise UsageError(f"'{recipe}' is no recipe", hint=f"--recipe {'|'.join(RECIPES)}")
    source, *others = data
    if not source:
        raise UsageError("--data is empty", hint="--data FILE or --data FOLDER")
    if others:
        raise UsageError("--data is given more than once", hint="one run learns from one set: join the tables")
    tuning = fine_tuning.Words(
        recipe=recipe, data=source, model=model, out=out, scale=scale, epochs=epochs, batch_size=batch_size, rate=rate,
        max_tiles=max_tiles, seed=seed, settings=settings or (), trackers=trackers or (), device=device,
        data_type=data_type, adapter=adapter, full=full, resume=resume, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip
    take_over_pillow()
    if recipe in fine_tuning.RECIPES:
        if max_pixels != MAX_PIXELS:
            console.print_note(f"note: --max-pixels is for the recipe head; {recipe} takes up to {MAX_PIXELS:,}")
        _refuse_given(
            labels=labels != "auto",
            dims=dims != "overall",
            group_by=group_by is not None,
            folds=folds != _FOLDS,
            fresh=fresh,
        )
        return fine_tuning.fine_tune(tuning)
    fine_tuning.refuse_for_head(tuning)
    from aescli.training.head import HeadOptions, train_head

    kind, colours = _parse_labels(labels)
    wanted = HeadOptions(
        dimensions=dims, scale=options.parse_range(scale) if scale else None, group_by=group_by, folds=folds,
        seed=seed, fresh=fresh, max_pixels=max_pixels,
    )  # fmt: skip
    card = find_card(model)
    with stopping(), console.Stages() as bar:
        found = _read(source, kind, colours)
        _note_labels(found, wanted.dimensions, group_by)
        loading = LoadOptions(device=device, data_type=data_type)
        with _telling_all(found):
            report = train_head(found, card, out, wanted, loading, lambda step: _show(bar, step))
    if as_json:
        console.print_text(json.dumps(report.as_json(), indent=2))
    else:
        _print_table(report)
    return _close(report, found)


def _refuse_given(**given: bool) -> None:
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"--{name.replace('_', '-')} is for the recipe head")


def _parse_labels(text: str) -> tuple[str, dict[str, float]]:
    """Return where labels are, and what colours are worth: `xmp:Red=1,Green=5`."""
    kind, _, listed = text.partition(":")
    if kind not in ("auto", "xmp") or (listed and kind != "xmp"):
        raise UsageError(f"'{text}' is no value of --labels", hint="--labels auto|xmp|xmp:Red=1,Green=5")
    colours: dict[str, float] = {}
    for word in filter(None, listed.split(",")):
        name, value = _parse_colour(word)
        if name.lower() in map(str.lower, colours):
            raise UsageError(f"'{listed}' says twice what {name} is worth", hint=_COLOURS_HINT)
        colours[name] = value
    return kind, colours


def _parse_colour(word: str) -> tuple[str, float]:
    from aescli.labels.cells import number

    name, value = (each.strip() for each in word.partition("=")[::2])
    if not name:
        raise UsageError(f"'{word}' names no colour", hint=_COLOURS_HINT)
    try:
        return name, number(value, name)
    except ValueError as error:
        raise UsageError(f"'{word}' does not say what colours are worth: {error}", hint=_COLOURS_HINT) from None


def _read(data: str, kind: str, colours: dict[str, float]) -> "LabelledSet":
    from aescli.hub_sets import PREFIX, fetch_set
    from aescli.labels.reading import read_labels
    from aescli.training.sources import LAYOUTS

    if not data.startswith(PREFIX):
        word = data.partition("=")[0]
        if word in LAYOUTS and not Path(data).exists():
            raise UsageError(f"{word} by name is for the recipes that fine-tune", hint="--data FOLDER, of its labels")
        return read_labels(Path(data), kind, colours)
    name, folder = fetch_set(data)
    return replace(read_labels(folder, kind, colours), name=name)


def _show(bar: console.Stages, step: "Progress") -> None:
    note = "" if step.agreement is None else f"validation {step.measure} {step.agreement:.3f}"
    bar.show(step.doing, step.done, step.total, note)


def _note_labels(labels: "LabelledSet", dims: str, group_by: str | None) -> None:
    for what, lines in _list_faults(labels).items():
        console.print_notes(lines, before=f"{what}: ")
    for note in labels.notes:
        console.print_note(f"note: {note}")
    others = [name for name in labels.dimensions[1:] if name != group_by]
    if others and dims == "overall":
        console.print_note(f"note: the labels have {', '.join(others)} too; --dims says which are trained")


def _list_faults(labels: "LabelledSet") -> dict[str, list[str]]:
    return {
        "could not be used": [str(problem) for problem in labels.problems],
        "is labelled and not there": [f"{each.source}: {each.path}" for each in labels.missing],
    }


@contextmanager
def _telling_all(labels: "LabelledSet") -> Iterator[None]:
    """Name the rows that were only counted before, if the training fails: no report will have them."""
    try:
        yield
    except AesError as error:
        problems = [str(each) for each in getattr(error, "problems", ())]
        console.print_notes(problems, before="could not be used: ", most=_LISTED_AT_LAST)
        for what, lines in _list_faults(labels).items():
            console.print_notes(lines[console.LISTED :], before=f"{what}: ", most=_LISTED_AT_LAST)
        raise


def _print_table(report: "TrainReport") -> None:
    judgement = report.judgement
    rows = [
        (f"{report.measure} on held-out pictures", str(judgement.agreement)),
        (f"{report.base} alone", str(judgement.base) if judgement.base else "has no score of its own"),
        ("difference", str(judgement.difference)),
        ("trained on shuffled labels", str(judgement.chance)),
        *((each.name, f"SRCC {each.say_srcc()}") for each in report.dimensions[1:]),
        ("head", f"{report.kind} on {report.say_amount()}, {report.groups} groups, {report.folds} folds"),
        ("weights", report.weights_sha256[:16]),
        ("verdict", report.verdict),
    ]
    for name, value in rows:
        console.print_text(escape(f"{name:<28} {value}"))


def _close(report: "TrainReport", labels: "LabelledSet") -> ExitCode:
    """Say what was left out and where the model is, and return how the run ended."""
    told = set(labels.problems)
    console.print_notes([str(each) for each in report.problems if each not in told], before="could not be used: ")
    for note in report.notes[len(labels.notes) :]:
        console.print_note(f"note: {note}")
    if report.base_leaks:
        console.print_note(
            f"note: {report.base} was itself trained on this data, or on some of it, which may flatter every number here"
        )
    if len(report.problems) > console.LISTED or len(report.missing) > console.LISTED:
        console.print_note(f"all that was left out is in {escape(str(report.folder / 'report.json'))}")
    shown = escape(str(report.folder))
    name = shlex.quote(shown if "/" in shown else f"./{shown}")
    console.print_note(f"written to {shown} in {report.seconds:.0f} s; aes score ./photos --model {name}")
    return ExitCode.SOME_FAILED if report.problems or report.missing else ExitCode.OK
