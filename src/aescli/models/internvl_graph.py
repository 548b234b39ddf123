"""HumanAesExpert as one module whose whole work is tensors, which is what an exporter can follow.

Both questions stand behind the picture in one row, and a mask of four dimensions keeps them apart: the same numbers as
`humanaesexpert.Judge`, which keeps a cache instead. Logits are computed for the level words only.
"""

from typing import Any

import torch
from torch import Tensor, nn

from aescli.models import internvl
from aescli.models.humanaesexpert import Judge, normalize_on_device

_PREFIX, _PLAIN, _EXPERT = 1, 2, 3


class Graph(nn.Module):
    """See `aescli.models.internvl_onnx` for what goes in and comes out."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.network = judge.backbone.network
        self.heads = judge.heads
        self.image_token = judge.prompt.image
        self.behind_regression = len(judge.prompt.stem) + len(judge.prompt.expert) + 1
        self.behind_level = len(judge.prompt.expert) + 1
        self.data_type = judge.data_type
        words = judge.backbone.network.lm_head.weight[list(judge.prompt.levels)]
        self.register_buffer("words", words.clone())  # (levels, hidden)

    def forward(self, pixels: Tensor, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = internvl.encode(self.network, normalize_on_device(pixels, self.data_type))
        language: Any = self.network.model.language_model
        hidden = language(
            inputs_embeds=self._embed(tokens, features),  # (batch, length, hidden)
            attention_mask=segment_mask(segments),
            position_ids=segment_positions(segments),
            use_cache=False,
        ).last_hidden_state
        level = self.heads.read_levels(hidden[:, -self.behind_level] @ self.words.T)
        regression = self.heads.regress(hidden[:, -self.behind_regression])
        expert = self.heads.judge(hidden[:, -1])
        return level, regression, expert, self.heads.vote(level, regression, expert[:, -1])

    def _embed(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Put the n-th feature in the place of the n-th image token: gathered, which every exporter understands."""
        embeddings = self.network.model.language_model.embed_tokens(tokens)  # (batch, length, hidden)
        visual = tokens == self.image_token
        order = (visual.flatten().cumsum(0) - 1).clamp(min=0)  # (batch * length,)
        gathered = features.flatten(0, 1)[order].view_as(embeddings)
        return torch.where(visual[..., None], gathered.to(embeddings.dtype), embeddings)


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
