"""What a training will take, before it is begun: steps, parameters, memory and time, estimated."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from aescli.training.batching import Plan, pack
from aescli.training.loop import LoopChoices, Task

_PROBE, _ROUNDS = 1024, 8
_REACHED = 0.5  # of a large product's speed: attention, norms, the optimiser and waiting take the rest


@dataclass(frozen=True, slots=True)
class Estimate:
    """Attributes are counts, bytes and seconds; of one process.

    Attributes:
        samples: that are trained on.
        steps: of the optimiser.
        tokens: of all epochs.
        trainable: parameters.
        parameters: in all.
        memory: weights, gradients, the optimiser's moments and the activations of the longest micro-batch.
        seconds: of training, without evaluations.

    """

    samples: int
    steps: int
    tokens: int
    trainable: int
    parameters: int
    memory: int
    seconds: float


def estimate(task: Task, choices: LoopChoices, device: str, data_type: torch.dtype) -> Estimate:
    """Estimate a training.

    Args:
        task: loaded, not trained.
        choices: how it would run.
        device: where.
        data_type: of the frozen weights.

    """
    held = list(task.module.parameters())
    trained = [each for each in held if each.requires_grad]
    count, trainable = sum(each.numel() for each in held), sum(each.numel() for each in trained)
    plan = Plan(task.lengths, choices.batches)
    tokens = sum(task.lengths) * choices.batches.epochs
    recomputed = choices.checkpointing if choices.checkpointing is not None else device.startswith("cuda")
    # Forward 2 and backward 2 for each parameter and token, 2 more for a second forward, 2 for gradients of weights.
    work = tokens * (count * (6 if recomputed else 4) + 2 * trainable)
    weights = sum(each.numel() * each.element_size() for each in held)
    memory = weights + trainable * 12 + _activations(task, choices, data_type, recomputed=recomputed)
    seconds = work / (_REACHED * _measure_speed(device, data_type))
    return Estimate(len(task.lengths), plan.steps, tokens, trainable, count, memory, seconds)


def _activations(task: Task, choices: LoopChoices, data_type: torch.dtype, *, recomputed: bool) -> int:
    """Return bytes that are kept for the backward pass of the largest micro-batch."""
    network: Any = getattr(task.module, "network", task.module)
    text = network.config.text_config
    batches = pack(range(len(task.lengths)), task.lengths, choices.batches.tokens)
    tokens = max(len(batch) * task.lengths[batch[0]] for batch in batches)
    each = torch.tensor([], dtype=data_type).element_size()
    layer = 12 * text.hidden_size + 4 * text.intermediate_size  # numbers for each token, attention without its matrix
    kept = text.hidden_size * text.num_hidden_layers + layer if recomputed else layer * text.num_hidden_layers
    return int(tokens * kept * each)


def _measure_speed(device: str, data_type: torch.dtype) -> float:
    """Return operations a second of a large matrix product."""
    one = torch.randn(_PROBE, _PROBE, device=device).to(data_type)
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        float((one @ one)[0, 0])  # waits for the GPU
        best = min(best, time.perf_counter() - started)
    return 2 * _PROBE**3 / best
