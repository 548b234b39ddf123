"""What a training returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was trained, and how well it agrees with people.

    Attributes:
        folder: the new model.
        recipe: that made it.
        steps: that were done.
        best_step: the one whose parameters were kept.
        samples: of each split.
        validation: metrics of the best step.
        results: metrics of the written model on the test split.

    """

    folder: Path
    recipe: str
    steps: int
    best_step: int
    samples: Mapping[str, int]
    validation: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
