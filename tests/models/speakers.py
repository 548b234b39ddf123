"""Tiny models that see and speak, with random weights: LLaVA-1.5 as it is released, and layouts of transformers."""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. How would you rate the aesthetics of this image? The aesthetics of "
    "the image is excellent good fair poor bad strengths weaknesses suggestions summary light color composition"
)
# What a model can be taught to say: pieces of an object, each one token.
CALM, PRAISE, NO_PRAISE = '{"summary": "Calm.", ', '"strengths": ["light"], ', '"strengths": [], '
BLAME = '"weaknesses": ["tilt"], '
ADVICE, DESCRIBED = '"suggestions": ["crop"]}', '"suggestions": ["crop"], "dims": {"light": "Soft."}}'
PIECES = (CALM, PRAISE, NO_PRAISE, BLAME, ADVICE, DESCRIBED)
OBJECT = (CALM, PRAISE, BLAME, ADVICE)
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56,
    "patch_size": 14, "projection_dim": 16, "hidden_act": "quick_gelu",
}  # fmt: skip
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def released_llava(folder: Path, seed: int = 0) -> Path:
    """Write LLaVA-1.5 as AesExpert is released: original names, a sentencepiece model, an unfrozen tower."""
    folder.mkdir(parents=True)
    rows = write_sentencepiece(folder)
    config = {
        "model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "vocab_size": rows, "hidden_size": 48,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "rms_norm_eps": 1e-5,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch", "mm_use_im_start_end": False,
        "image_aspect_ratio": "pad", "vision_config_for_this_fixture": VISION,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    chance = torch.Generator().manual_seed(seed)
    state = {name: _random(name, shape, chance) for name, shape in _llava_shapes(rows).items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def made(models: Path, kind: str) -> Path:
    """Return a tiny model, `released` or one of `transformers_model`, built when it is first asked for."""
    folder = models / kind
    if not folder.exists():
        released_llava(folder) if kind == "released" else transformers_model(folder, kind)
    return folder


def write_sentencepiece(folder: Path) -> int:
    """Train a small sentencepiece model as Llama's are, and return how many tokens it has."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS] * 100 + ["USER: ASSISTANT: \n"] * 50), model_writer=model, vocab_size=420,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=True, character_coverage=1.0, split_digits=True,
        minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", **marks}))
    return int(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size())


def transformers_model(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a model in a layout of transformers: `llava`, `internvl`, `smolvlm` or one of `_QWEN`."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    {"llava": _llava, "internvl": _internvl, "smolvlm": _smolvlm}.get(kind, _qwen)(folder, kind)
    return folder


def taught(folder: Path, said: tuple[str, ...], level: str = "") -> Path:
    """Make a model of `transformers_model` say these words, each one token, and then end.

    Its layers add next to nothing, so that the last token decides on the next one: real weights, processors and
    decoding, but a known answer. `level` is what it finds a picture to be; the picture still moves the probabilities.
    """
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    maker: Any = AutoModelForImageTextToText
    network = maker.from_pretrained(folder)
    for layer in network.model.language_model.layers:
        for name, weight in layer.named_parameters():
            if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight")):
                weight.data *= 0.05
    from_rows, to_rows = (each().weight.data for each in (network.get_input_embeddings, network.get_output_embeddings))
    asked = tokenizer("<|im_start|>assistant\n")["input_ids"]
    chain = [asked[-1], *(tokenizer(word)["input_ids"][0] for word in said), tokenizer.eos_token_id]
    pairs = list(pairwise(chain))
    if level:
        stem = tokenizer("The aesthetics of the image is")["input_ids"]
        pairs.append((stem[-1], tokenizer(f" {level}")["input_ids"][0]))
    for token, following in pairs:
        to_rows[following] += 3.0 * from_rows[token] / from_rows[token].norm()
    network.save_pretrained(folder)
    return folder


def _tokenizer(marks: dict[str, str], image: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>", *dict.fromkeys(marks.values())],
    )  # fmt: skip
    made.train_from_iterator([WORDS] * 50, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", pad_token="<|end|>", padding_side="left", extra_special_tokens=marks
    )
    tokenizer.add_tokens(list(PIECES))
    tokenizer.chat_template = _TEMPLATE.replace("IMAGE", image)
    return tokenizer


def _llava(folder: Path, kind: str) -> None:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaImageProcessorPil,
        LlavaProcessor,
    )  # fmt: skip

    tokenizer = _tokenizer({"image_token": "<image>"}, "<image>\n")
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION), text_config=text, image_token_index=tokenizer.image_token_id
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = LlavaImageProcessorPil(do_pad=True, size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)  # fmt: skip


def _internvl(folder: Path, kind: str) -> None:
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        Qwen2Config,
    )  # fmt: skip

    marks = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    tokenizer = _tokenizer(marks, "<IMG_CONTEXT>\n")
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    vision = InternVLVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=56, patch_size=14,
        attention_bias=True,
    )  # fmt: skip
    config = InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=tokenizer.context_image_token_id, image_seq_length=4,
        tie_word_embeddings=False,
    )  # fmt: skip
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images = GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, crop_to_patches=False)
    images.save_pretrained(folder)
    _name_processor(folder, "InternVLProcessor", image_seq_length=4)


def _smolvlm(folder: Path, kind: str) -> None:
    from transformers import LlamaConfig, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    marks = {
        "image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>", "video_token": "<video>",
    }  # fmt: skip
    tokenizer = _tokenizer(marks, "")
    tokenizer.chat_template = DEFAULT_CHAT_TEMPLATE
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56,
        "patch_size": 14,
    }  # fmt: skip
    config = SmolVLMConfig(
        vision_config=vision, text_config=text, image_token_id=tokenizer.image_token_id, scale_factor=2
    )
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SmolVLMImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56}).save_pretrained(folder)
    _name_processor(folder, "SmolVLMProcessor", image_seq_len=4)


# Model type to its classes, its processor's class, and its vision tower; Qwen3.5 has its elder's processor.
_QWEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "qwen2_vl": ("Qwen2VL", "Qwen2VL", {"embed_dim": 32, "hidden_size": 64, "depth": 2, "num_heads": 2}),
    "qwen2_5_vl": (
        "Qwen2_5_VL", "Qwen2_5_VL",
        {"hidden_size": 32, "out_hidden_size": 64, "depth": 2, "num_heads": 2, "intermediate_size": 48},
    ),
    "qwen3_vl": (
        "Qwen3VL", "Qwen3VL",
        {
            "hidden_size": 32, "out_hidden_size": 64, "depth": 2, "num_heads": 2, "intermediate_size": 48,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
    ),
    "qwen3_5": (
        "Qwen3_5", "Qwen3VL",
        {
            "hidden_size": 32, "out_hidden_size": 64, "depth": 2, "num_heads": 2, "intermediate_size": 48,
            "num_position_embeddings": 64,
        },
    ),
}  # fmt: skip
# Qwen3.5 alternates between layers with and without a recurrent state.
_QWEN3_5_TEXT: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4,
}  # fmt: skip


def _qwen(folder: Path, kind: str) -> None:
    import transformers
    from transformers import Qwen2VLImageProcessorPil

    marks = {
        "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    }  # fmt: skip
    tokenizer = _tokenizer(marks, "<|vision_start|><|image_pad|><|vision_end|>")
    name, processor, tower = _QWEN[kind]
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6}
    if kind == "qwen3_5":
        rope |= {"partial_rotary_factor": 1.0, "mrope_interleaved": True}
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rope_parameters": rope,
        "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": tokenizer.pad_token_id,
        **(_QWEN3_5_TEXT if kind == "qwen3_5" else {}),
    }  # fmt: skip
    config = getattr(transformers, f"{name}Config")(
        text_config=text, vision_config={**tower, "patch_size": 14},
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    getattr(transformers, f"{name}ForConditionalGeneration")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=14, min_pixels=56 * 56, max_pixels=112 * 112).save_pretrained(folder)
    _name_processor(folder, f"{processor}Processor")


def _name_processor(folder: Path, name: str, **more: object) -> None:
    """Write what a released folder says of its processor, which cannot be made here whole to be saved."""
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": name, **more}))


def _random(name: str, shape: tuple[int, ...], chance: torch.Generator) -> torch.Tensor:
    tensor = torch.randn(shape, generator=chance)
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.1 * tensor
    return tensor * 0.2


def _llava_shapes(rows: int) -> dict[str, tuple[int, ...]]:
    h, wide, text = VISION["hidden_size"], VISION["intermediate_size"], 48
    tower = "model.vision_tower.vision_tower.vision_model."
    shapes: dict[str, Any] = {
        f"{tower}embeddings.class_embedding": (h,), f"{tower}embeddings.patch_embedding.weight": (h, 3, 14, 14),
        f"{tower}embeddings.position_embedding.weight": (17, h),
        "model.mm_projector.0.weight": (text, h), "model.mm_projector.0.bias": (text,),
        "model.mm_projector.2.weight": (text, text), "model.mm_projector.2.bias": (text,),
        "model.embed_tokens.weight": (rows, text), "model.norm.weight": (text,), "lm_head.weight": (rows, text),
    }  # fmt: skip
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{tower}{norm}.weight": (h,), f"{tower}{norm}.bias": (h,)}
    for layer in range(VISION["num_hidden_layers"]):
        at = f"{tower}encoder.layers.{layer}."
        for name, out, into in (
            ("mlp.fc1", wide, h),
            ("mlp.fc2", h, wide),
            *((f"self_attn.{p}_proj", h, h) for p in ("q", "k", "v", "out")),
        ):
            shapes |= {f"{at}{name}.weight": (out, into), f"{at}{name}.bias": (out,)}
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{at}{norm}.weight": (h,), f"{at}{norm}.bias": (h,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {f"{at}self_attn.{p}_proj.weight": (text, text) for p in "qkvo"}
        shapes |= {
            f"{at}mlp.gate_proj.weight": (64, text), f"{at}mlp.up_proj.weight": (64, text),
            f"{at}mlp.down_proj.weight": (text, 64), f"{at}input_layernorm.weight": (text,),
            f"{at}post_attention_layernorm.weight": (text,),
        }  # fmt: skip
    return shapes
