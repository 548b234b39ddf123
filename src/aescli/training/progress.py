"""What a long training tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a stage: `done` of `total`, and the agreement on held-out pictures so far, where there is one."""

    doing: str
    done: int
    total: int
    agreement: float | None = None


Tell = Callable[[Progress], None]


def keep_quiet(progress: Progress) -> None:
    """Tell nobody."""
