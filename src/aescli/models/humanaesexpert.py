"""HumanAesExpert, native: pictures are encoded once, both questions share that prefix, and all heads read one pass.

The plain question feeds the Regression head and, behind the beginning of an answer, the level words; the question for
twelve dimensions feeds the Expert head. The tokens both share (system message, image, the question's first words) are
computed once and kept in the key-value cache; what differs follows as one row whose two parts do not see each other.
"""

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aescli.cards import CARD_FILE, ModelCard
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import ErrorCode, PictureError, WeightsUnavailable
from aescli.images.view import Pixels, View
from aescli.models import internvl, tiles
from aescli.models.base import Features, LoadOptions
from aescli.models.checkpoint import check_revision, read_config
from aescli.models.files import hash_settings
from aescli.models.heads import HeadChoices, Heads, build_heads
from aescli.models.prompts import Prompt, PromptChoices, build_prompt
from aescli.models.read_outs import EXPERT, PLAIN, choose_questions, choose_read_out
from aescli.models.tiles import Tiling
from aescli.results import Rating
from aescli.runtime import Placement, place_torch

_TOKENS_ON_CPU, _TOKENS_ON_GPU = 1_024, 65_536  # of a batch, padding included: what keeps either busy
_GROW_AFTER = 16  # batches without running out of memory


@dataclass(frozen=True, slots=True)
class Readings:
    """What the heads say of a batch, in their native range; None where the question was not asked."""

    lm: Tensor | None = None  # (batch,)
    regression: Tensor | None = None  # (batch,)
    expert: Tensor | None = None  # (batch, 12)
    metavoter: Tensor | None = None  # (batch,)

    def chosen(self, read_out: str) -> Tensor:
        """Return one number for each picture."""
        found = self.expert[:, -1] if read_out == "expert" and self.expert is not None else getattr(self, read_out)
        if found is None:
            raise AssertionError(f"{read_out} was not asked for")
        result: Tensor = found
        return result


