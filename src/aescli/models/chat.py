"""Any image-text-to-text model of transformers: Q-ReAlign, Qwen-VL, InternVL, LLaVA in transformers' own layout.

Prompts come from the model's own chat template. Processors that ask for a video part cannot be made without
torchvision; here they are made without that part, which pictures never need.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aescli.errors import ErrorCode, PictureError, UsageError, WeightsUnavailable, first_line
from aescli.images.view import Pixels, View
from aescli.models.checkpoint import (
    ADAPTER_FILE,
    open_weights,
    read_config,
    refuse_whole_numbers,
    understood,
    weight_files,
)
from aescli.models.talking import Turn
from aescli.names import escape

LONGEST_SIDE = 4_096  # pixels: what a model is given of a larger picture, reduced by area


@dataclass(frozen=True, slots=True)
class ChatSpeaker:
    """A loaded model and its processor."""

    network: Any
    processor: Any
    device: str
    data_type: torch.dtype
    stops: tuple[int, ...]

    def look(self, picture: View) -> Pixels:
        return picture.whole(LONGEST_SIDE)

    def inputs(self, turns: Sequence[Turn]) -> Mapping[str, Tensor]:
        from PIL import Image

        made = self.processor(
            text=[self._dialogue(turn) for turn in turns],
            images=[[Image.fromarray(turn.picture)] for turn in turns],
            padding=True,
            return_tensors="pt",
        )
        return {
            name: value.to(self.device, self.data_type if value.is_floating_point() else None)
            for name, value in made.items()
            if isinstance(value, Tensor)
        }

    def answer_all(self, picture: Pixels, questions: Sequence[str], most_tokens: int) -> list[str] | None:  # noqa: ARG002
        """None: families differ in how positions and pictures go with a cache; they write JSON in one answer anyway."""
        return None

    def tokens(self, turn: Turn) -> list[int]:
        found = self.processor.tokenizer(self._dialogue(turn), add_special_tokens=False)
        return list(found["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.processor.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _dialogue(self, turn: Turn) -> str:
        """Return the text up to the end of what the answer begins with."""
        content = [{"type": "image"}, {"type": "text", "text": turn.question}]
        template = str(self.processor.chat_template)
        silent = {"enable_thinking": False} if "enable_thinking" in template else {}
        image = str(getattr(self.processor, "image_token", "") or "")
        if image and image in turn.question:
            raise PictureError(ErrorCode.BAD_ANSWER, f"the question holds {image}, which stands for a picture")
        asked = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **silent
        )
        blank = " " if turn.answer and not asked[-1:].isspace() else ""
        return f"{asked}{blank}{turn.answer}"


def load_speaker(folder: Path, data_type: torch.dtype, device: str) -> ChatSpeaker:
    """Load a folder in a layout of transformers.

    Raises:
        UsageError: it brings code of its own.
        WeightsUnavailable: no such architecture here, a tensor that is missing or of another shape, no processor.

    """
    with understood(folder):
        return _load_speaker(folder, data_type, device)


def _load_speaker(folder: Path, data_type: torch.dtype, device: str) -> ChatSpeaker:
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    refuse_own_code(folder)
    _check_weights(folder)
    logging.disable_progress_bar()
    maker: Any = AutoModelForImageTextToText
    try:
        network, found = maker.from_pretrained(
            str(folder), dtype=data_type, local_files_only=True, use_safetensors=True, output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )  # fmt: skip
    except (ValueError, OSError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsUnavailable(f"{escape(str(folder))} cannot be loaded: {first_line(error)}") from error
    wrong = [
        f"{kind.removesuffix('_keys')}: {', '.join(sorted(map(_name_of, found[kind]))[:6])}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found.get(kind)
    ]
    if wrong:
        raise WeightsUnavailable(f"{folder}: tensors do not match: {'; '.join(wrong)}")
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter).all():
            raise WeightsUnavailable(f"{folder}: {name} holds numbers that are not finite")
    network.to(device)
    network.eval()
    processor = load_processor(folder)
    speaker = ChatSpeaker(network, processor, device, data_type, find_stops(network))
    speaker.inputs(
        [Turn(np.zeros((56, 56, 3), np.uint8), "Is it good?")]
    )  # a template or processor that fails, fails now
    return speaker


def _name_of(key: Any) -> str:
    """Return the name of a tensor; of one of another shape, transformers tells both shapes as well."""
    return key if isinstance(key, str) else str(key[0])


def _check_weights(folder: Path) -> None:
    """Refuse what transformers would make numbers of all the same, or would not read as we hash it."""
    if (folder / ADAPTER_FILE).exists():
        raise WeightsUnavailable(f"{escape(str(folder))} holds an adapter, which is not understood for this family")
    if "quantization_config" in read_config(folder):
        return
    for file in weight_files(folder):
        with open_weights(file) as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                refuse_whole_numbers(file, name, opened.get_slice(name).get_dtype())


def load_processor(folder: Path) -> Any:
    """Return a folder's processor without its video part, pictures by Pillow.

    Raises:
        WeightsUnavailable: there is none that takes pictures and text.

    """
    import transformers
    from transformers import AutoProcessor, ProcessorMixin

    name = _processor_class(folder)
    kind = getattr(transformers, name, None) if name else None
    try:
        if kind is not None and _wants_video(kind):
            made = _without_video(kind, _settings(folder, kind))
            processor = made.from_pretrained(str(folder), backend="pil", local_files_only=True)
        else:
            maker: Any = AutoProcessor
            processor = maker.from_pretrained(str(folder), backend="pil", local_files_only=True)
    except (ValueError, OSError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise WeightsUnavailable(f"{folder}: its processor cannot be made: {first_line(error)}") from error
    # AutoProcessor returns a bare tokenizer, without a word, where it does not know the class.
    if not isinstance(processor, ProcessorMixin) or not hasattr(processor, "image_processor"):
        raise WeightsUnavailable(f"{folder} has no processor for pictures")
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if not getattr(processor, "chat_template", None):
        raise WeightsUnavailable(f"{folder} has no chat template: how to ask it is not known")
    return processor


def refuse_own_code(folder: Path) -> None:
    """Refuse a folder whose configuration would have code of its own run.

    Raises:
        UsageError: it does.

    """
    for file in folder.glob("*config.json"):
        fields = read_config(folder, file.name)
        if "auto_map" in fields or "trust_remote_code" in fields:
            raise UsageError(
                f"{folder}: {file.name} asks for code of its own, which is not run for this family",
                hint="models that transformers knows by itself need none",
            )


def find_stops(network: Any) -> tuple[int, ...]:
    """Return the tokens that end an answer, as the model's own settings say."""
    stops = network.generation_config.eos_token_id
    return tuple(stops) if isinstance(stops, list | tuple) else () if stops is None else (stops,)


