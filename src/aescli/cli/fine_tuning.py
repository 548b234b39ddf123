"""What `aes train` does for the recipes that fine-tune a multimodal model."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aescli.cli import console, options
from aescli.cli.stopping import noticing
from aescli.errors import ExitCode, UsageError
from aescli.names import escape
from aescli.registry import find_card
from aescli.runtime import need_torch

if TYPE_CHECKING:
    from aescli.training.estimating import Estimate
    from aescli.training.hearing import Step
    from aescli.training.recipes import Choices
    from aescli.training.runs import FineTuneReport
    from aescli.training.samples import Data

RECIPES = ("multihead", "instruct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the command line says of a fine-tuning; None is the recipe's default."""

    recipe: str
    data: str
    model: str
    out: Path
    scale: str | None
    epochs: int | None
    batch_size: int | None
    rate: float | None
    max_tiles: int | None
    seed: int
    settings: Sequence[str]
    trackers: Sequence[str]
    device: str
    data_type: str
    adapter: bool
    full: bool
    resume: bool
    dry_run: bool
    as_json: bool


def fine_tune(words: Words) -> ExitCode:
    """Train, or say what training would take."""
    card = find_card(words.model)
    need_torch()
    from aescli.training import recipes
    from aescli.training.hearing import Hearing
    from aescli.training.runs import is_first_process

    choices = _choose(words)
    scale = options.parse_range(words.scale) if words.scale else None
    data = recipes.read_for(words.recipe, words.data, (scale.low, scale.high) if scale else None)
    if is_first_process():
        _note_data(data)
    if words.dry_run:
        return _show_estimate(recipes.try_out(card, data, choices, Hearing(note=console.print_note)), words)
    with noticing() as stop, console.Stages() as bar:
        hearing = (
            Hearing(step=_Teller(bar), note=console.print_note, stop=stop) if is_first_process() else Hearing(stop=stop)
        )
        report = recipes.fine_tune(card, data, words.out, choices, resume=words.resume, hearing=hearing)
    if report is None:
        return ExitCode.OK
    _show_report(report, as_json=words.as_json)
    return ExitCode.SOME_FAILED if data.problems or data.missing else ExitCode.OK


def _choose(words: Words) -> "Choices":
    """Return a recipe's choices with what the command line says."""
    from aescli.training.choosing import change
    from aescli.training.recipes import first_choices

    choices = first_choices(words.recipe)
    named: dict[str, object] = {
        "loop.batches.epochs": words.epochs, "loop.batches.samples": words.batch_size, "loop.rate": words.rate,
        "max_tiles": words.max_tiles, "splits.seed": words.seed, "loop.batches.seed": words.seed,
        "loop.device": words.device, "loop.precision": words.data_type, "adapter": words.adapter or None,
        "full": words.full or None, "loop.trackers": ",".join(words.trackers) or None,
    }  # fmt: skip
    for name, value in named.items():
        if value is not None:
            choices = change(choices, f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    for setting in words.settings:
        choices = change(choices, setting)
    return choices


class _Teller:
    """Shows each step on a terminal; elsewhere a line for each evaluation."""

    def __init__(self, bar: console.Stages) -> None:
        self._bar = bar
        self._told: object = {}

    def __call__(self, step: "Step") -> None:
        ranks = {name: value for name, value in step.metrics.items() if name.endswith(("srcc", "accuracy"))}
        known = " ".join(f"{name} {value:.3f}" for name, value in list(ranks.items())[:2])
        note = f"loss {step.loss:.4f} {known} {step.memory / 1e9:.1f} GB"
        self._bar.show("training", step.done, step.steps, note)
        if not sys.stderr.isatty() and step.metrics != self._told:
            self._told = step.metrics
            console.print_note(f"step {step.done} of {step.steps}, {step.seconds_left:.0f} s left: {note}")


def _note_data(data: "Data") -> None:
    found = [f"could not be used: {problem}" for problem in data.problems]
    found += [f"is not there: {escape(sample.picture)}" for sample in data.missing]
    console.print_notes(found, "more: aes data check")


def _show_estimate(found: "Estimate", words: Words) -> ExitCode:
    if words.as_json:
        console.print_text(json.dumps(asdict(found), indent=2))
        return ExitCode.OK
    hours, minutes = divmod(round(found.seconds / 60), 60)
    for name, value in (
        ("samples", f"{found.samples:,}"),
        ("steps", f"{found.steps:,}"),
        ("tokens", f"{found.tokens:,}"),
        ("trainable parameters", f"{found.trainable:,} of {found.parameters:,}"),
        ("memory, estimated", f"{found.memory / 1e9:.2f} GB"),
        ("time, estimated", f"{hours} h {minutes} min in one process"),
    ):
        console.print_text(f"{name:<22} {value}")
    return ExitCode.OK


def _show_report(report: "FineTuneReport", *, as_json: bool) -> None:
    if as_json:
        console.print_text(json.dumps({**asdict(report), "folder": str(report.folder)}, indent=2))
    else:
        for name, value in (report.results or report.validation).items():
            console.print_text(f"{name:<22} {value:.4f}")
    shown = escape(str(report.folder))
    console.print_note(f"step {report.best_step} of {report.steps} was best; written to {shown}")


def refuse_for_head(words: Words) -> None:
    """Refuse what only a fine-tuning understands.

    Raises:
        UsageError: an option is not for the recipe `head`.

    """
    given = {
        "--epochs": words.epochs, "--rate": words.rate, "--set": words.settings, "--tracker": words.trackers,
        "--adapter": words.adapter, "--full": words.full, "--resume": words.resume, "--dry-run": words.dry_run,
        "--max-tiles": words.max_tiles, "--batch-size": words.batch_size,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise UsageError(f"{name} is not for the recipe head", hint="--recipe multihead|instruct")