@dataclass(frozen=True, slots=True)
class Judge:
    """A loaded checkpoint: backbone, heads, and what it is asked."""

    backbone: internvl.Backbone
    heads: Heads
    prompt: Prompt
    device: str
    data_type: torch.dtype

    @torch.inference_mode()
    def read(self, pictures: Sequence[Pixels], questions: Sequence[str]) -> Readings:
        """Encode pictures and read every head that the questions feed.

        Args:
            pictures: tiles of each, uint8 (tiles, side, side, 3).
            questions: `plain`, `expert` or both.

        """
        return self.read_heads(self.think(pictures, questions), questions)

    @torch.inference_mode()
    def think(self, pictures: Sequence[Pixels], questions: Sequence[str]) -> Tensor:
        """Return hidden states of the questions' own tokens, (batch, suffix, hidden)."""
        network: Any = self.backbone.network
        pixels = torch.from_numpy(np.concatenate(pictures)).to(self.device)
        features = internvl.encode(network, normalize_on_device(pixels, self.data_type))  # (tiles, tile tokens, hidden)
        prefixes = [
            torch.tensor(self.prompt.prefix(len(each) * self.backbone.tile_tokens), device=self.device)
            for each in pictures
        ]
        tokens, mask = internvl.pad_left(prefixes, filler=0)  # (batch, prefix)
        embeddings = internvl.embed(network, tokens, features, self.prompt.image)
        return self._answer(embeddings, mask, questions)

    def last_of_plain(self, hidden: Tensor) -> Tensor:
        """Return the state behind the plain question, which the Regression head reads, (batch, hidden)."""
        return hidden[:, len(self.prompt.plain) - 1]

    def _answer(self, embeddings: Tensor, mask: Tensor, questions: Sequence[str]) -> Tensor:
        """Return hidden states of the questions' own tokens, (batch, suffix, hidden), behind a shared prefix."""
        from transformers import DynamicCache

        language: Any = self.backbone.network.model.language_model
        cache = DynamicCache(config=language.config)
        language(
            inputs_embeds=embeddings,
            attention_mask=None if mask.all() else mask,  # without one, the kernel for causal attention is used
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )
        parts = [self._suffix(question) for question in questions]
        suffix = torch.tensor([token for part in parts for token in part], device=self.device)
        batch = len(embeddings)
        hidden: Tensor = language(
            inputs_embeds=language.embed_tokens(suffix.expand(batch, -1)),
            attention_mask=branch_mask(mask, [len(part) for part in parts]),
            position_ids=mask.sum(1, keepdim=True)
            + torch.cat([torch.arange(len(part), device=self.device) for part in parts]),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    def _suffix(self, question: str) -> list[int]:
        return [*self.prompt.plain, *self.prompt.stem] if question == PLAIN else list(self.prompt.expert)

    @torch.inference_mode()
    def read_heads(self, hidden: Tensor, questions: Sequence[str]) -> Readings:
        """Read every head that the questions feed from the hidden states of their tokens."""
        readings = Readings()
        if PLAIN in questions:
            end = len(self._suffix(PLAIN))
            words = self.backbone.network.lm_head.weight[list(self.prompt.levels)]  # (levels, hidden)
            readings = replace(
                readings,
                regression=self.heads.regress(self.last_of_plain(hidden)),
                lm=self.heads.read_levels(hidden[:, end - 1] @ words.T),
            )
        if EXPERT in questions:
            readings = replace(readings, expert=self.heads.judge(hidden[:, -1]))
        if readings.lm is not None and readings.regression is not None and readings.expert is not None:
            voted = self.heads.vote(readings.lm, readings.regression, readings.expert[:, -1])
            readings = replace(readings, metavoter=voted)
        return readings


def branch_mask(prefix: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return who sees whom when several continuations follow one prefix in one row.

    Args:
        prefix: 1 for real tokens, (batch, prefix).
        lengths: of the continuations; each sees the prefix and itself, never another.

    Returns:
        True where a token of the suffix may look, (batch, 1, suffix, prefix + suffix).

    """
    total = sum(lengths)
    part = torch.cat([torch.full((length,), at) for at, length in enumerate(lengths)]).to(prefix.device)
    own = (part[:, None] == part[None, :]).tril()  # (suffix, suffix)
    seen = prefix.bool()[:, None, None, :].expand(-1, 1, total, -1)
    return torch.cat([seen, own.expand(len(prefix), 1, -1, -1)], -1)


class HumanAesExpertScorer:
    """Rates with one judge for each device; devices take turns."""

    def __init__(
        self, card: ModelCard, judges: Sequence[Judge], dimensions: tuple[str, ...], tiling: Tiling,
        precise: Callable[[], Judge], flags: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        first = judges[0]
        self.card = card
        self.dimensions = dimensions
        self.backend = f"torch-{first.device}"
        self.batch_size = 1 if first.device == "cpu" else 16
        self.fingerprint: dict[str, Any] = {
            "runtime": "torch",
            "dtype": str(first.data_type).removeprefix("torch."),
            "tiles": [tiling.least, tiling.most, tiling.thumbnail],
            "prompt": first.prompt.as_json(),
            "heads": first.heads.choices.as_json(),
            "flags": list(flags),
        }
        self._flags = flags
        self._tiling = tiling
        self._judges = [_Taking(judge, threading.Lock()) for judge in judges]
        self._turns = itertools.count()
        self._precise = precise
        self._exact: Judge | None = None
        self._exact_lock = threading.Lock()
        self._questions = choose_questions(card.read_out, dimensions=bool(dimensions))

    def prepare(self, picture: View) -> Pixels:
        """Return the picture's tiles, uint8 (tiles, side, side, 3)."""
        return tiles.cut(picture, self._tiling)

    def rate(self, prepared: Sequence[Pixels]) -> list[Rating | PictureError]:
        taking = self._judges[next(self._turns) % len(self._judges)]
        found: dict[int, Rating | PictureError] = {}
        with taking.lock:
            waiting = sorted(range(len(prepared)), key=lambda at: len(prepared[at]))
            while waiting:
                batch = taking.first_batch(waiting, prepared)
                waiting = waiting[len(batch) :]
                found |= dict(zip(batch, self._rate(taking, [prepared[at] for at in batch]), strict=True))
        return [found[at] for at in range(len(prepared))]

    def extract(self, prepared: Sequence[Pixels]) -> list[Features | PictureError]:
        """Return the state behind the plain question, and the card's read-out, one picture at a time.

        Heads of which nobody has confirmed what they mean give no rating.
        """
        taking = self._judges[next(self._turns) % len(self._judges)]
        with taking.lock:
            return [self._extract(taking.judge, picture) for picture in prepared]

    def _extract(self, judge: Judge, picture: Pixels) -> Features | PictureError:
        questions = tuple(dict.fromkeys((PLAIN, *self._questions)))
        try:
            hidden = judge.think([picture], questions)
            raw = None if self._flags else float(judge.read_heads(hidden, questions).chosen(self.card.read_out)[0])
            return Features(judge.last_of_plain(hidden)[0].float().cpu().numpy(), raw)
        except torch.OutOfMemoryError:
            return PictureError(ErrorCode.GPU_OOM, f"{judge.device} has not enough memory for one picture")

    def close(self) -> None:
        """Nothing was started."""

    def _rate(self, taking: "_Taking", pictures: list[Pixels]) -> list[Rating | PictureError]:
        """Rate one batch; where memory does not suffice, its halves."""
        try:
            ratings = self._ratings(taking.judge.read(pictures, self._questions))
        except torch.OutOfMemoryError:
            pass
        else:
            taking.succeeded()
            return [
                self._again(picture) if _is_bad(rating) and taking.judge.data_type != torch.float32 else rating
                for picture, rating in zip(pictures, ratings, strict=True)
            ]
        # Outside of `except`: the error would hold the tensors that must go.
        taking.ran_out(len(pictures))
        if len(pictures) == 1:
            return [PictureError(ErrorCode.GPU_OOM, f"{taking.judge.device} has not enough memory for one picture")]
        half = len(pictures) // 2
        return [*self._rate(taking, pictures[:half]), *self._rate(taking, pictures[half:])]

    def _again(self, picture: Pixels) -> Rating | PictureError:
        """Rate a picture in full precision whose answer was no finite number."""
        try:
            with self._exact_lock:
                if self._exact is None:
                    self._exact = self._precise()
                return self._ratings(self._exact.read([picture], self._questions))[0]
        except torch.OutOfMemoryError:
            return PictureError(ErrorCode.GPU_OOM, "its answer overflowed, and there is no memory for full precision")

    def _ratings(self, readings: Readings) -> list[Rating]:
        raws = readings.chosen(self.card.read_out).tolist()
        judged = readings.expert.tolist() if readings.expert is not None and self.dimensions else [[]] * len(raws)
        return [
            Rating(raw, {name: 10.0 * value for name, value in zip(HUMAN_DIMENSIONS, row, strict=False)}, self._flags)
            for raw, row in zip(raws, judged, strict=True)
        ]


@dataclass(slots=True)
class _Taking:
    """A judge that one thread uses at a time, and how many tokens it takes at once."""

    judge: Judge
    lock: threading.Lock
    budget: int = 0
    good: int = 0

    def __post_init__(self) -> None:
        self.budget = self._most()

    def first_batch(self, waiting: Sequence[int], prepared: Sequence[Pixels]) -> list[int]:
        """Return the first of `waiting` that fit the budget together, padding included; at least one."""
        batch = [waiting[0]]
        for at in waiting[1:]:
            longest = len(self.judge.prompt.prefix(len(prepared[at]) * self.judge.backbone.tile_tokens))
            if longest * (len(batch) + 1) > self.budget:
                break
            batch.append(at)
        return batch

    def ran_out(self, pictures: int) -> None:
        self.budget, self.good = max(1, self.budget // 2), 0
        if self.judge.device.startswith("cuda") and pictures:
            torch.cuda.empty_cache()

    def succeeded(self) -> None:
        self.good += 1
        if self.good >= _GROW_AFTER:
            self.budget, self.good = min(2 * self.budget, self._most()), 0

    def _most(self) -> int:
        return _TOKENS_ON_CPU if self.judge.device == "cpu" else _TOKENS_ON_GPU


def load(
    card: ModelCard, folder: Path, dimensions: tuple[str, ...], options: LoadOptions, flags: tuple[str, ...] = ()
) -> HumanAesExpertScorer:
    """Load a checkpoint folder onto the devices.

    Raises:
        WeightsUnavailable: files are missing, or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    if unknown := set(dimensions) - set(HUMAN_DIMENSIONS):
        raise WeightsUnavailable(f"{card.id}: its card lists {', '.join(sorted(unknown))}, which no head says")
    placement = place_torch(options.device, options.data_type)
    card = replace(card, read_out=choose_read_out(card, options.read_out), revision=check_revision(card, folder))
    judges = [load_judge(card, folder, str(device), _data_type(placement)) for device in placement.devices]
    tiling = judges[0].backbone.tiling
    tiling = tiling.limited(options.max_tiles)
    first = judges[0].device

    def precise() -> Judge:
        return load_judge(card, folder, first, torch.float32)

    scorer = HumanAesExpertScorer(card, judges, dimensions, tiling, precise, flags)
    scorer.fingerprint["settings"] = hash_settings(folder)
    return scorer


def load_judge(card: ModelCard, folder: Path, device: str, data_type: torch.dtype) -> Judge:
    """Load a checkpoint folder onto one device."""
    heads, prompts = read_choices(folder)
    backbone, rest = internvl.load_backbone(folder, data_type, device)
    hidden = backbone.network.config.text_config.hidden_size
    try:
        built = build_heads(rest, hidden, heads, str(folder)).to(device)
    except WeightsUnavailable as error:
        if (folder / CARD_FILE).is_file():
            raise
        raise WeightsUnavailable(
            f"the layout of the heads is not one that is known: {error.message}",
            hint=f"aes models setup {card.id}   lets the checkpoint's own code score",
        ) from error
    return Judge(backbone, built, build_prompt(folder, prompts, heads.levels), device, data_type)


def read_choices(folder: Path) -> tuple[HeadChoices, PromptChoices]:
    """Return what the folder's card says of heads and prompts; without a card, what `compare` has to confirm."""
    file = folder / CARD_FILE
    if not file.is_file():
        template = str(read_config(folder).get("template", ""))
        return HeadChoices(), PromptChoices(template=template)
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return HeadChoices.read(fields["heads"], str(file)), PromptChoices.read(fields["prompt"], str(file))
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsUnavailable(f"{file} does not state its heads and its prompt: {error!r}") from error


def normalize_on_device(pixels: Tensor, data_type: torch.dtype) -> Tensor:
    """Uint8 (tiles, side, side, 3) to what the network takes, (tiles, 3, side, side)."""
    mean, std = (torch.tensor(values, device=pixels.device) for values in (tiles.MEAN, tiles.STD))
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).to(data_type)


def _data_type(placement: Placement) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[placement.data_type]


def _is_bad(rating: Rating) -> bool:
    return not all(np.isfinite([rating.raw, *rating.dims.values()]))
