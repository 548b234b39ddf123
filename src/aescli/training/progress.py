"""What a long training tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a stage: `done` of `total`, and where there is one, the agreement on held-out pictures so far.

    `measure` says what agreement is: `SRCC`, or `pairs ordered`.
    """

    doing: str
    done: int
    total: int
    agreement: float | None = None
    measure: str = "SRCC"


Tell = Callable[[Progress], None]
