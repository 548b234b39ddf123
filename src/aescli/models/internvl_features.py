"""Features of InternVL folders: with HumanAesExpert's heads, or InternVL2 as it is, which has no score of its own.

What a checkpoint's heads mean may be open (see `choosing.py`); its hidden states are InternVL2's, and are not: such
a checkpoint gives features without a rating.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from aescli.cards import ModelCard
from aescli.errors import ErrorCode, PictureError
from aescli.images.view import Pixels, View
from aescli.models import choosing, humanaesexpert, internvl, remote_code, tiles
from aescli.models.base import FeatureExtractor, Features, LoadOptions
from aescli.models.checkpoint import HEAD_PREFIXES, check_revision, open_weights, weight_files
from aescli.models.files import hash_settings
from aescli.models.heads import HeadChoices, Heads
from aescli.models.humanaesexpert import Judge
from aescli.models.prompts import PromptChoices, build_prompt
from aescli.models.read_outs import PLAIN
from aescli.runtime import place_torch

_UNVERIFIED = "unverified"


class InternvlExtractor:
    """Gives the hidden state behind a question, on the first device."""

    def __init__(self, card: ModelCard, judge: Judge) -> None:
        self.card = card
        self.backend = f"torch-{judge.device}"
        self.batch_size = 1 if judge.device == "cpu" else 8
        self.fingerprint: dict[str, Any] = {
            "runtime": "torch",
            "dtype": str(judge.data_type).removeprefix("torch."),
            "prompt": judge.prompt.as_json(),
        }
        self._judge = judge

    def prepare(self, picture: View) -> Pixels:
        """Return the picture's tiles, uint8 (tiles, side, side, 3)."""
        return tiles.cut(picture, self._judge.backbone.tiling)

    def extract(self, prepared: Sequence[Pixels]) -> list[Features | PictureError]:
        return [self._extract(picture) for picture in prepared]

    def close(self) -> None:
        """Nothing was started."""

    def _extract(self, picture: Pixels) -> Features | PictureError:
        try:
            hidden = self._judge.think([picture], (PLAIN,))
        except torch.OutOfMemoryError:
            return PictureError(ErrorCode.GPU_OOM, f"{self._judge.device} has not enough memory for one picture")
        return Features(self._judge.last_of_plain(hidden)[0].float().cpu().numpy(), None)


def load(card: ModelCard, folder: Path, options: LoadOptions) -> FeatureExtractor:
    """Load a folder in InternVL2's layout for its features.

    Raises:
        WeightsUnavailable: files are missing or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    if has_heads(folder):
        known = choosing.states_its_choices(folder) or choosing.is_verified(remote_code.commit_of(card, folder))
        return humanaesexpert.load(card, folder, (), options, () if known else (_UNVERIFIED,))
    placement = place_torch(options.device, options.data_type)
    data_type = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[placement.data_type]
    card = replace(card, revision=check_revision(card, folder))
    extractor = InternvlExtractor(card, load_without_heads(folder, str(placement.devices[0]), data_type))
    extractor.fingerprint["settings"] = hash_settings(folder)
    return extractor


def load_without_heads(folder: Path, device: str, data_type: torch.dtype) -> Judge:
    """Load InternVL2 as it is: a judge that can think and has nothing to judge with."""
    backbone, _ = internvl.load_backbone(folder, data_type, device)
    with torch.device("meta"):  # there are none: whoever reads them gets an error, not chance numbers
        heads = Heads(backbone.network.config.text_config.hidden_size, HeadChoices())
    prompt = build_prompt(folder, PromptChoices(template=backbone.template), HeadChoices().levels)
    return Judge(backbone, heads, prompt, device, data_type)


def has_heads(folder: Path) -> bool:
    """Tell whether a folder's weights hold more than InternVL2.

    Raises:
        WeightsUnavailable: they cannot be read.

    """
    for file in weight_files(folder):
        with open_weights(file) as opened:
            if any(name.startswith(HEAD_PREFIXES) for name in opened.keys()):  # noqa: SIM118 - no dict
                return True
    return False
