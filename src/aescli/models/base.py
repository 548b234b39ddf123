"""What a family of models must be able to do; nothing else of a model is known outside its file."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from aescli.cards import ModelCard
from aescli.images.view import View
from aescli.results import Rating


@runtime_checkable
class Scorer(Protocol):
    """A loaded model that rates pictures; several threads may call it at once.

    Attributes:
        card: what is known of it.
        dimensions: what it was asked for beside `overall`, in the card's order.
        backend: what runs it and where, as rows show it.
        batch_size: how many pictures it likes to rate at once.
        fingerprint: everything that its ratings depend on beside the picture and its decoding, as JSON values.

    """

    card: ModelCard
    dimensions: tuple[str, ...]
    backend: str
    batch_size: int
    fingerprint: dict[str, Any]

    def prepare(self, picture: View) -> Any:
        """Decode and measure one picture; what comes back is small and goes to `rate`."""
        ...

    def rate(self, prepared: Sequence[Any]) -> list[Rating]:
        """Rate prepared pictures, in their order."""
        ...
