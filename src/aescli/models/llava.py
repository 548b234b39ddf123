"""LLaVA-1.5 in its released layout (AesExpert is one), loaded into transformers' classes by the names of its tensors.

Sources: haotian-liu/LLaVA (preprocessing, conversation template v1, `tokenizer_image_token`), transformers' classes.
Transformers would load such a folder with a warning and random weights; here a name that does not fit is an error.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aescli.errors import WeightsUnavailable, first_line
from aescli.images.view import Pixels, View
from aescli.models import adapters
from aescli.models.checkpoint import fill, read_config, read_tensors, understood
from aescli.models.fitting import PADDING
from aescli.models.generating import put_in_words
from aescli.models.internvl import pad_left, read_rope
from aescli.models.talking import Turn
from aescli.names import escape

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP
IMAGE = "<image>"
TEMPLATE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: <image>\n{question} ASSISTANT:"
)
IMAGE_MARK = -200  # stands for the picture in the token rows of the original code

_MODEL_TYPES = ("llava_llama", "llava")  # old files carry the second, which collides with transformers' own
_TOWERS = {"openai/clip-vit-large-patch14-336": {}, "openai/clip-vit-large-patch14": {"image_size": 224}}
_SENTENCEPIECE = frozenset({0x0A, 0x12, 0x1A})  # fields 1 to 3 of its file, each with a length
_MORE_ROWS = 64  # for the image token; a multiple keeps matrix products fast
_RENAMED = (
    (re.compile(r"^model\.vision_tower\.vision_tower\.vision_model\."), "model.vision_tower."),
    (re.compile(r"^model\.mm_projector\.0\."), "model.multi_modal_projector.linear_1."),
    (re.compile(r"^model\.mm_projector\.2\."), "model.multi_modal_projector.linear_2."),
    (re.compile(r"^model\.(embed_tokens|layers|norm)\."), r"model.language_model.\1."),
)


@dataclass(frozen=True, slots=True)
class Llava:
    """A loaded network, and what its pictures become.

    Args:
        network: transformers' LlavaForConditionalGeneration, its embeddings with room for the image token.
        image_token: stands for one visual feature.
        image_tokens: features of a picture.
        side: of the square that a picture is padded to and resized, in pixels.

    """

    network: Any
    image_token: int
    image_tokens: int
    side: int


@dataclass(frozen=True, slots=True)
class LlavaSpeaker:
    """A loaded checkpoint and its tokenizer, asked in conversation template v1."""

    llava: Llava
    tokenizer: Any
    device: str
    data_type: torch.dtype
    stops: tuple[int, ...]

    @property
    def network(self) -> Any:
        return self.llava.network

    def look(self, picture: View) -> Pixels:
        return look(picture, self.llava.side)

    def inputs(self, turns: Sequence[Turn]) -> Mapping[str, Tensor]:
        rows = [torch.tensor(self.tokens(turn), device=self.device) for turn in turns]
        tokens, mask = pad_left(rows, filler=0)
        pixels = torch.from_numpy(normalize(np.stack([turn.picture for turn in turns])))
        return {
            "input_ids": tokens,
            "attention_mask": mask,
            "pixel_values": pixels.to(self.device, self.data_type),
        }

    def tokens(self, turn: Turn) -> list[int]:
        before, after = TEMPLATE.split(IMAGE)
        after = after.replace("{question}", turn.question)
        answer = f" {turn.answer}" if turn.answer else ""
        # The parts are tokenized each for itself, as the original does: the second begins with a word-start mark.
        return [
            self.tokenizer.bos_token_id,
            *self._encode(before),
            *[self.llava.image_token] * self.llava.image_tokens,
            *self._encode(after + answer),
        ]

    def answer_all(self, picture: Pixels, questions: Sequence[str], most_tokens: int) -> list[str] | None:
        """Answer several questions about one picture: up to the picture's end they share every number.

        The prefix is computed once, its cache repeated for each question; the questions follow as a batch, padded
        between prefix and question, and are answered greedily until all have ended.
        """
        rows = [self.tokens(Turn(picture, question)) for question in questions]
        shared = 1 + max(at for at, token in enumerate(rows[0]) if token == self.llava.image_token)
        pixels = torch.from_numpy(normalize(picture[None])).to(self.device, self.data_type)
        suffixes = [torch.tensor(row[shared:], device=self.device) for row in rows]
        with torch.inference_mode():
            found = continue_from(self.network, rows[0][:shared], pixels, suffixes, self.stops, most_tokens)
        return [put_in_words(self, row, most_tokens) for row in found]

    def text(self, tokens: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(
                [token for token in tokens if token < self.llava.image_token], skip_special_tokens=True
            )
        )

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def load_speaker(folder: Path, data_type: torch.dtype, device: str) -> LlavaSpeaker:
    """Load a folder's network and tokenizer.

    Raises:
        WeightsUnavailable: as `load_network`, or there is no tokenizer.

    """
    from transformers import LlamaTokenizer

    loaded = load_network(folder, data_type, device)
    if not any((folder / name).is_file() for name in ("tokenizer.model", "tokenizer.json")):
        raise WeightsUnavailable(f"{folder} has no tokenizer.model")
    _refuse_cut(folder / "tokenizer.model")
    try:
        # Without `legacy` the word-start mark behind the picture is lost, and with it the words that were trained.
        tokenizer = LlamaTokenizer.from_pretrained(str(folder), legacy=True, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise WeightsUnavailable(f"{folder}: its tokenizer cannot be read: {first_line(error)}") from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise WeightsUnavailable(f"{folder}: its tokenizer has no <s> or no </s>")
    return LlavaSpeaker(loaded, tokenizer, device, data_type, (tokenizer.eos_token_id,))


def _refuse_cut(file: Path) -> None:
    """Refuse a SentencePiece file without its end: it loads, and words have other tokens than were trained.

    Its fields follow each other: pieces, then how it was trained, then how it normalises.
    """
    if not file.is_file():
        return
    data, at, seen = file.read_bytes(), 0, set()
    while at < len(data):
        seen.add(data[at])
        length, begun = _read_length(data, at + 1)
        at = begun + length
    if at != len(data) or not seen >= _SENTENCEPIECE:
        raise WeightsUnavailable(f"{escape(str(file))} is cut short, or no model of SentencePiece")


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and what follows it; behind the end there are zeros."""
    value = shift = 0
    while True:
        byte = data[at] if at < len(data) else 0
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at


