"""Answers in words: greedy, so that the same picture has the same words; one by one as they come, or in batches."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from aescli.models.base import CutShort
from aescli.models.talking import Speaker, Turn


@torch.inference_mode()
def answer(
    speaker: Speaker, turns: Sequence[Turn], *, most_tokens: int, tell: Callable[[str], None] | None = None
) -> list[str]:
    """Return what the model says to each turn, without what it was made to begin with.

    Args:
        speaker: a loaded model.
        turns: are answered as one batch.
        most_tokens: of an answer.
        tell: is given the words of a single turn as they come.

    """
    inputs = speaker.inputs(turns)
    length = inputs["input_ids"].shape[1]
    stops = list(speaker.stops)
    rows = speaker.network.generate(
        **inputs,
        do_sample=False,
        num_beams=1,
        max_new_tokens=most_tokens,
        eos_token_id=stops or None,
        pad_token_id=stops[0] if stops else 0,
        streamer=_Teller(speaker, tell) if tell and len(turns) == 1 else None,
    )
    return [put_in_words(speaker, row[length:].tolist(), most_tokens) for row in rows]


def put_in_words(speaker: Speaker, tokens: Sequence[int], most_tokens: int) -> str:
    """Return the words of what was generated, up to a stop; a `CutShort` where `most_tokens` came before one."""
    said = _until(speaker.stops, tokens)
    text = speaker.text(said)
    return CutShort(text) if len(said) >= most_tokens else text


class _Teller:
    """What transformers hands tokens to; words are told when they are whole."""

    def __init__(self, speaker: Speaker, tell: Callable[[str], None]) -> None:
        self._speaker = speaker
        self._tell = tell
        self._tokens: list[int] = []
        self._told = 0
        self._begun = False

    def put(self, value: Any) -> None:
        if not self._begun:  # the first that comes is the question
            self._begun = True
            return
        self._tokens += value.reshape(-1).tolist()
        text = self._speaker.text(_until(self._speaker.stops, self._tokens))
        whole = max(text.rfind(" "), text.rfind("\n")) + 1  # a token may be part of a letter
        if whole > self._told:
            self._tell(text[self._told : whole])
            self._told = whole

    def end(self) -> None:
        text = self._speaker.text(_until(self._speaker.stops, self._tokens))
        self._tell(text[self._told :])


def _until(stops: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """Return the tokens before the first that ends an answer."""
    return list(tokens[: next((at for at, token in enumerate(tokens) if token in stops), len(tokens))])
