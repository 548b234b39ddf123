"""What a family of models must be able to do; nothing else of a model is known outside its file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import PictureError
from aescli.images.view import View
from aescli.results import Rating


class CutShort(str):
    """An answer that ended because it had as many tokens as it might have, not where the model would have ended it."""

    __slots__ = ()


@runtime_checkable
class Critic(Protocol):
    """A loaded model that answers questions about pictures.

    Attributes:
        card: what is known of it.
        backend: what runs it and where, as rows show it.
        batch_size: how many pictures it likes at once.
        lanes: how many such batches it works on side by side, each in a thread of its own.
        fingerprint: everything that its answers depend on beside picture, decoding and question, as JSON values.

    """

    card: ModelCard
    backend: str
    batch_size: int
    lanes: int
    fingerprint: dict[str, Any]

    def prepare(self, picture: View) -> Any:
        """Decode one picture."""
        ...

    def answer(
        self, asked: Sequence[tuple[Any, str]], most_tokens: int, tell: Callable[[str], None] | None = None
    ) -> Sequence[str | PictureError]:
        """Answer questions about prepared pictures; `tell` is given the words of a single one as they come.

        What `most_tokens` ended is a `CutShort`.
        """
        ...

    def answer_all(self, picture: Any, questions: Sequence[str], most_tokens: int) -> Sequence[str | PictureError]:
        """Answer several questions about one prepared picture, sharing what they share where the model can."""
        ...

    def forget(self, asked: Sequence[tuple[Any, str]], most_tokens: int) -> None:
        """Keep no answers to these: they were of no use, and asking again should not find them."""
        ...

    def count_tokens(self, picture: Any, question: str, reply: str, most_tokens: int) -> tuple[int, int] | None:
        """Return the tokens that were asked and said, for an answer that was just given; None where nobody counts."""
        ...

    def read_levels(self, prepared: Sequence[Any]) -> Sequence[Rating | PictureError] | None:
        """Rate prepared pictures by their level words; None where the model cannot."""
        ...

    def read_words(
        self, asked: Sequence[tuple[Any, str]], words: Sequence[str]
    ) -> Sequence[Mapping[str, float] | PictureError] | None:
        """Return for each question how likely its answer begins with each word, 0 to 1; None where nobody can tell."""
        ...

    def close(self) -> None:
        """End what was started, such as threads."""
        ...


BACKENDS = ("auto", "native", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """How a server is asked.

    Args:
        base_url: None for OPENAI_BASE_URL, else OpenAI's.
        side: pictures are reduced to this long side, in pixels.
        detail: `low`, `high` or `auto`, as the protocol has it.
        concurrency: requests at a time.
        seconds: that one may take.
        price_in: of a million tokens asked.
        price_out: of a million tokens said.
        max_cost: no request is begun once so much is spent; in the prices' currency.
        fresh: answers from before are asked for again.
        retries: of a request that met 408, 409, 429, a 5xx or a broken connection; Retry-After is honoured.

    """

    base_url: str | None = None
    side: int = 1024
    detail: str = "high"
    concurrency: int = 8
    seconds: float = 120.0
    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float | None = None
    retries: int = 5
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a model is wanted; a family takes what concerns it and refuses what it cannot do.

    Args:
        device: `auto`, `cpu`, `cuda[:N[,M...]]` or `mps`.
        data_type: one of `aescli.runtime.DATA_TYPES`.
        read_out: which of several becomes `overall`; None for the card's.
        max_tiles: the most tiles that a picture is cut into; None for the model's own.
        backend: `auto`, `native` or `worker`, where a checkpoint brings code of its own.
        unverified: the native path may be used before `aes models compare` has confirmed it.
        trust_remote_code: the checkpoint's own code may run, at its commit, in a process of its own.
        endpoint: how a server is asked.

    """

    device: str = "auto"
    data_type: str = "auto"
    read_out: str | None = None
    max_tiles: int | None = None
    backend: str = "auto"
    unverified: bool = False
    trust_remote_code: bool = False
    endpoint: EndpointOptions = EndpointOptions()


class Loaded(Protocol):
    """What every loaded model says of itself, wherever it is.

    Attributes:
        card: what is known of it.
        backend: what runs it and where, as rows show it.
        batch_size: how many pictures it likes at once.
        fingerprint: everything that it gives depends on beside the picture and its decoding, as JSON values.

    """

    @property
    def card(self) -> ModelCard: ...
    @property
    def backend(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def fingerprint(self) -> dict[str, Any]: ...


class Described(Loaded, Protocol):
    """What a model that rates says of itself.

    Attributes:
        dimensions: what it was asked for beside `overall`, in the card's order.

    """

    @property
    def dimensions(self) -> tuple[str, ...]: ...


@runtime_checkable
class Scorer(Described, Protocol):
    """A loaded model that rates pictures; several threads may call it at once."""

    def prepare(self, picture: View) -> Any:
        """Decode and measure one picture; what comes back is small and goes to `rate`."""
        ...

    def rate(self, prepared: Sequence[Any]) -> Sequence[Rating | PictureError]:
        """Rate prepared pictures, in their order; an error where one picture could not be rated."""
        ...

    def close(self) -> None:
        """End what was started, such as a process."""
        ...


@dataclass(frozen=True, slots=True)
class Features:
    """What a model makes of one picture before it judges.

    Args:
        values: float32, (width,).
        rating: its own judgement, in its native range; None for a model that has none.

    """

    values: np.ndarray
    rating: float | None


@runtime_checkable
class FeatureExtractor(Loaded, Protocol):
    """A loaded model that gives features, for heads that are trained on them; several threads may call it at once."""

    def prepare(self, picture: View) -> Any:
        """Decode one picture."""
        ...

    def extract(self, prepared: Sequence[Any]) -> Sequence[Features | PictureError]:
        """Return features of prepared pictures, in their order; an error where one picture gave none."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...
