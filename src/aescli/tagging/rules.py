"""From scores to stars: by a picture's place in the shoot, or by fixed scores; the choice is always said."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from aescli.errors import UsageError

PERCENTILE, SCORE = "percentile", "score"

# What is needed for 5, 4, 3 and 2 stars; everything else has 1.
_USUAL = {PERCENTILE: (90.0, 75.0, 50.0, 20.0), SCORE: (8.0, 7.0, 6.0, 5.0)}
COLOURS = ("Purple", "Blue", "Green", "Yellow", "Red")  # of 5 to 1 stars


@dataclass(frozen=True, slots=True)
class Rule:
    """`bounds` of 5, 4, 3 and 2 stars, falling: percentiles of the shoot, or scores out of 10."""

    kind: str
    bounds: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{','.join(f'{bound:g}' for bound in self.bounds)}"


def parse_rule(text: str) -> Rule:
    """Return the rule that `percentile`, `score`, or one of them with bounds (`score:8,7,6,5`) names.

    Raises:
        UsageError: it names none.

    """
    kind, colon, listed = text.partition(":")
    if kind not in _USUAL:
        raise UsageError(f"'{text}' is no rule for stars", hint="--stars percentile or --stars score:8,7,6,5")
    try:
        bounds = tuple(map(float, listed.split(","))) if colon else _USUAL[kind]
    except ValueError:
        bounds = ()
    highest = 100.0 if kind == PERCENTILE else 10.0
    if (
        len(bounds) != 4
        or list(bounds) != sorted(set(bounds), reverse=True)
        or not 0 <= bounds[3] < bounds[0] <= highest
    ):
        raise UsageError(
            f"'{text}' does not name four falling bounds of 5, 4, 3 and 2 stars, {highest:g} to 0",
            hint=f"--stars {Rule(kind, _USUAL[kind])}",
        )
    return Rule(kind, bounds)


def give_stars(scores: Sequence[float], rule: Rule) -> list[int]:
    """Return 1 to 5 for each score; equal scores have equal stars."""
    values = scores if rule.kind == SCORE else percentiles(scores)
    return [next((5 - at for at, bound in enumerate(rule.bounds) if value >= bound), 1) for value in values]


def percentiles(scores: Sequence[float]) -> list[float]:
    """Return for each score the percentage of all scores that are lower."""
    ordered = sorted(scores)
    return [100.0 * bisect.bisect_left(ordered, score) / len(ordered) for score in scores]
