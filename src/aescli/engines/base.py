"""What every engine is told, and what it can do."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from aescli.cards import ModelCard
from aescli.images.find import Found
from aescli.images.isolation import Limits
from aescli.images.opening import Opener
from aescli.images.picture import Decoding
from aescli.models.base import Described, LoadOptions
from aescli.results import Row
from aescli.scoring import Settings
from aescli.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is needed to load the model and to open pictures, on whichever machine.

    Args:
        card: which model.
        dimensions: what is wanted beside `overall`.
        options: how it is loaded.
        decoding: how pictures are decoded.
        isolate: as `Opener` takes it.
        limits: of an isolated decoder.
        workers: threads for each model; None leaves it to the engine.
        batch_size: None for the model's own.
        readers: threads that there are at least, where most of the time is spent waiting for a server.

    """

    card: ModelCard
    dimensions: tuple[str, ...]
    options: LoadOptions
    decoding: Decoding
    isolate: str
    limits: Limits
    workers: int | None = None
    batch_size: int | None = None
    readers: int = 0

    def opener(self) -> Opener:
        return Opener(self.decoding, self.isolate, self.limits)


class Engine(Protocol):
    """Where a job runs.

    Attributes:
        scorer: what the model says of itself.

    """

    @property
    def scorer(self) -> Described: ...

    def score_all(self, inputs: Iterable[Found], settings: Settings, store: Store | None) -> Generator[Row]:
        """Yield one row for each input, in order."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...
