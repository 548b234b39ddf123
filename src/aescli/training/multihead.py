"""Recipe `multihead`: HumanAesExpert's (arXiv 2503.23907), in two stages.

Stage one trains LoRA on the language model and the projector together with the Regression and the Expert head: text
loss on every answer, and the head's loss that the sample's question feeds. Stage two fits the MetaVoter to what the
frozen heads say of samples that none of them saw. The released code computes its losses where nobody can read them:
whatever is not published is a choice here, with a default, and is written to the card.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import UsageError, WeightsUnavailable
from aescli.images.opening import Opener
from aescli.metrics import level_accuracy, plcc, srcc
from aescli.models import humanaesexpert, internvl, lora, tiles
from aescli.models.heads import HeadChoices, Heads, build_heads
from aescli.models.lora import LoraChoices
from aescli.models.prompts import PromptChoices, build_prompt, load_tokenizer
from aescli.models.tiles import choose_grid
from aescli.runtime import place_torch
from aescli.training import runs
from aescli.training.finishing import Finished, Recipe, finish_multihead
from aescli.training.hearing import Hearing, silent
from aescli.training.loop import LoopChoices, check_trackers, train
from aescli.training.pictures import look_at, open_exactly
from aescli.training.questions import Dialogues
from aescli.training.runs import Base, FineTuneReport, Prepared
from aescli.training.samples import LEVELS, Data, Rated
from aescli.training.splitting import SplitChoices
from aescli.training.student import DATA_TYPES, Loaded, LossChoices, Student, collate, recompute_activations
from aescli.training.voter import VoterChoices

FAMILIES = ("internvl",)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiheadChoices:
    """Everything that decides what comes out; all of it is written to the card.

    Args:
        lora: of the language model and the projector.
        losses: what each part weighs.
        heads: how fresh heads are built; a base with a card of ours keeps its own.
        voter: how stage two is fitted.
        splits: which samples are kept aside.
        loop: how stage one runs.
        max_tiles: the most tiles of a picture while training; None for the base's own.
        vary_questions: one of the five published questions by chance, or always the one that is asked later.
        fresh_heads: heads of the base are thrown away.
        system: the system message; None for that of the released inference code, in which the released training code
            differs from it.
        adapter: the folder holds low-rank changes and heads alone, and is loaded onto its base.

    """

    lora: LoraChoices = field(default_factory=LoraChoices)
    losses: LossChoices = field(default_factory=LossChoices)
    heads: HeadChoices = field(default_factory=HeadChoices)
    voter: VoterChoices = field(default_factory=VoterChoices)
    splits: SplitChoices = field(default_factory=SplitChoices)
    loop: LoopChoices = field(default_factory=LoopChoices)
    max_tiles: int | None = None
    vary_questions: bool = True
    fresh_heads: bool = False
    system: str | None = None
    adapter: bool = False

    def __post_init__(self) -> None:
        if self.max_tiles is not None and self.max_tiles < 1:
            raise UsageError("max_tiles is 1 or more")
        try:
            HeadChoices.read(self.heads.as_json(), "heads")
        except WeightsUnavailable as error:
            raise UsageError(error.message) from error


def train_multihead(
    card: ModelCard, data: Data, run: Path, choices: MultiheadChoices, *, resume: bool = False,
    hearing: Hearing = silent,
) -> FineTuneReport | None:  # fmt: skip
    """Fine-tune InternVL2, or a checkpoint of HumanAesExpert, and write it as a model.

    Args:
        card: of the base.
        data: samples with one score or with twelve.
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
    base = runs.open_base(card, FAMILIES, "multihead")
    prepared = runs.prepare_splits(run, data, choices.splits, hearing.note)
    hearing.note(f"loading {card.id}")
    with open_exactly() as opener:
        task = MultiheadTask(base, prepared, choices, opener)
        described = runs.describe("multihead", base, data, prepared, asdict(choices))
        trained = train(task, choices.loop, run, runs.identify(described), hearing)
        if trained is None:
            return None
        task.release()
        finished = Finished(base, task.recipe, trained.state, prepared.splits, {**described, **trained.as_json()})
        return finish_multihead(finished, run, opener, hearing.note)


