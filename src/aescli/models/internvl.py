"""InternVL2 in its released layout, loaded into the classes of transformers: no conversion, no code of the checkpoint.

The original names of the tensors are mapped one by one; whatever is left over is returned to the caller, who must know
what it is. Sources: OpenGVLab/InternVL, transformers' own InternVL classes, InternLM2's packing of `wqkv`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aescli.errors import WeightsUnavailable
from aescli.models import adapters
from aescli.models.checkpoint import fill, read_config, read_tensors, understood
from aescli.models.tiles import Tiling

_VISION_LAYER = r"vision_model\.encoder\.layers\.(\d+)\."
_VISION_LAYER_NEW = r"model.vision_tower.encoder.layer.\1."
_TEXT_LAYER = r"language_model\.model\.layers\.(\d+)\."
_TEXT_LAYER_NEW = r"model.language_model.layers.\1."
_RENAMED = tuple(
    (re.compile(rf"^{old}$"), new)
    for old, new in (
        (r"vision_model\.embeddings\.class_embedding", "model.vision_tower.embeddings.cls_token"),
        (r"vision_model\.embeddings\.position_embedding", "model.vision_tower.embeddings.position_embeddings"),
        (
            r"vision_model\.embeddings\.patch_embedding\.(.+)",
            r"model.vision_tower.embeddings.patch_embeddings.projection.\1",
        ),
        (rf"{_VISION_LAYER}attn\.proj\.(.+)", rf"{_VISION_LAYER_NEW}attention.projection_layer.\2"),
        (rf"{_VISION_LAYER}attn\.([qk]_norm)\.(.+)", rf"{_VISION_LAYER_NEW}attention.\2.\3"),
        (rf"{_VISION_LAYER}ls([12])", rf"{_VISION_LAYER_NEW}lambda_\2"),
        (rf"{_VISION_LAYER}norm1\.(.+)", rf"{_VISION_LAYER_NEW}layernorm_before.\2"),
        (rf"{_VISION_LAYER}norm2\.(.+)", rf"{_VISION_LAYER_NEW}layernorm_after.\2"),
        (rf"{_VISION_LAYER}mlp\.(fc[12])\.(.+)", rf"{_VISION_LAYER_NEW}mlp.\2.\3"),
        (r"mlp1\.0\.(.+)", r"model.multi_modal_projector.layer_norm.\1"),
        (r"mlp1\.1\.(.+)", r"model.multi_modal_projector.linear_1.\1"),
        (r"mlp1\.3\.(.+)", r"model.multi_modal_projector.linear_2.\1"),
        (r"language_model\.(?:lm_head|output)\.weight", "lm_head.weight"),
        (r"language_model\.model\.tok_embeddings\.weight", "model.language_model.embed_tokens.weight"),
        (rf"{_TEXT_LAYER}attention\.wo\.(.+)", rf"{_TEXT_LAYER_NEW}self_attn.o_proj.\2"),
        (rf"{_TEXT_LAYER}feed_forward\.w1\.(.+)", rf"{_TEXT_LAYER_NEW}mlp.gate_proj.\2"),
        (rf"{_TEXT_LAYER}feed_forward\.w3\.(.+)", rf"{_TEXT_LAYER_NEW}mlp.up_proj.\2"),
        (rf"{_TEXT_LAYER}feed_forward\.w2\.(.+)", rf"{_TEXT_LAYER_NEW}mlp.down_proj.\2"),
        (rf"{_TEXT_LAYER}attention_norm\.(.+)", rf"{_TEXT_LAYER_NEW}input_layernorm.\2"),
        (rf"{_TEXT_LAYER}ffn_norm\.(.+)", rf"{_TEXT_LAYER_NEW}post_attention_layernorm.\2"),
        (r"language_model\.model\.(.+)", r"model.language_model.\1"),
    )
)
_VISION_QKV = re.compile(rf"^{_VISION_LAYER}attn\.qkv\.(weight|bias)$")
_PACKED_QKV = re.compile(rf"^{_TEXT_LAYER}attention\.wqkv\.(weight|bias)$")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A loaded network, and what its folder says of its use.

    Args:
        network: transformers' InternVLForConditionalGeneration.
        tiling: how its pictures are cut.
        image_token: the token that stands for one visual feature, where the configuration names it.
        tile_tokens: how many of them a tile has.
        template: the name of its conversation template.

    """

    network: Any
    tiling: Tiling
    image_token: int | None
    tile_tokens: int
    template: str


def load_backbone(folder: Path, data_type: torch.dtype, device: str) -> tuple[Backbone, dict[str, Tensor]]:
    """Load a folder in InternVL2's released layout.

    Returns:
        The network, and the tensors that are none of InternVL2's own (the heads), by their names, as they are stored.

    Raises:
        WeightsUnavailable: the layout is another, or a tensor is missing, unexpected, of another shape or not finite.

    """
    with understood(folder):
        return _load_backbone(folder, data_type, device)


