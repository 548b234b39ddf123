"""What multimodal models are trained on, as frozen values: pictures with scores, and pictures with conversations."""

from dataclasses import asdict, dataclass
from typing import Any

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.labels.values import Problem

LEVELS = ("bad", "poor", "fair", "good", "excellent")  # equal fifths of 0 to 1, a bound belongs to the upper one


@dataclass(frozen=True, slots=True)
class Rated:
    """A picture and its scores from 0 to 1.

    Args:
        picture: its path.
        scores: of the whole alone, or of all twelve dimensions, whose last is the whole.
        level: the word for the whole, as the data have it or as its score has it.
        group: where the picture comes from; splits are drawn from each group alike.
        source: where the data say so, `label.jsonl:12`.

    """

    picture: str
    scores: tuple[float, ...]
    level: str
    group: str = ""
    source: str = ""

    @property
    def overall(self) -> float:
        return self.scores[-1]

    @property
    def is_expert(self) -> bool:
        """Whether it has all twelve scores: then the twelve-dimension question is asked."""
        return len(self.scores) == len(HUMAN_DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Talk:
    """A picture and a conversation about it: questions and answers, in turn."""

    picture: str
    turns: tuple[tuple[str, str], ...]
    group: str = ""
    source: str = ""


Sample = Rated | Talk


@dataclass(frozen=True, slots=True)
class Data:
    """What a source of training data holds.

    Args:
        name: what the data are called.
        samples: those whose picture is there.
        test: those that the data's authors set aside; never trained on.
        problems: every line that says nothing usable, and why.
        missing: samples whose picture is not there.
        sha256: of the files of labels.
        scale: lowest and highest score as the files have them, which became 0 and 1.

    """

    name: str
    samples: tuple[Sample, ...]
    test: tuple[Sample, ...] = ()
    problems: tuple[Problem, ...] = ()
    missing: tuple[Sample, ...] = ()
    sha256: str = ""
    scale: tuple[float, float] = (0.0, 1.0)


def level_of(score: float) -> str:
    """Return the word for a score from 0 to 1.

    Source: KwaiVGI/HumanAesExpert, utils/judge_answer.py.
    """
    bounds = (0.2, 0.4, 0.6, 0.8)
    return LEVELS[sum(score >= bound for bound in bounds)]


def as_fields(sample: Sample) -> dict[str, Any]:
    """Return a sample as JSON values."""
    return asdict(sample)


def from_fields(fields: dict[str, Any]) -> Sample:
    """Return the sample that `as_fields` wrote."""
    if "turns" in fields:
        return Talk(**{**fields, "turns": tuple((question, answer) for question, answer in fields["turns"])})
    return Rated(**{**fields, "scores": tuple(fields["scores"])})
