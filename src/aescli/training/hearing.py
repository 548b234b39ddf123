"""Who hears how a training goes, and may ask it to stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What is told after each step.

    Attributes:
        done: steps.
        steps: of the whole training.
        loss: mean over the step's samples.
        metrics: of the last evaluation.
        seconds_left: estimated.
        memory: peak so far, of the GPU if there is one, else of the process, in bytes.

    """

    done: int
    steps: int
    loss: float
    metrics: Mapping[str, float]
    seconds_left: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Who is told what.

    Args:
        step: after each step.
        note: in words, what takes long and what was left out.
        stop: returns the number of a signal that asked to stop, or 0.

    """

    step: Callable[[Step], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None
    stop: Callable[[], int] = lambda: 0


silent = Hearing()