def _load_backbone(folder: Path, data_type: torch.dtype, device: str) -> tuple[Backbone, dict[str, Tensor]]:
    from transformers import InternVLForConditionalGeneration

    described = read_config(folder)
    config = network_config(described, str(folder))
    with torch.device("meta"):
        network = InternVLForConditionalGeneration(config)
    state: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for name, tensor in read_tensors(folder):
        renamed = list(_rename(name, tensor, config))
        if not renamed:
            rest[name] = tensor
        for new, value in renamed:
            if new in state:
                raise WeightsUnavailable(f"{folder}: two tensors are both {new}")
            state[new] = value.to(device, data_type)
    fill(network, state, str(folder))
    # Not a parameter, so it is not in the file: computed, and on the meta device until now.
    rotary = network.model.language_model.rotary_emb
    network.model.language_model.rotary_emb = type(rotary)(config=config.text_config).to(device)
    adapters.load_onto(network, folder)
    network.train(False)  # noqa: FBT003
    network.requires_grad_(requires_grad=False)
    side = config.vision_config.image_size[0]
    patches = side // config.vision_config.patch_size[0]
    backbone = Backbone(
        network=network,
        tiling=Tiling(
            most=int(described.get("max_dynamic_patch", 12)),
            side=side,
            least=int(described.get("min_dynamic_patch", 1)),
            thumbnail=bool(described.get("use_thumbnail", True)),
        ),
        image_token=described.get("img_context_token_id"),
        tile_tokens=int((patches * config.downsample_ratio) ** 2),
        template=str(described.get("template", "")),
    )
    return backbone, rest


