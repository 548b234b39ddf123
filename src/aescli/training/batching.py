"""Which samples make which step: a function of seed, epoch and lengths alone, so that a run can be taken up anywhere.

A step has a fixed number of samples, cut into micro-batches by a budget of tokens; how many processes share them
changes neither the step's samples nor, where they can be shared evenly, its micro-batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aescli.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchChoices:
    """How samples become steps.

    Args:
        samples: of a step, over all processes and accumulated micro-batches; 16 as in HumanAesExpert's script.
        tokens: of a micro-batch, padding included; a longer sample is alone.
        epochs: how often each sample is seen.
        seed: of the order.

    """

    samples: int = 16
    tokens: int = 8192
    epochs: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        if min(self.samples, self.tokens, self.epochs) < 1:
            raise UsageError("a batch has samples and tokens, and training has epochs: 1 or more of each")
        if self.seed < 0:
            raise UsageError("batches.seed is 0 or more")


MicroBatch = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a training.

    Args:
        lengths: tokens of each sample.
        choices: how they become steps.
        processes: how many share each step's micro-batches.

    """

    lengths: Sequence[int]
    choices: BatchChoices
    processes: int = 1

    def __post_init__(self) -> None:
        if len(self.lengths) < self.processes or self.choices.samples < self.processes:
            raise UsageError(f"{self.processes} processes cannot share steps of {self.choices.samples} samples")

    @property
    def steps_of_epoch(self) -> int:
        steps, rest = divmod(len(self.lengths), self.choices.samples)
        # What is left over is a step of its own, unless there are fewer samples than processes: then it is left out.
        return steps + (rest >= self.processes and rest > 0)

    @property
    def steps(self) -> int:
        return self.steps_of_epoch * self.choices.epochs

    def step(self, number: int) -> tuple[int, list[MicroBatch]]:
        """Return the epoch of a step, from 0, and its micro-batches, as many as can be shared evenly."""
        epoch, at = divmod(number, self.steps_of_epoch)
        order = np.random.default_rng((self.choices.seed, epoch)).permutation(len(self.lengths))
        size = self.choices.samples
        chosen = [int(each) for each in order[at * size : (at + 1) * size]]
        return epoch, share_evenly(pack(chosen, self.lengths, self.choices.tokens), self.lengths, self.processes)


def pack(chosen: Sequence[int], lengths: Sequence[int], tokens: int) -> list[MicroBatch]:
    """Return samples in micro-batches, longest first, each of so many tokens with its padding."""
    batches: list[list[int]] = []
    for each in sorted(chosen, key=lambda at: (-lengths[at], at)):
        # The first of a batch is its longest, so padding is known when it is begun.
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(each)
        else:
            batches.append([each])
    return [tuple(batch) for batch in batches]


def share_evenly(batches: Sequence[MicroBatch], lengths: Sequence[int], processes: int) -> list[MicroBatch]:
    """Return as many micro-batches as every process can have equally many of: the largest are cut, else the least join.

    There must be at least one sample for each process.
    """
    found = list(batches)
    samples = sum(map(len, found))
    wanted = -(-len(found) // processes) * processes
    if wanted > samples:
        wanted = samples // processes * processes
    while len(found) < wanted:
        largest = max(range(len(found)), key=lambda at: (len(found[at]), -at))
        whole, half = found[largest], len(found[largest]) // 2
        found[largest : largest + 1] = [whole[:half], whole[half:]]
    while len(found) > wanted:
        one, other = sorted(found, key=lambda batch: (sum(lengths[at] for at in batch), batch))[:2]
        found = [batch for batch in found if batch not in (one, other)] + [(*one, *other)]
    return found
