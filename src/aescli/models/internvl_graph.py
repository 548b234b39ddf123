"""HumanAesExpert as one module whose whole work is tensors, which is what an exporter can follow.

Both questions stand behind the picture in one row, and a mask of four dimensions keeps them apart: the same numbers as
`humanaesexpert.Judge`, which keeps a cache instead. Logits are computed for the level words only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aescli.cards import ModelCard
from aescli.errors import UsageError
from aescli.images.view import Pixels
from aescli.models import internvl, tiles
from aescli.models.checkpoint import check_revision
from aescli.models.choosing import may_state_choices
from aescli.models.exportable import Exportable
from aescli.models.humanaesexpert import Judge, load_judge, normalize_on_device, read_choices
from aescli.models.internvl_features import has_heads, load_without_heads
from aescli.models.internvl_onnx import FAMILY, OUTPUTS, Layout
from aescli.models.onnx import FEATURES
from aescli.models.read_outs import EXPERT, PLAIN

_PREFIX, _PLAIN, _EXPERT = 1, 2, 3


class ThinkingGraph(nn.Module):
    """InternVL2 as it is: the features alone; see `aescli.models.internvl_onnx` for what goes in and comes out."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.network = judge.backbone.network
        self.image_token = judge.prompt.image
        self.behind_plain = len(judge.prompt.stem) + len(judge.prompt.expert) + 1
        self.data_type = judge.data_type

    def forward(self, pixels: Tensor, tokens: Tensor, segments: Tensor) -> tuple[Tensor, ...]:
        return (self.think(pixels, tokens, segments)[:, -self.behind_plain].float(),)

    def think(self, pixels: Tensor, tokens: Tensor, segments: Tensor) -> Tensor:
        """Return hidden states, (batch, length, hidden)."""
        features = internvl.encode(self.network, normalize_on_device(pixels, self.data_type))
        language: Any = self.network.model.language_model
        hidden: Tensor = language(
            inputs_embeds=self._embed(tokens, features),  # (batch, length, hidden)
            attention_mask=segment_mask(segments),
            position_ids=segment_positions(segments),
            use_cache=False,
        ).last_hidden_state
        return hidden

    def _embed(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Put the n-th feature in the place of the n-th image token: gathered, which every exporter understands."""
        embeddings = self.network.model.language_model.embed_tokens(tokens)  # (batch, length, hidden)
        visual = tokens == self.image_token
        order = (visual.flatten().cumsum(0) - 1).clamp(min=0)  # (batch * length,)
        gathered = features.flatten(0, 1)[order].view_as(embeddings)
        return torch.where(visual[..., None], gathered.to(embeddings.dtype), embeddings)


class Graph(ThinkingGraph):
    """HumanAesExpert: every read-out, and the features."""

    words: Tensor

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self.heads = judge.heads
        self.behind_level = len(judge.prompt.expert) + 1
        words = judge.backbone.network.lm_head.weight[list(judge.prompt.levels)]
        self.register_buffer("words", words.clone())  # (levels, hidden)

    def forward(self, pixels: Tensor, tokens: Tensor, segments: Tensor) -> tuple[Tensor, ...]:
        hidden = self.think(pixels, tokens, segments)
        level = self.heads.read_levels(hidden[:, -self.behind_level] @ self.words.T)
        behind_plain = hidden[:, -self.behind_plain]  # (batch, hidden)
        regression = self.heads.regress(behind_plain)
        expert = self.heads.judge(hidden[:, -1])
        return level, regression, expert, self.heads.vote(level, regression, expert[:, -1]), behind_plain.float()


def make_exportable(card: ModelCard, source: Path, data_type: str) -> tuple[ModelCard, Exportable]:
    """Load a checkpoint of HumanAesExpert, or InternVL2 alone, for an export; the card comes back with its revision.

    Args:
        card: the model.
        source: its folder.
        data_type: `fp32` or `fp16`, of the graph.

    Raises:
        UsageError: it is not known whether our code says what the checkpoint says.
        WeightsUnavailable: files are missing or are not what they should be.

    """
    if not has_heads(source):
        return replace(card, revision=check_revision(card, source)), _describe_features(source, data_type)
    if not may_state_choices(card, source):
        raise UsageError(
            f"nothing has confirmed yet that our code says what {card.id} says",
            hint=f"aes models compare {card.id}   before it is exported",
        )
    card = replace(card, revision=check_revision(card, source))
    precise = load_judge(card, source, "cpu", torch.float32)
    judge = precise if data_type == "fp32" else load_judge(card, source, "cpu", torch.float16)
    heads, prompt = read_choices(source)
    fields = {"heads": heads.as_json(), "prompt": prompt.as_json()}
    return card, describe_judge(judge, precise, fields)


def describe_judge(judge: Judge, precise: Judge, fields: Mapping[str, Any]) -> Exportable:
    """Return a loaded judge as an export needs it, to be held to another one in fp32."""

    def expected(pictures: Sequence[Pixels]) -> dict[str, np.ndarray]:
        hidden = precise.think(pictures, (PLAIN, EXPERT))
        found = precise.read_heads(hidden, (PLAIN, EXPERT))
        ratings = {name: getattr(found, name).float().numpy() for name in OUTPUTS}
        return {**ratings, FEATURES: precise.last_of_plain(hidden).float().numpy()}

    return _describe(Graph(judge), (*OUTPUTS, FEATURES), judge, expected, fields)


def _describe_features(source: Path, data_type: str) -> Exportable:
    """Return InternVL2 without heads as an export needs it: of both questions only what its features stand behind."""
    precise = _without_answers(load_without_heads(source, "cpu", torch.float32))
    judge = precise if data_type == "fp32" else _without_answers(load_without_heads(source, "cpu", torch.float16))

    def expected(pictures: Sequence[Pixels]) -> dict[str, np.ndarray]:
        return {FEATURES: precise.last_of_plain(precise.think(pictures, (PLAIN,))).float().numpy()}

    fields = {
        "title": f"InternVL2 without heads, exported to ONNX in {data_type}",
        "dimensions": [],
        "trains_only": True,
    }
    return _describe(ThinkingGraph(judge), (FEATURES,), judge, expected, fields)


def _without_answers(judge: Judge) -> Judge:
    return replace(judge, prompt=replace(judge.prompt, stem=(), expert=()))


def _describe(
    graph: ThinkingGraph, outputs: tuple[str, ...], judge: Judge,
    expected: Callable[[Sequence[Pixels]], Mapping[str, np.ndarray]], fields: Mapping[str, Any],
) -> Exportable:  # fmt: skip
    layout = Layout(judge.prompt, judge.backbone.tile_tokens, judge.backbone.tiling)
    return Exportable(
        graph=graph.eval(),
        outputs=outputs,
        unscaled=frozenset({FEATURES}),
        varying={"pixels": {0: "tiles"}, "tokens": {0: "batch", 1: "length"}, "segments": {0: "batch", 1: "length"}},
        prepare=lambda picture: tiles.cut(picture, layout.tiling),
        inputs=layout.inputs,
        expected=expected,
        card={
            "family": FAMILY,
            "tokens": layout.prompt.as_json(),
            "tile_tokens": layout.tile_tokens,
            "tiling": asdict(layout.tiling),
            **fields,
        },
    )


def segment_mask(segments: Tensor) -> Tensor:
    """Return who sees whom, (batch, 1, length, length): what stands before it in the prefix or in its own segment."""
    length = segments.shape[1]
    place = torch.arange(length, device=segments.device)
    before = place[None, :] <= place[:, None]  # (length, length)
    seen, seeing = segments[:, None, :], segments[:, :, None]
    allowed = before & ((seen == _PREFIX) | ((seen == seeing) & (seen > 0)))
    # Padding sees itself: a row that sees nothing is no number, and would spread.
    return (allowed | (place[None, :] == place[:, None]))[:, None]


def segment_positions(segments: Tensor) -> Tensor:
    """Return positions, (batch, length): both questions go on where the prefix ends."""
    prefix = segments == _PREFIX
    end = prefix.sum(1, keepdim=True)
    plain, expert = (segments == kind for kind in (_PLAIN, _EXPERT))
    counted = prefix.cumsum(1) * prefix + (end + plain.cumsum(1)) * plain + (end + expert.cumsum(1)) * expert
    return (counted - 1).clamp(min=0)
