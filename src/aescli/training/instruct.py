"""Recipe `instruct`: a critic fine-tuned on conversations, as AesExpert was made of LLaVA-1.5 (arXiv 2404.09624).

AesExpert's own rate, epochs and frozen parts are not published. Defaults for LoRA are LLaVA's; `full` trains language
model and projector, for which UNIAA's script (KwaiVGI/Uniaa) takes a rate of 2e-5 and two epochs.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aescli.cards import ModelCard
from aescli.errors import UsageError
from aescli.images.opening import Opener
from aescli.models import llava, lora, speaking
from aescli.models.lora import LoraChoices
from aescli.runtime import place_torch
from aescli.training import runs
from aescli.training.batching import BatchChoices
from aescli.training.finishing import write_model
from aescli.training.hearing import Hearing, silent
from aescli.training.listener import Listener, LoadedTalk, Words, collate_talks, encode_talk
from aescli.training.loop import LoopChoices, check_trackers, train
from aescli.training.pictures import look_at, open_exactly
from aescli.training.runs import Base, FineTuneReport, Prepared
from aescli.training.samples import Data, Talk
from aescli.training.splitting import SplitChoices
from aescli.training.student import DATA_TYPES, recompute_activations

FAMILIES = ("llava",)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructChoices:
    """Everything that decides what comes out; all of it is written to the card.

    Args:
        lora: of the language model and the projector.
        full: all of both is trained in place of LoRA.
        splits: which pictures are kept aside; no voter is fitted here.
        loop: how it runs; a step's loss is the mean over all of its answers' tokens.
        most_tokens: of a conversation, its picture included; what is behind them is cut, as LLaVA does.
        adapter: the folder holds low-rank changes alone, and is loaded onto its base.

    """

    lora: LoraChoices = field(default_factory=LoraChoices)
    full: bool = False
    splits: SplitChoices = field(default_factory=lambda: SplitChoices(voter=0.0, test=0.0))
    loop: LoopChoices = field(
        default_factory=lambda: LoopChoices(
            rate=2e-4, decay=0.0, betas=(0.9, 0.999), warm_up=0.03, batches=BatchChoices(samples=128)
        )
    )
    most_tokens: int = 2048
    adapter: bool = False

    def __post_init__(self) -> None:
        if self.most_tokens < 1:
            raise UsageError("most_tokens is 1 or more")
        if self.full and self.adapter:
            raise UsageError("--full changes every weight, which no adapter holds", hint="leave one of them out")


def train_instruct(
    card: ModelCard, data: Data, run: Path, choices: InstructChoices, *, resume: bool = False, hearing: Hearing = silent
) -> FineTuneReport | None:
    """Fine-tune a critic, and write it as a model.

    Args:
        card: of the base, in LLaVA-1.5's released layout.
        data: conversations.
        run: the folder of the run, which becomes the model's.
        choices: how.
        resume: goes on from the run's last checkpoint, if it has one.
        hearing: is told how it goes, and says when to stop.

    Returns:
        What was done; None in all processes but the first.

    Raises:
        AesError: as `aescli.training.loop.train`, `open_base` and `open_run` say.
        Stopped: a signal asked for it.

    """
    check_trackers(choices.loop.trackers)
    runs.open_run(run, resume=resume)
    base = runs.open_base(card, FAMILIES, "instruct")
    prepared = runs.prepare_splits(run, data, choices.splits, hearing.note)
    hearing.note(f"loading {card.id}")
    with open_exactly() as opener:
        task = InstructTask(base, prepared, choices, opener)
        described = runs.describe("instruct", base, data, prepared, asdict(choices))
        trained = train(task, choices.loop, run, runs.identify(described), hearing)
        if trained is None:
            return None
        task.release()
        held = {**described, **trained.as_json()}
        part = runs.new_part(run)
        hearing.note(f"writing {run}")
        write_model(base, part, trained.state, choices.lora, {}, adapter=choices.adapter)
        runs.install_model(part, run, _card(base, held))
    return FineTuneReport(run, "instruct", trained.steps, trained.step, described["samples"], trained.metrics)


class InstructTask:
    """Conversations, the listener and what is measured of it, as the loop wants them."""

    head_names = ("heads.",)  # there are none

    def __init__(self, base: Base, prepared: Prepared, choices: InstructChoices, opener: Opener) -> None:
        """Load a base and put LoRA on it, or let all of it be trained.

        Raises:
            WeightsUnavailable: the base is not what it should be.

        """
        samples = {name: [each for each in split if isinstance(each, Talk)] for name, split in prepared.splits.items()}
        placement = place_torch(choices.loop.device, choices.loop.precision)
        torch.manual_seed(choices.loop.batches.seed)
        self._speaker = llava.load_speaker(base.folder, DATA_TYPES[placement.data_type], "cpu")
        self._samples, self._opener, self._most = samples, opener, choices.most_tokens
        self._alone = threading.Lock()
        self.module: nn.Module = _make_trainable(Listener(self._speaker), choices)
        on_gpu = placement.devices[0].kind == "cuda"
        wanted = choices.loop.checkpointing
        recompute_activations(self._speaker.network, wanted=on_gpu if wanted is None else wanted)
        words = [self._encode(talk) for talk in samples["train"]]
        self.lengths = [len(each.tokens) for each in words]
        self.weights = [float(each.answered) for each in words]
        held = [self._encode(talk) for talk in samples["validation"]]
        self.held_lengths = [len(each.tokens) for each in held]
        self._held_weights = [float(each.answered) for each in held]
        self.held = len(held)

    def load(self, at: int, epoch: int) -> LoadedTalk:  # noqa: ARG002 - a conversation is the same in each epoch
        return self._load(self._samples["train"][at])

    def load_held(self, at: int) -> LoadedTalk:
        return self._load(self._samples["validation"][at])

    def collate(self, loaded: Sequence[LoadedTalk]) -> dict[str, Tensor]:
        return collate_talks(loaded)

    def judge(self, said: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
        weights = np.array([self._held_weights[at] for at in said])
        loss = float(np.average([each["loss"] for each in said.values()], weights=weights))
        right = float(np.average([each["right"] for each in said.values()], weights=weights))
        return {"val_loss": loss, "val_accuracy": right, "best": -loss}

    def describe(self, at: int) -> str:
        return self._samples["train"][at].picture

    def release(self) -> None:
        """Let go of the network."""
        self.module = nn.Identity()
        del self._speaker

    def _encode(self, talk: Talk) -> Words:
        with self._alone:  # the tokenizer is not made for several threads at once
            return encode_talk(self._speaker, talk, self._most)

    def _load(self, talk: Talk) -> LoadedTalk:
        return LoadedTalk(look_at(talk.picture, self._opener, self._speaker.look), self._encode(talk))


def _make_trainable(listener: Listener, choices: InstructChoices) -> Listener:
    network = listener.network
    if not choices.full:
        lora.attach(network, choices.lora)
    for name, parameter in network.named_parameters():
        whole = choices.full and not name.startswith("model.vision_tower.")
        parameter.requires_grad_(".lora_" in name or whole)
        if parameter.requires_grad:  # updates are smaller than what half precision can tell apart
            parameter.data = parameter.data.float()
    return listener


def _card(base: Base, described: Mapping[str, Any]) -> dict[str, Any]:
    card = base.card
    return {
        "family": "llava",
        "title": f"{card.id} fine-tuned on {described['data']['name']}, recipe instruct",
        "native_range": [card.scale.low, card.scale.high],
        "read_out": "levels",
        "dimensions": [],
        "preprocessing": card.preprocessing,
        "code_license": card.code_license,
        "weights_license": None,
        "base_license": card.base_license or card.weights_license,
        "non_commercial": card.non_commercial,
        "trained_on": [*card.trained_on, described["data"]["name"]],
        "leaks": list(card.leaks),
        "needs": "torch",
        "exact": True,
        "writes_json": False,
        "levels": asdict(speaking.read_choices(base.folder)),
        "base": described["base"],
        "training": dict(described),
    }
