"""What level read-outs and critiques need of a model that sees and speaks, whatever its family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from aescli.images.view import Pixels, View


@dataclass(frozen=True, slots=True)
class Turn:
    """One question about one picture, and how the answer begins.

    Args:
        picture: as the model's `look` returned it.
        question: of the user.
        answer: words that the model is made to begin with; what it adds follows them.

    """

    picture: Pixels
    question: str
    answer: str = ""


class Speaker(Protocol):
    """A loaded model that answers questions about pictures.

    Attributes:
        network: has `forward` and `generate`, as the models of transformers have.
        device: as torch names it.
        data_type: of its weights.
        stops: tokens that end an answer.

    """

    @property
    def network(self) -> Any: ...
    @property
    def device(self) -> str: ...
    @property
    def data_type(self) -> torch.dtype: ...
    @property
    def stops(self) -> Sequence[int]: ...

    def look(self, picture: View) -> Pixels:
        """Return what is kept of a picture until its batch is run, (height, width, 3)."""
        ...

    def inputs(self, turns: Sequence[Turn]) -> Mapping[str, Tensor]:
        """Return what the network takes for a batch, padded on the left."""
        ...

    def answer_all(self, picture: Pixels, questions: Sequence[str], most_tokens: int) -> list[str] | None:
        """Answer several questions about one picture over one prefix; None where the family has no way to share it."""
        ...

    def tokens(self, turn: Turn) -> list[int]:
        """Return the tokens of one turn; the picture may stand for one token or for all of its own."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Return the words of an answer, without marks."""
        ...
