"""The training loop, from top to bottom.

Accelerate places the model and shares it among processes (`accelerate launch`, `torchrun`); all else stands here.
What a step does is a function of the seed and its number: order, questions, dropout and rate. So a run that was killed
goes on with the very numbers it would have had, and two processes compute what one computes with accumulation: but for
dropout, which is drawn for each micro-batch, and how a step is cut into these depends on the number of processes.
"""

import json
import math
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from aescli.errors import AesError, Stopped, UsageError
from aescli.names import escape
from aescli.output import replace_file
from aescli.runtime import DATA_TYPES
from aescli.training import saving
from aescli.training.batching import BatchChoices, MicroBatch, Plan, pack, share_evenly
from aescli.training.hearing import Hearing, Step, silent
from aescli.training.pictures import work_ahead

METRICS_FILE = "metrics.jsonl"

_LARGEST_RATE = 1e30  # single precision ends at 3e38

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopChoices:
    """How a model is trained; defaults are those in force in HumanAesExpert's released script (ms-swift 2.6).

    Args:
        batches: how samples become steps.
        rate: the highest learning rate.
        head_rate: that of fresh heads; None for the same.
        warm_up: share of the steps in which the rate rises; behind them it falls as a cosine to 0.
        decay: of weights (Loshchilov and Hutter); vectors such as biases do not decay.
        betas: of AdamW.
        epsilon: of AdamW.
        clip: largest norm of all gradients together.
        evaluate_every: steps between two looks at the validation samples.
        save_every: steps between two checkpoints.
        checkpointing: activations are computed a second time instead of being kept; None where a GPU is used.
        trackers: of accelerate, such as `tensorboard`; metrics.jsonl is always written.
        device: `auto`, `cpu`, `cuda` or `mps`; how many GPUs there are is accelerate's to know.
        precision: `fp32`, `bf16`, `fp16`, or `auto`: bf16 on a GPU, fp32 elsewhere.

    """

    batches: BatchChoices = field(default_factory=BatchChoices)
    rate: float = 1e-4
    head_rate: float | None = None
    warm_up: float = 0.05
    decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    clip: float = 1.0
    evaluate_every: int = 50
    save_every: int = 50
    checkpointing: bool | None = None
    trackers: tuple[str, ...] = ()
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        rates = self.rate, self.rate if self.head_rate is None else self.head_rate
        if not all(0 < rate <= _LARGEST_RATE for rate in rates):
            raise UsageError(f"learning rates are above 0, and {_LARGEST_RATE:g} at most")
        if not all(0 <= beta < 1 for beta in self.betas) or not 0 <= self.warm_up < 1:
            raise UsageError("betas and the warm-up, a share of the steps, are from 0 to below 1")
        if min(self.evaluate_every, self.save_every) < 1 or min(self.clip, self.epsilon) <= 0 or self.decay < 0:
            raise UsageError("there is a step or more between two looks, and clip and epsilon are above 0")
        if ":" in self.device:
            raise UsageError(
                "--device counts no GPUs while training", hint="accelerate launch --gpu_ids 0,1 -m aescli train ..."
            )
        if self.precision not in DATA_TYPES:
            raise UsageError(f"'{self.precision}' is no precision", hint="--dtype " + "|".join(DATA_TYPES))

    def rate_at(self, step: int, steps: int) -> float:
        """Return the share of the highest rate at a step, from 0: a line up, then half a cosine down."""
        rising = max(1, round(self.warm_up * steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Task(Protocol):
    """What is trained, as the loop sees it.

    Attributes:
        module: takes a batch by keywords and returns `loss`, one for each sample, and whatever `judge` reads.
        lengths: tokens of each training sample.
        weights: what each counts in the mean of a step.
        held: how many validation samples there are.
        held_lengths: tokens of each.
        head_names: beginnings of the names of parameters that learn at `head_rate`.

    """

    module: nn.Module
    held: int

    @property
    def lengths(self) -> Sequence[int]: ...
    @property
    def weights(self) -> Sequence[float]: ...
    @property
    def held_lengths(self) -> Sequence[int]: ...
    @property
    def head_names(self) -> tuple[str, ...]: ...

    def load(self, at: int, epoch: int) -> Any:
        """Decode and tokenize a training sample; called in threads."""
        ...

    def load_held(self, at: int) -> Any:
        """Do the same for a validation sample."""
        ...

    def collate(self, loaded: Sequence[Any]) -> Batch:
        """Return samples as one padded batch."""
        ...

    def judge(self, said: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
        """Return metrics of what was said of all validation samples; `best` is the one that is to be high."""
        ...

    def describe(self, at: int) -> str:
        """Return a training sample's picture, for a message."""
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training left.

    Attributes:
        state: the best parameters that were trained, by their names, on the CPU.
        step: the one that they are of.
        steps: that were done in all.
        metrics: of them.

    """

    state: dict[str, Tensor]
    step: int
    steps: int
    metrics: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        return {"best_step": self.step, "steps": self.steps, "validation": self.metrics}


def train(
    task: Task, choices: LoopChoices, run: Path, identity: Mapping[str, Any], hearing: Hearing = silent
) -> Trained | None:
    """Train, from the run's last checkpoint if it has one.

    Args:
        task: what is trained.
        choices: how.
        run: the folder of checkpoints and metrics.
        identity: everything that decides the numbers, as JSON values; a checkpoint with another is refused.
        hearing: is told how it goes, and says when to stop.

    Returns:
        The best parameters; None in all processes but the first.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        AesError: a loss was not finite, or the checkpoint is of another training.

    """
    accelerator = start(choices, run)
    parameters = {name: each for name, each in task.module.named_parameters() if each.requires_grad}
    optimizer = make_optimizer(parameters, task.head_names, choices)
    rates = [group["lr"] for group in optimizer.param_groups]
    model, prepared = accelerator.prepare(task.module, optimizer)
    plan = Plan(task.lengths, choices.batches, accelerator.num_processes)
    keeper = _Keeper(run, accelerator, model, parameters, prepared, dict(identity))
    done, best = keeper.resume()
    metrics: dict[str, float] = dict(best.get("metrics", {}))
    journal = _Journal(run / METRICS_FILE, done, wanted=accelerator.is_main_process)
    started, first = time.perf_counter(), done
    model.train()
    with closing(_load_ahead(task, plan, done, accelerator.process_index)) as steps:
        for number, batches, loaded in steps:
            factor = choices.rate_at(number, plan.steps)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            loss = _accumulate(task, model, accelerator, (number, batches, loaded), choices.batches.seed)
            norm = accelerator.clip_grad_norm_(parameters.values(), choices.clip)
            prepared.step()
            prepared.zero_grad()

            done = number + 1
            line = {"step": done, "loss": loss, "rate": rates[0] * factor, "norm": float(norm or 0)}
            if task.held and (done % choices.evaluate_every == 0 or done == plan.steps):
                metrics = evaluate(task, model, accelerator, choices.batches.tokens)
                line |= metrics
            # Without validation samples the last step is the best that is known.
            value = metrics.get("best", -math.inf) if task.held else float(done == plan.steps) - 1
            if value > best.get("value", -math.inf if task.held else -1):
                best = {"value": value, "step": done, "metrics": metrics}
                keeper.save_best(done)
            journal.write(line)
            accelerator.log({name: each for name, each in line.items() if name != "step"}, step=done)
            seconds = (time.perf_counter() - started) / (done - first) * (plan.steps - done)
            hearing.step(Step(done, plan.steps, loss, metrics, seconds, peak_memory()))
            signal = _agree(hearing.stop(), accelerator)
            if signal or done % choices.save_every == 0 or done == plan.steps:
                keeper.save(done, best)
            if signal:
                raise Stopped(signal, f"saved at step {done} of {plan.steps}: the same command with --resume goes on")
    accelerator.end_training()
    if not accelerator.is_main_process:
        return None
    return Trained(saving.load_best(run), best["step"], plan.steps, dict(best["metrics"]))


def _accumulate(task: Task, model: Any, accelerator: Any, step: "_LoadedStep", seed: int) -> float:
    """Add up the gradients of a step's micro-batches over all processes, and return the mean loss of its samples."""
    number, batches, loaded = step
    weight = sum(task.weights[at] for batch in batches for at in batch)
    total = torch.zeros((), device=accelerator.device)
    own = range(accelerator.process_index, len(batches), accelerator.num_processes)
    for at, samples in zip(own, loaded, strict=True):
        torch.manual_seed(_seed(seed, number, at))  # of dropout, whoever computes this micro-batch
        last = at == own[-1]
        accelerator.gradient_state._set_sync_gradients(last)
        with nullcontext() if last else accelerator.no_sync(model):
            losses = model(**move(task.collate(samples), accelerator.device))["loss"]  # (samples,)
            counted = torch.tensor([task.weights[each] for each in batches[at]], device=losses.device)
            loss = (losses * counted).sum() / weight
            _refuse_unless_finite(loss, task, batches[at], number)
            # Accelerate takes the mean over processes; each has its part of one sum.
            accelerator.backward(loss * accelerator.num_processes)
        total += loss.detach()
    return float(accelerator.reduce(total, "sum"))


def start(choices: LoopChoices, run: Path) -> Any:
    """Return an Accelerator for the device and the precision that were asked for.

    Raises:
        DeviceUnavailable: the device cannot be had.
        AesError: this is one of several processes, and they do not see each other.

    """
    from accelerate import Accelerator

    from aescli.runtime import place_torch

    placement = place_torch(choices.device, choices.precision)
    device = placement.devices[0].kind
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[placement.data_type]
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision=precision, log_with=list(choices.trackers) or None, project_dir=str(run)
    )
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted != accelerator.num_processes:  # accelerate goes on alone without a word
        raise AesError(f"{wanted} processes were started, and each sees {accelerator.num_processes}")
    if choices.trackers:
        accelerator.init_trackers("aes")
    return accelerator


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that would be passed over: those that accelerate does not know, or whose package is not there.

    Raises:
        UsageError: as said.

    """
    if not names:
        return
    from accelerate.tracking import LoggerType, get_available_trackers

    known = [str(each) for each in LoggerType.list() if str(each) != "all"]
    here = [str(each) for each in get_available_trackers()]
    for name in names:
        if name not in known:
            raise UsageError(f"'{escape(name)}' is no tracker", hint=", ".join(known))
        if name not in here:
            raise UsageError(f"--tracker {name} needs a package that is not installed", hint=f"pip install {name}")


def make_optimizer(
    parameters: Mapping[str, nn.Parameter], head_names: tuple[str, ...], choices: LoopChoices
) -> torch.optim.AdamW:
    """Return AdamW over four groups: heads or not, matrices that decay or vectors that do not."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((name.startswith(head_names), parameter.ndim >= 2), []).append(parameter)
    head_rate = choices.rate if choices.head_rate is None else choices.head_rate
    return torch.optim.AdamW(
        [
            {
                "params": held,
                "lr": head_rate if is_head else choices.rate,
                "weight_decay": choices.decay if decays else 0.0,
            }
            for (is_head, decays), held in groups.items()
        ],
        betas=choices.betas,
        eps=choices.epsilon,
    )


@torch.no_grad()
def evaluate(task: Task, model: Any, accelerator: Any, tokens: int) -> dict[str, float]:
    """Return metrics over all validation samples, the same in every process."""
    from accelerate.utils import gather_object

    model.eval()
    processes = accelerator.num_processes
    batches = pack(range(task.held), task.held_lengths, tokens)
    if task.held >= processes:
        batches = share_evenly(batches, task.held_lengths, processes)
    else:  # every process must call the model equally often; what is said twice is counted once
        batches = [(at % task.held,) for at in range(processes)]
    own = batches[accelerator.process_index :: processes]
    found: list[tuple[int, dict[str, Any]]] = []
    for batch, loaded in zip(own, work_ahead(lambda batch: [task.load_held(at) for at in batch], own), strict=True):
        said = model(**move(task.collate(loaded), accelerator.device))
        rows = {name: values.float().cpu().tolist() for name, values in said.items()}
        found += [(at, {name: values[row] for name, values in rows.items()}) for row, at in enumerate(batch)]
    model.train()
    said = dict(gather_object(found) if processes > 1 else found)
    _refuse_unless_known(said)
    return task.judge(said)


def move(batch: Batch, device: Any) -> Batch:
    """Return a batch on a device."""
    return {name: values.to(device, non_blocking=True) for name, values in batch.items()}


def peak_memory() -> int:
    """Return the most memory that was used: of the GPU if there is one, else of this process; 0 if nobody knows."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
        import sys
    except ImportError:
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


class _Keeper:
    """Saves and loads; with FSDP or DeepSpeed, which cut parameters into pieces, in accelerate's own format."""

    def __init__(
        self, run: Path, accelerator: Any, model: Any, parameters: Mapping[str, nn.Parameter], optimizer: Any,
        identity: dict[str, Any],
    ) -> None:  # fmt: skip
        self._run = run
        self._accelerator = accelerator
        self._model = model
        self._parameters = parameters
        self._optimizer = getattr(optimizer, "optimizer", optimizer)
        self._identity = identity
        self._in_pieces = str(accelerator.distributed_type).rpartition(".")[2] in ("FSDP", "DEEPSPEED")

    def resume(self) -> tuple[int, dict[str, Any]]:
        """Return the steps that are done, and what was best."""
        checkpoint = saving.find_checkpoint(self._run)
        if checkpoint is None:
            return 0, {}
        before = checkpoint.state["identity"]
        changed = sorted(key for key in {*before, *self._identity} if before.get(key) != self._identity.get(key))
        if changed:
            raise AesError(
                f"{escape(str(checkpoint.folder))} is of another training: {', '.join(changed)} differ",
                hint="resume with the options of then, or start in another folder",
            )
        if self._in_pieces:
            self._accelerator.load_state(str(checkpoint.folder / "pieces"))
        else:
            saving.load_checkpoint(checkpoint, self._parameters, self._optimizer)
        if self._accelerator.scaler and checkpoint.state.get("scaler"):
            self._accelerator.scaler.load_state_dict(checkpoint.state["scaler"])
        return checkpoint.step, dict(checkpoint.state["best"])

    def save(self, step: int, best: Mapping[str, Any]) -> None:
        scaler = self._accelerator.scaler
        state = {"identity": self._identity, "best": best, "scaler": scaler.state_dict() if scaler else None}
        if self._in_pieces:
            pieces = self._run / saving.FOLDER / ".pieces.part"
            self._accelerator.save_state(str(pieces))
            if self._accelerator.is_main_process:
                saving.write_checkpoint(self._run, step, lambda part: pieces.rename(part / "pieces"), state)
        elif self._accelerator.is_main_process:
            saving.save_checkpoint(self._run, step, self._parameters, self._optimizer, state)
        self._accelerator.wait_for_everyone()

    def save_best(self, step: int) -> None:
        held: Mapping[str, Tensor] = self._parameters
        if self._in_pieces:
            whole = self._accelerator.get_state_dict(self._model)
            held = {name: whole[name] for name in self._parameters if name in whole}
        if self._accelerator.is_main_process:
            saving.save_best(self._run, held, step)


class _Journal:
    """metrics.jsonl: one line for each step; lines behind the checkpoint that a run goes on from are taken back."""

    def __init__(self, file: Path, done: int, *, wanted: bool) -> None:
        self._file = file if wanted else None
        if not wanted:
            return
        kept = []
        if done and file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= done]
        with replace_file(file) as stream:
            stream.write("".join(f"{line}\n" for line in kept).encode())

    def write(self, line: Mapping[str, float]) -> None:
        if self._file:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")


# A step's number, all of its micro-batches, and the samples of those that are this process's.
_LoadedStep = tuple[int, list[MicroBatch], list[list[Any]]]


def _load_ahead(task: Task, plan: Plan, done: int, process: int) -> Generator[_LoadedStep]:
    def load(number: int) -> _LoadedStep:
        epoch, batches = plan.step(number)
        return number, batches, [[task.load(at, epoch) for at in batch] for batch in batches[process :: plan.processes]]

    return work_ahead(load, range(done, plan.steps))


def _seed(seed: int, step: int, batch: int) -> int:
    return (seed * 1_000_003 + step) * 1_009 + batch


def _refuse_unless_finite(loss: Tensor, task: Task, batch: MicroBatch, step: int) -> None:
    if not torch.isfinite(loss):
        names = ", ".join(escape(task.describe(at)) for at in batch)
        raise AesError(
            f"the loss of step {step + 1} is not finite; its pictures: {names}",
            hint="a lower --rate, or --dtype bf16 in the place of fp16",
        )


def _refuse_unless_known(said: Mapping[int, Mapping[str, Any]]) -> None:
    """Refuse to compare with people what is not finite: no later step would be the best one either."""
    lost = sum(not all(torch.tensor(values).isfinite().all() for values in each.values()) for each in said.values())
    if lost:
        raise AesError(
            f"what is said of {lost} of {len(said)} validation pictures is not finite",
            hint="a lower --rate, or --dtype bf16 in the place of fp16",
        )


def _agree(signal: int, accelerator: Any) -> int:
    """Return a signal that any process was sent: all must save at the same step."""
    if accelerator.num_processes == 1:
        return signal
    return int(accelerator.gather(torch.tensor([signal], device=accelerator.device)).max())
