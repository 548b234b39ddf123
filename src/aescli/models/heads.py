"""HumanAesExpert's heads: Regression, Expert (twelve dimensions in a tree), level words, and the MetaVoter.

Source: arXiv 2503.23907 and KwaiVGI/HumanAesExpert. What neither says (widths, activations, the weights of the levels)
is a choice that a checkpoint's card states; nothing is filled in for weights that come without one. Heads compute in
float32: fresh ones overflowed in half precision.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aescli.dimensions import HUMAN_DIMENSIONS, HUMAN_TREE
from aescli.errors import WeightsUnavailable
from aescli.models.checkpoint import HEAD_PREFIXES, fill

_PREFIXES = dict(zip(("regression", "expert", "voter"), HEAD_PREFIXES, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChoices:
    """What a checkpoint must state of its heads, since no paper does.

    Args:
        pooling: where the heads read the hidden states: `last_prompt`, the position before the answer.
        regression_bias: the Regression head has one.
        regression_activation: `none` or `sigmoid`.
        expert_activation: of leaves and parents, `sigmoid`; parents read what it gives.
        expert_width: hidden units of a parent for each of its inputs.
        voter_width: hidden units of the MetaVoter.
        voter_order: what its three inputs are.
        levels: the words of the language-model head, from worst to best.
        level_weights: what each is worth, in the native range.

    """

    pooling: str = "last_prompt"
    regression_bias: bool = True
    regression_activation: str = "none"
    expert_activation: str = "sigmoid"
    expert_width: int = 4
    voter_width: int = 16
    voter_order: tuple[str, ...] = ("lm", "regression", "expert")
    levels: tuple[str, ...] = ("bad", "poor", "fair", "good", "excellent")
    level_weights: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)

    @classmethod
    def read(cls, fields: Mapping[str, Any], where: str) -> "HeadChoices":
        """Read a card's `heads`; every choice must be there.

        Raises:
            WeightsUnavailable: one is missing, unknown, or is not understood.

        """
        if not isinstance(fields, Mapping):
            raise WeightsUnavailable(f"{where}: the card's heads are no object")
        names = set(cls.__dataclass_fields__)
        if missing := sorted(names - set(fields)) or sorted(set(fields) - names):
            raise WeightsUnavailable(f"{where}: the card's heads lack or should not have: {', '.join(missing)}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        choices = cls(**values)
        known = {
            "pooling": ("last_prompt",),
            "regression_activation": ("none", "sigmoid"),
            "expert_activation": ("sigmoid",),
            "voter_order": (("lm", "regression", "expert"),),
        }
        for name, understood in known.items():
            if getattr(choices, name) not in understood:
                raise WeightsUnavailable(f"{where}: heads.{name} = {getattr(choices, name)!r} is not understood")
        numbers = [choices.expert_width, choices.voter_width]
        if not all(type(number) is int and 0 < number <= 4096 for number in numbers):
            raise WeightsUnavailable(f"{where}: heads have widths of 1 to 4096, not {numbers}")
        if not isinstance(choices.regression_bias, bool):
            raise WeightsUnavailable(f"{where}: heads.regression_bias is true or false")
        _check_levels(choices, where)
        return choices

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _check_levels(choices: HeadChoices, where: str) -> None:
    words, weights = choices.levels, choices.level_weights
    good = isinstance(words, tuple) and isinstance(weights, tuple) and len(words) == len(weights) >= 2
    if not good or not all(isinstance(word, str) and word for word in words):
        raise WeightsUnavailable(f"{where}: every level is a word and has its weight")
    if not all(isinstance(weight, int | float) and math.isfinite(weight) for weight in weights):
        raise WeightsUnavailable(f"{where}: the weights of levels are finite numbers")


class Heads(nn.Module):
    """Regression, Expert and MetaVoter over the language model's hidden state."""

    level_weights: Tensor

    def __init__(self, hidden: int, choices: HeadChoices) -> None:
        super().__init__()
        self.choices = choices
        self.regression = nn.Linear(hidden, 1, bias=choices.regression_bias)
        self.expert = Expert(hidden, choices.expert_width)
        self.voter = _network(len(choices.voter_order), choices.voter_width)
        self.register_buffer("level_weights", torch.tensor(choices.level_weights), persistent=False)

    def regress(self, hidden: Tensor) -> Tensor:
        """(batch, hidden) to (batch,)."""
        found = self.regression(hidden.float())[:, 0]
        activated: Tensor = found.sigmoid() if self.choices.regression_activation == "sigmoid" else found
        return activated

    def judge(self, hidden: Tensor) -> Tensor:
        """(batch, hidden) to the twelve dimensions, (batch, 12)."""
        found: Tensor = self.expert(hidden.float())
        return found

    def read_levels(self, logits: Tensor) -> Tensor:
        """Logits of the level words, (batch, levels), to (batch,): their softmax, weighted."""
        return logits.float().softmax(-1) @ self.level_weights

    def vote(self, level: Tensor, regression: Tensor, comprehensive: Tensor) -> Tensor:
        """Three scores, each (batch,), to one."""
        found: Tensor = self.voter(torch.stack([level, regression, comprehensive], -1))[:, 0]
        return found


class Expert(nn.Module):
    """Nine leaves from the hidden state; three parents, each from its own children (the paper's sparse tree)."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.leaves = nn.Linear(hidden, len(HUMAN_DIMENSIONS) - len(HUMAN_TREE))
        self.facial_aesthetic = _network(5, 5 * width)
        self.general_appearance = _network(3, 3 * width)
        self.comprehensive = _network(3, 3 * width)

    def forward(self, hidden: Tensor) -> Tensor:
        leaves = self.leaves(hidden).sigmoid()  # (batch, 9)
        face, clothes, place = leaves[:, :5], leaves[:, 5:8], leaves[:, 8:]
        facial = self.facial_aesthetic(face).sigmoid()  # (batch, 1)
        appearance = self.general_appearance(clothes).sigmoid()  # (batch, 1)
        comprehensive = self.comprehensive(torch.cat([place, facial, appearance], -1)).sigmoid()  # (batch, 1)
        return torch.cat([face, facial, clothes, place, appearance, comprehensive], -1)  # (batch, 12)


def build_heads(tensors: Mapping[str, Tensor], hidden: int, choices: HeadChoices, where: str) -> Heads:
    """Make heads of a checkpoint's tensors, matched by key and shape.

    Raises:
        WeightsUnavailable: the tensors are not those of this layout.

    """
    heads = Heads(hidden, choices)
    fill(heads, {_short(name): tensor.float() for name, tensor in tensors.items()}, where)
    return heads.eval().requires_grad_(requires_grad=False)


def name_tensors(heads: Heads) -> dict[str, Tensor]:
    """Return the heads' parameters by their names in a checkpoint."""
    named = {}
    for name, tensor in heads.state_dict().items():
        head, _, rest = name.partition(".")
        named[_PREFIXES[head] + rest] = tensor
    return named


def _short(name: str) -> str:
    for head, prefix in _PREFIXES.items():
        if name.startswith(prefix):
            return f"{head}.{name.removeprefix(prefix)}"
    return name


def _network(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, 1))