class MultiheadTask:
    """The samples, the student and what is measured of it, as the loop wants them."""

    head_names = ("heads.",)

    def __init__(self, base: Base, prepared: Prepared, choices: MultiheadChoices, opener: Opener) -> None:
        """Load a base, put LoRA and heads on it, and join it with its samples.

        Raises:
            WeightsUnavailable: the base is not what it should be.
            UsageError: the base has heads of a layout that is not known.

        """
        placement = place_torch(choices.loop.device, choices.loop.precision)
        device, data_type = placement.devices[0], DATA_TYPES[placement.data_type]
        torch.manual_seed(choices.loop.batches.seed)  # of fresh heads and of the low-rank changes
        head_choices, prompt = _choose(base, choices)
        backbone, rest = internvl.load_backbone(base.folder, data_type, "cpu")  # accelerate moves it
        hidden = backbone.network.config.text_config.hidden_size
        heads = _open_heads({} if choices.fresh_heads else rest, hidden, head_choices, base)
        lora.attach(backbone.network, choices.lora)
        tokens = build_prompt(base.folder, prompt, head_choices.levels)
        student = Student(backbone, heads, tokens.image, tokens.levels, choices.losses)
        for name, parameter in student.named_parameters():
            parameter.requires_grad_(".lora_" in name or name.startswith(("heads.regression.", "heads.expert.")))
        wanted = choices.loop.checkpointing
        recompute_activations(student.network, wanted=device.kind == "cuda" if wanted is None else wanted)
        self.module: nn.Module = student
        self.recipe = Recipe(
            head_choices, prompt, choices.lora, choices.voter, backbone.tiling.limited(choices.max_tiles),
            choices.adapter, str(device), data_type,
        )  # fmt: skip
        self._samples = {
            name: [each for each in split if isinstance(each, Rated)] for name, split in prepared.splits.items()
        }
        self._opener, self._choices, self._image_token = opener, choices, tokens.image
        self._tile_tokens = backbone.tile_tokens
        self._dialogues = Dialogues(load_tokenizer(base.folder), prompt, str(base.folder))
        self.lengths = self._measure("train", prepared)
        self.held_lengths = self._measure("validation", prepared)
        self.weights = [1.0] * len(self.lengths)
        self.held = len(self.held_lengths)

    def load(self, at: int, epoch: int) -> Loaded:
        chance = np.random.default_rng((self._choices.splits.seed, epoch, at)) if self._choices.vary_questions else None
        return self._load(self._samples["train"][at], chance)

    def load_held(self, at: int) -> Loaded:
        return self._load(self._samples["validation"][at], None)

    def collate(self, loaded: Sequence[Loaded]) -> dict[str, Tensor]:
        return collate(loaded, self._image_token, self._tile_tokens)

    def judge(self, said: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
        samples = self._samples["validation"]
        return measure([samples[at] for at in said], list(said.values()))

    def describe(self, at: int) -> str:
        return self._samples["train"][at].picture

    def release(self) -> None:
        """Let go of the network: the finished one is built anew from its files."""
        self.module = nn.Identity()

    def _load(self, sample: Rated, chance: np.random.Generator | None) -> Loaded:
        pixels = look_at(sample.picture, self._opener, lambda view: tiles.cut(view, self.recipe.tiling))
        return Loaded(pixels, self._dialogues.encode(sample, chance), sample)

    def _measure(self, name: str, prepared: Prepared) -> list[int]:
        """Return tokens of each sample of a split, its picture's included."""
        tiling, found = self.recipe.tiling, []
        for sample, (width, height) in zip(self._samples[name], prepared.sizes[name], strict=True):
            columns, rows = choose_grid(width, height, tiling)
            count = columns * rows + (tiling.thumbnail and columns * rows > 1)
            dialogue = self._dialogues.encode(sample)
            words = len(dialogue.before) + len(dialogue.after) + len(dialogue.answer)
            found.append(words + count * self._tile_tokens)
        return found


def measure(samples: Sequence[Rated], said: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return agreement of what was said with what people say, for each head on the samples that feed it."""
    found = {"val_loss": float(np.mean([each["loss"] for each in said]))}
    plain = [at for at, sample in enumerate(samples) if not sample.is_expert]
    expert = [at for at, sample in enumerate(samples) if sample.is_expert]
    if plain:
        actual = [samples[at].overall for at in plain]
        found |= _agreement("regression", [said[at]["regression"] for at in plain], actual)
        words = [int(np.argmax(said[at]["levels"])) for at in plain]
        found["lm_accuracy"] = float(
            np.mean([LEVELS[word] == samples[at].level for word, at in zip(words, plain, strict=True)])
        )
    if expert:
        twelve = np.array([said[at]["expert"] for at in expert])  # (samples, 12)
        actual_twelve = np.array([samples[at].scores for at in expert])
        found |= _agreement("expert", twelve[:, -1].tolist(), actual_twelve[:, -1].tolist())
        each = [srcc(one, other) for one, other in zip(twelve.T, actual_twelve.T, strict=True)]
        known = [value for value in each if value is not None]
        if known:
            found["expert_srcc_of_12"] = float(np.mean(known))
    ranks = [value for name, value in found.items() if name.endswith("_srcc")]
    # Of few or of equal samples no rank is known; then a smaller loss is better.
    found["best"] = float(np.mean(ranks)) if ranks else -found["val_loss"]
    return found


def _agreement(head: str, predicted: Sequence[float], actual: Sequence[float]) -> dict[str, float]:
    named = {
        f"{head}_srcc": srcc(predicted, actual),
        f"{head}_plcc": plcc(predicted, actual),
        f"{head}_accuracy": level_accuracy(predicted, actual, low=0, high=1),
    }
    return {name: value for name, value in named.items() if value is not None}


def _choose(base: Base, choices: MultiheadChoices) -> tuple[HeadChoices, PromptChoices]:
    """Return how heads are built and what is asked: as the base's card says, if it is one of ours."""
    heads, prompt = humanaesexpert.read_choices(base.folder)
    if not (base.folder / CARD_FILE).is_file():
        heads = choices.heads
    return heads, prompt if choices.system is None else replace(prompt, system=choices.system)


def _open_heads(rest: Mapping[str, Tensor], hidden: int, choices: HeadChoices, base: Base) -> Heads:
    """Return the base's own heads; fresh ones where it has none."""
    if not rest:
        return Heads(hidden, choices)
    try:
        return build_heads(rest, hidden, choices, str(base.folder))
    except WeightsUnavailable as error:
        raise UsageError(
            f"the heads of {base.card.id} have a layout that is not known: {error.message}",
            hint="--set fresh_heads=true begins with new ones",
        ) from error