def load_network(folder: Path, data_type: torch.dtype, device: str) -> Llava:
    """Load a folder in LLaVA-1.5's released layout, vision tower included.

    Raises:
        WeightsUnavailable: the layout is another, or a tensor is missing, unexpected, of another shape or not finite.

    """
    with understood(folder):
        return _load_network(folder, data_type, device)


def _load_network(folder: Path, data_type: torch.dtype, device: str) -> Llava:
    from transformers import LlavaForConditionalGeneration

    config = network_config(read_config(folder), str(folder))
    with torch.device("meta"):
        network: Any = LlavaForConditionalGeneration(config)
    state = {_rename(name): tensor.to(device, data_type) for name, tensor in read_tensors(folder) if _is_used(name)}
    fill(network, state, str(folder))
    # Not parameters, so they are not in the file: computed, and on the meta device until now.
    rotary, tower = network.model.language_model.rotary_emb, network.model.vision_tower.embeddings
    network.model.language_model.rotary_emb = type(rotary)(config=config.text_config).to(device)
    tower.position_ids = torch.arange(tower.num_positions, device=device)[None]
    rows = config.text_config.vocab_size
    network.resize_token_embeddings(rows + _MORE_ROWS, mean_resizing=False)
    network.generation_config.suppress_tokens = list(range(rows, rows + _MORE_ROWS))  # nobody taught it these
    adapters.load_onto(network, folder)
    network.eval()
    network.requires_grad_(requires_grad=False)
    side = config.vision_config.image_size
    features = (side // config.vision_config.patch_size) ** 2
    return Llava(network, config.image_token_index, features, side)


def network_config(described: dict[str, Any], folder: str) -> Any:
    """Return transformers' configuration for an original one.

    Raises:
        WeightsUnavailable: a field says something that this code does not do.

    """
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    expected = {
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_vision_select_layer": (-2,),
        "mm_vision_select_feature": ("patch", None),
        "mm_use_im_start_end": (False, None),
        "image_aspect_ratio": ("pad",),
        "model_type": _MODEL_TYPES,
    }
    for field, known in expected.items():
        if described.get(field) not in known:
            raise WeightsUnavailable(f"{folder}: config.json says {field} = {described.get(field)!r}")
    tower = described.get("vision_config_for_this_fixture") or _TOWERS.get(str(described.get("mm_vision_tower")))
    if tower is None:
        raise WeightsUnavailable(f"{folder}: its vision tower {described.get('mm_vision_tower')!r} is not known")
    large = {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": 336, "patch_size": 14, "projection_dim": 768,
    }  # fmt: skip
    try:
        rows = int(described["vocab_size"])
        return LlavaConfig(
            vision_config=CLIPVisionConfig(**{**large, **tower}),
            text_config=LlamaConfig(
                vocab_size=rows,
                hidden_size=described["hidden_size"],
                intermediate_size=described["intermediate_size"],
                num_hidden_layers=described["num_hidden_layers"],
                num_attention_heads=described["num_attention_heads"],
                num_key_value_heads=described.get("num_key_value_heads") or described["num_attention_heads"],
                hidden_act=described.get("hidden_act", "silu"),
                rms_norm_eps=described.get("rms_norm_eps", 1e-5),
                max_position_embeddings=described.get("max_position_embeddings", 4096),
                rope_parameters=read_rope(described, folder),
                attention_bias=bool(described.get("attention_bias", False)),
                bos_token_id=described.get("bos_token_id", 1),
                eos_token_id=described.get("eos_token_id", 2),
                tie_word_embeddings=False,
            ),
            image_token_index=rows,
            projector_hidden_act="gelu",
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            tie_word_embeddings=False,
        )
    except KeyError as error:
        raise WeightsUnavailable(f"{folder}: config.json has no {error}") from error


def rebuild(name: str, tensor: Tensor, change: Callable[[str, Tensor], Tensor], _: Any = None) -> Tensor:
    """Return a tensor of a checkpoint with its change, of its own shape and precision.

    Args:
        name: in the checkpoint.
        tensor: as it is stored.
        change: is given the name in memory and the value; what it returns may have rows for the image token more.

    """
    return change(_rename(name), tensor)[: len(tensor)].to(tensor.dtype) if _is_used(name) else tensor


def is_llava(folder: Path) -> bool:
    """Tell whether a folder says that it is in LLaVA-1.5's released layout, and not in transformers' own."""
    if not (folder / "config.json").is_file():
        return False
    config = read_config(folder)
    return config.get("model_type") in _MODEL_TYPES and "mm_projector_type" in config


def continue_from(
    network: Any, prefix: Sequence[int], pixels: Tensor, suffixes: Sequence[Tensor], stops: Sequence[int], most: int
) -> list[list[int]]:
    """Return greedy continuations of one prefix with a picture, one for each suffix, up to a stop or `most` tokens."""
    from transformers import DynamicCache

    language, count, device = network.model.language_model, len(suffixes), pixels.device
    cache = DynamicCache(config=language.config)
    first = torch.tensor([list(prefix)], device=device)
    network.model(input_ids=first, pixel_values=pixels, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(count)
    tokens, real = pad_left(suffixes, filler=0)  # (questions, suffix)
    mask = torch.cat([torch.ones(count, len(prefix), dtype=torch.long, device=device), real], 1)
    positions = mask.cumsum(1)[:, -tokens.shape[1] :] - 1
    found: list[list[int]] = [[] for _ in suffixes]
    ended = [False] * count
    rows = network.config.image_token_index  # behind the last token that was trained
    for _ in range(most):
        hidden = language(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]  # (questions, hidden)
        said = network.lm_head(hidden)[:, :rows].argmax(-1)  # (questions,)
        for at, token in enumerate(said.tolist()):
            ended[at] = ended[at] or token in stops
            if not ended[at]:
                found[at].append(token)
        if all(ended):
            break
        tokens, positions = said[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones(count, 1, dtype=torch.long, device=device)], 1)
    return found


def look(picture: View, side: int) -> Pixels:
    """Return a picture as the tower sees it: padded to a square, then resized, (side, side, 3)."""
    return picture.square(side, PADDING)


def normalize(pixels: Pixels) -> np.ndarray:
    """Return what the tower takes: float32, (batch, 3, side, side) for (batch, side, side, 3)."""
    scaled = (pixels.astype(np.float64) * (1 / 255)).astype(np.float32)  # rounded where the original rounds
    centred = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(centred.transpose(0, 3, 1, 2))


def encode(network: Any, pixels: Tensor) -> Tensor:
    """Return visual features, (batch, image tokens, hidden), for (batch, 3, side, side)."""
    found = network.model.get_image_features(
        pixel_values=pixels, vision_feature_layer=-2, vision_feature_select_strategy="default"
    )
    pooled = found.pooler_output
    features: Tensor = torch.stack(tuple(pooled)) if isinstance(pooled, tuple | list) else pooled
    return features


def expand(tokens: list[int], llava: Llava) -> list[int]:
    """Put image tokens in the place of the original code's mark."""
    return [
        token
        for each in tokens
        for token in ([llava.image_token] * llava.image_tokens if each == IMAGE_MARK else [each])
    ]


def _rename(name: str) -> str:
    for pattern, new in _RENAMED:
        if pattern.match(name):
            return pattern.sub(new, name)
    return name


def _is_used(name: str) -> bool:
    # Tables that old versions wrote down although they are computed.
    return not name.endswith((".inv_freq", ".position_ids"))
