"""What a training found out, as one frozen value: for the terminal, for report.json, for the page and for the card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aescli.labels.values import Problem
from aescli.training.judging import Interval, Judgement


@dataclass(frozen=True, slots=True)
class DimensionReport:
    """How well one dimension was predicted on pictures that were held out; None where it is not defined.

    `interval` is that of `srcc`.
    """

    name: str
    srcc: float | None
    interval: Interval
    plcc: float | None
    rmse: float | None
    mae: float | None

    def say_srcc(self) -> str:
        """Return the rank correlation and its interval."""
        return "undefined" if self.srcc is None else str(self.interval)


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was trained, on what, and how good it is.

    Args:
        folder: of the new model.
        base: the model whose features were used.
        base_leaks: the base was itself trained on data of this name, or on some of these pictures: its score, and its
            features, may be flattered.
        data: name of the data.
        labels_sha256: of the labels.
        pictures_sha256: of all pictures.
        target: `scores`, `votes` or `pairs`.
        measure: what `judgement` counts: `SRCC`, or `pairs ordered`.
        kind: of the head, `ridge` or `mlp`.
        setting: what was chosen by validation for the final head.
        by_kind: agreement of each kind of head on held-out pictures.
        pictures: how many were trained on.
        comparisons: how many of them were trained on; 0 where there are scores.
        groups: of which whole ones are held out.
        group_by: what groups are, or None.
        folds: of the outer validation.
        seed: of everything that is drawn.
        judgement: against the base and against chance.
        verdict: the same in a sentence.
        dimensions: each one's accuracy; none of comparisons.
        ranges: native range of each dimension.
        problems: rows and pictures that could not be used.
        missing: labelled pictures whose file is not there.
        notes: what else one should know of the labels.
        weights_sha256: of model.safetensors.
        seconds: that it took.

    """

    folder: Path
    base: str
    base_leaks: bool
    data: str
    labels_sha256: str
    pictures_sha256: str
    target: str
    measure: str
    kind: str
    setting: Mapping[str, Any]
    by_kind: Mapping[str, float]
    pictures: int
    comparisons: int
    groups: int
    group_by: str | None
    folds: int
    seed: int
    judgement: Judgement
    verdict: str
    dimensions: tuple[DimensionReport, ...]
    ranges: Mapping[str, tuple[float, float]]
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    weights_sha256: str
    seconds: float

    def say_amount(self) -> str:
        """Return how much was trained on."""
        return f"{self.pictures} pictures" + (f" in {self.comparisons} comparisons" if self.comparisons else "")

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        fields = asdict(self)
        fields["folder"] = str(self.folder)
        return fields


def say_verdict(judgement: Judgement, base: str, measure: str, *, leaks: bool) -> str:
    """Return in one sentence whether the head may be called better than its base."""
    difference = judgement.difference
    against = f"than {base} alone" if judgement.base else "than chance"
    if difference.low is None or difference.high is None:
        few = f"{judgement.groups} groups are too few for an interval"
        return f"not shown to do more {against}: {measure} {difference.value:+.3f}, and {few}"
    shown = f"{measure} {difference.value:+.3f}, 95% interval {difference.low:+.3f} to {difference.high:+.3f}"
    if leaks:
        return f"no comparison with {base}, which was itself trained on this data or some of it: {shown}"
    if judgement.better:
        return f"better {against}: {shown}"
    if difference.low > 0:
        return f"not shown to do more {against}: heads on shuffled labels reach as much"
    if difference.high >= 0:
        return f"not shown to do more {against}: {shown} covers zero"
    # Held-out agreement leans below zero where there is nothing to learn, so a base must be above chance to be better.
    if judgement.base and judgement.base.value > (judgement.chance.high or 0.0):
        return f"worse {against}: {shown}"
    return f"not shown to do more {against}: {shown}, and neither does more than heads on shuffled labels"
