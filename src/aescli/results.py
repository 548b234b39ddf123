"""The frozen values that operations return: one row for each picture, in the order of the input."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aescli.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a server was asked for a score, and its reply, word for word; tokens are None where it does not count."""

    prompt: str
    reply: str
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a model says of one picture.

    `overall` and `dims` are out of 10, higher is better; `raw` is the model's own number in its native range.
    `levels` are the probabilities of the level words, where the score was read from words; `exchange` is what was said
    where a server was asked, and no row shows it.
    `path` is spelled as the user gave it and may hold surrogates for bytes that are not UTF-8.
    """

    path: str
    overall: float
    raw: float
    model: str
    revision: str
    backend: str
    read_out: str
    dims: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that has no score, and why."""

    path: str
    code: ErrorCode
    message: str
    model: str
    revision: str = ""
    backend: str = ""
    read_out: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Critique:
    """What a model says of one picture, in words that were made safe.

    Either `summary`, `strengths`, `weaknesses`, `suggestions` and `dims` are filled, or `answer` alone, when the user
    asked a question of their own. `overall` is out of 10 and was read from the same model, as `read_out` says.
    """

    path: str
    model: str
    revision: str
    backend: str
    summary: str = ""
    strengths: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    dims: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    overall: float | None = None
    read_out: str = ""
    flags: tuple[str, ...] = ()


Row = Score | Failure


@dataclass(frozen=True, slots=True)
class Rating:
    """A model's answer before it is mapped: `raw` in the native range, `dims` out of 10, flags, level probabilities."""

    raw: float
    dims: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    exchange: Exchange | None = None