def network_config(described: dict[str, Any], folder: str) -> Any:
    """Return transformers' configuration for an original one.

    Raises:
        WeightsUnavailable: a field says something that this code does not do.

    """
    from transformers import InternVLConfig, InternVLVisionConfig

    _refuse_unless(described, folder, model_type="internvl_chat", select_layer=-1, ps_version="v2")
    try:
        vision, text = described["vision_config"], described["llm_config"]
        if vision.get("qk_normalization") and vision.get("layer_norm_eps", 1e-6) != 1e-6:
            raise WeightsUnavailable(f"{folder}: qk_normalization is understood with layer_norm_eps = 1e-06 only")
        return InternVLConfig(
            vision_config=InternVLVisionConfig(
                hidden_size=vision["hidden_size"],
                intermediate_size=vision["intermediate_size"],
                num_hidden_layers=vision["num_hidden_layers"],
                num_attention_heads=vision["num_attention_heads"],
                image_size=described.get("force_image_size") or vision["image_size"],
                patch_size=vision["patch_size"],
                attention_bias=vision.get("qkv_bias", True),
                use_qk_norm=vision.get("qk_normalization", False),
                norm_type=vision.get("norm_type", "layer_norm"),
                layer_norm_eps=vision.get("layer_norm_eps", 1e-6),
                hidden_act=vision.get("hidden_act", "gelu"),
                use_mean_pooling=True,  # in transformers this means: no norm behind the last layer
            ),
            text_config=_text_config(text, folder),
            image_token_id=described.get("img_context_token_id", 0),
            downsample_ratio=described.get("downsample_ratio", 0.5),
            # transformers would tie them by default, and so throw the trained output layer away.
            tie_word_embeddings=bool(text.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise WeightsUnavailable(f"{folder}: config.json has no {error}") from error


def encode(network: Any, pixels: Tensor) -> Tensor:
    """Return visual features of tiles: (tiles, 3, side, side) to (tiles, tile tokens, hidden)."""
    found = network.model.get_image_features(pixels, vision_feature_layer=-1, vision_feature_select_strategy="default")
    features: Tensor = found.pooler_output
    return features


def embed(network: Any, tokens: Tensor, features: Tensor, image_token: int) -> Tensor:
    """Return what the language model reads: embeddings of tokens, features in the place of image tokens.

    Args:
        network: as loaded.
        tokens: (batch, length).
        features: of all tiles of the batch, in order, (tiles, tile tokens, hidden).
        image_token: is replaced, one by one.

    Returns:
        (batch, length, hidden)

    """
    embeddings: Tensor = network.model.language_model.embed_tokens(tokens)  # (batch, length, hidden)
    visual = tokens == image_token  # (batch, length)
    if int(visual.sum()) != features.shape[0] * features.shape[1]:
        raise ValueError(f"{int(visual.sum())} image tokens for {features.shape[0] * features.shape[1]} features")
    return embeddings.masked_scatter(visual[..., None], features.to(embeddings.dtype))


def pad_left(rows: Sequence[Tensor], filler: int) -> tuple[Tensor, Tensor]:
    """Return token rows of different lengths as one batch, their ends aligned, and which are real.

    Returns:
        Tokens and mask, both (batch, longest).

    """
    longest = max(len(row) for row in rows)
    tokens = torch.full((len(rows), longest), filler, dtype=torch.long, device=rows[0].device)
    mask = torch.zeros_like(tokens)
    for at, row in enumerate(rows):
        tokens[at, longest - len(row) :] = row
        mask[at, longest - len(row) :] = 1
    return tokens, mask


def rebuild(name: str, tensor: Tensor, change: Callable[[str, Tensor], Tensor], config: Any) -> Tensor:
    """Return a tensor of a checkpoint with its parts changed, packed as it was, in its own precision.

    Args:
        name: in the checkpoint.
        tensor: as it is stored.
        change: is given the name in memory and the value of each part.
        config: as `network_config` returns it.

    """
    parts = [change(new, value).to(tensor.dtype) for new, value in _rename(name, tensor, config)]
    if not parts:
        return tensor
    if _PACKED_QKV.match(name):
        return _pack(parts, config.text_config)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _text_config(text: dict[str, Any], folder: str) -> Any:
    from transformers import LlamaConfig, Qwen2Config

    kinds = {"Qwen2ForCausalLM": Qwen2Config, "InternLM2ForCausalLM": LlamaConfig}
    (architecture,) = text.get("architectures") or ("none",)
    if architecture not in kinds:
        raise WeightsUnavailable(f"{folder}: its language model is {architecture}", hint=f"known: {', '.join(kinds)}")
    biases = {"attention_bias": bool(text.get("bias", False))} if kinds[architecture] is LlamaConfig else {}
    return kinds[architecture](
        vocab_size=text["vocab_size"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        num_hidden_layers=text["num_hidden_layers"],
        num_attention_heads=text["num_attention_heads"],
        num_key_value_heads=text.get("num_key_value_heads") or text["num_attention_heads"],
        hidden_act=text.get("hidden_act", "silu"),
        rms_norm_eps=text.get("rms_norm_eps", 1e-6),
        max_position_embeddings=text.get("max_position_embeddings", 32_768),
        rope_parameters=read_rope(text, folder),
        tie_word_embeddings=bool(text.get("tie_word_embeddings", False)),
        **biases,
    )


def read_rope(text: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return how a language model's configuration has positions rotated, as transformers names it now.

    Raises:
        WeightsUnavailable: in a way that is not understood here.

    """
    newer = text.get("rope_parameters") or {}  # one field for both, since transformers 5
    scaling = text.get("rope_scaling") or newer
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind not in ("default", "linear", "dynamic"):
        raise WeightsUnavailable(f"{folder}: config.json says rope_scaling = {scaling!r}, which is not understood")
    rope = {"rope_type": kind, "rope_theta": text.get("rope_theta") or newer.get("rope_theta") or 10_000.0}
    return {**rope, "factor": scaling["factor"]} if "factor" in scaling else rope


def _rename(name: str, tensor: Tensor, config: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield a tensor's names in transformers' classes; nothing for one that is not InternVL2's own."""
    if match := _VISION_QKV.match(name):
        layer, kind = match.groups()
        for letter, part in zip("qkv", tensor.chunk(3), strict=True):
            yield f"model.vision_tower.encoder.layer.{layer}.attention.{letter}_proj.{kind}", part.contiguous()
        return
    if match := _PACKED_QKV.match(name):
        layer, kind = match.groups()
        for letter, part in _unpack(tensor, config.text_config).items():
            yield f"model.language_model.layers.{layer}.self_attn.{letter}_proj.{kind}", part
        return
    for pattern, new in _RENAMED:
        if pattern.match(name):
            yield pattern.sub(new, name), tensor
            return


def _unpack(packed: Tensor, text: Any) -> dict[str, Tensor]:
    """Split InternLM2's `wqkv`: for each key head its group of query heads, then the key, then the value."""
    heads, groups = text.num_key_value_heads, text.num_attention_heads // text.num_key_value_heads
    width = text.hidden_size // text.num_attention_heads
    rows = packed.view(heads, groups + 2, width, *packed.shape[1:])  # (key heads, group + 2, head, hidden)
    flat = tuple(packed.shape[1:])
    return {
        "q": rows[:, :groups].reshape(-1, *flat),
        "k": rows[:, groups].reshape(-1, *flat),
        "v": rows[:, groups + 1].reshape(-1, *flat),
    }


def _pack(parts: Sequence[Tensor], text: Any) -> Tensor:
    """Return InternLM2's `wqkv` of queries, keys and values: `_unpack` the other way."""
    heads, groups = text.num_key_value_heads, text.num_attention_heads // text.num_key_value_heads
    width = text.hidden_size // text.num_attention_heads
    query, key, value = parts
    flat = tuple(query.shape[1:])
    rows = torch.cat(
        [
            query.view(heads, groups, width, *flat),
            key.view(heads, 1, width, *flat),
            value.view(heads, 1, width, *flat),
        ],
        1,
    )  # (key heads, group + 2, head, hidden)
    return rows.reshape(-1, *flat)


def _refuse_unless(described: dict[str, Any], folder: str, **fields: object) -> None:
    for field, expected in fields.items():
        found = described.get(field, expected)
        if found != expected:
            raise WeightsUnavailable(f"{folder}: config.json says {field} = {found!r}; only {expected!r} is understood")
