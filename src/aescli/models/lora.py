"""Low-rank adaptation of linear layers (Hu et al., arXiv 2106.09685): W x + (alpha / r) B A x, with W frozen.

Parameters are kept in float32 whatever the layer's own precision, since updates are smaller than what half precision
can tell apart.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from aescli.errors import UsageError

# Every linear of the language model and of the projector; never the vision tower, the output layer or embeddings.
TARGETS = re.compile(
    r"^model\.(?:language_model\.layers\.\d+\.(?:self_attn|mlp)\.\w+_proj|multi_modal_projector\.linear_[12])$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraChoices:
    """How layers are adapted; defaults are those of HumanAesExpert's released script (ms-swift 2.6).

    Args:
        rank: columns of B and rows of A.
        alpha: the product is multiplied by alpha / rank.
        dropout: share of an adapted layer's inputs that A does not see while training.

    """

    rank: int = 8
    alpha: float = 32.0
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise UsageError("lora.rank is 1 or more, lora.alpha above 0, and lora.dropout from 0 to below 1")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class LoraLinear(nn.Module):
    """A frozen linear layer and its low-rank change, which begins as none."""

    def __init__(self, base: nn.Linear, choices: LoraChoices) -> None:
        super().__init__()
        self.base = base
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(choices.rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, choices.rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = choices.dropout
        self.scale = choices.scale

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        seen = functional.dropout(inputs, self.dropout, self.training).to(self.lora_A.dtype)
        changed = functional.linear(functional.linear(seen, self.lora_A), self.lora_B) * self.scale
        result: Tensor = self.base(inputs) + changed.to(inputs.dtype)
        return result


def attach(network: nn.Module, choices: LoraChoices) -> list[str]:
    """Put LoRA around every target of a network, and return their names."""
    names = [name for name, module in network.named_modules() if TARGETS.match(name) and isinstance(module, nn.Linear)]
    for name in names:
        parent, _, last = name.rpartition(".")
        holder: Any = network.get_submodule(parent)
        setattr(holder, last, LoraLinear(getattr(holder, last), choices))
    return names


def changes(state: dict[str, Tensor], choices: LoraChoices) -> Iterator[tuple[str, Tensor]]:
    """Yield what is added to each adapted weight, by the weight's name before it was adapted.

    Args:
        state: `NAME.lora_A` (rank, in) and `NAME.lora_B` (out, rank) among others.
        choices: the ones they were trained with.

    """
    for name, low in state.items():
        if name.endswith(".lora_A"):
            layer = name.removesuffix(".lora_A")
            yield f"{layer}.weight", state[f"{layer}.lora_B"].float() @ low.float() * choices.scale  # (out, in)