def _processor_class(folder: Path) -> str:
    """Return the class that a folder names for its processor, else the one that its model's type has."""
    from transformers.models.auto import processing_auto

    known: Any = vars(processing_auto)["PROCESSOR_MAPPING_NAMES"]
    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if (folder / file).is_file() and (named := read_config(folder, file).get("processor_class")):
            return str(named)
    return str(known.get(read_config(folder).get("model_type"), ""))


def _wants_video(kind: type) -> bool:
    return "video_processor" in inspect.signature(kind).parameters


def _settings(folder: Path, kind: type) -> dict[str, Any]:
    """Return what a folder says of its processor's own arguments."""
    file = "processor_config.json"
    fields = read_config(folder, file) if (folder / file).is_file() else {}
    parts = {"image_processor", "tokenizer", "video_processor", "chat_template", "kwargs"}
    known = inspect.signature(kind).parameters.keys() - parts
    return {name: value for name, value in fields.items() if name in known}


def _without_video(kind: Any, settings: Mapping[str, Any]) -> Any:
    """Return a processor class that is made of the picture and the text part alone, with a folder's own settings.

    The parts of a processor are the arguments of its class; its own code runs and is handed nothing for the video.
    """
    from transformers import ProcessorMixin

    class Rest(ProcessorMixin):
        """Stands behind the original class, where that hands its parts on."""

        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, video_processor: Any = None, **more: Any
        ) -> None:
            del video_processor  # the original class hands it on
            super().__init__(image_processor, tokenizer, **more)  # type: ignore[no-untyped-call]

    def initialize(self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        with _number_words(kind):
            kind.__init__(
                self, image_processor, tokenizer, video_processor=None, chat_template=chat_template, **settings
            )

    # Transformers reads from the names of these arguments which parts there are; a class's own way with its chat
    # template asks the video part how many frames a film has.
    parts = {"__init__": initialize, "apply_chat_template": ProcessorMixin.apply_chat_template}
    return type(kind.__name__, (kind, Rest), parts)


@contextmanager
def _number_words(kind: type) -> Iterator[None]:
    """Let SmolVLM's class be made without num2words, which it asks for at once and needs for films alone."""
    module = sys.modules[kind.__module__]
    missing = getattr(module, "num2words", str) is None
    if missing:
        vars(module)["num2words"] = str
    try:
        yield
    finally:
        if missing:
            vars(module)["num2words"] = None
