"""Tiny checkpoints with random weights, in the layouts that are released, and in our own."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.models.heads import HeadChoices, Heads, name_tensors
from aescli.models.prompts import PromptChoices

VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56,
    "patch_size": 14, "qkv_bias": True, "qk_normalization": False, "norm_type": "layer_norm", "layer_norm_eps": 1e-6,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 32768, "rope_theta": 1e6, "tie_word_embeddings": False,
}  # fmt: skip
_SPECIAL = ["<|im_start|>", "<|im_end|>", "<s>", "<img>", "</img>", "<IMG_CONTEXT>"]


def three_heads(folder: Path, kind: str = "qwen2", seed: int = 0, **choices: Any) -> Path:
    """Write a checkpoint with all heads in our own format: every choice is stated in its card."""
    folder.mkdir(parents=True)
    write_backbone(folder, kind, seed, heads=HeadChoices(**choices))
    template = {"qwen2": "Hermes-2", "internlm2": "internlm2-chat"}[kind]
    card = {
        "family": "internvl",
        "title": "tiny",
        "native_range": [0, 1],
        "revision": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "read_out": "metavoter",
        "dimensions": [{"name": name, "meaning": name} for name in HUMAN_DIMENSIONS],
        "exact": True,
        "heads": HeadChoices(**choices).as_json(),
        "prompt": PromptChoices(template=template, system="You judge pictures.").as_json(),
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def released(folder: Path, kind: str = "qwen2", seed: int = 0) -> Path:
    """Write a checkpoint as HumanAesExpert's are: heads without a card, and code of its own (see `remote`)."""
    folder.mkdir(parents=True)
    write_backbone(folder, kind, seed, heads=HeadChoices())
    for file in (Path(__file__).parent / "remote").glob("*.py"):
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "configuration_tiny.TinyConfig",
        "AutoModel": "modeling_tiny.TinyModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def clip_head(folder: Path, activation: str = "none", seed: int = 0) -> Path:
    """Write a head on CLIP embeddings as `aes models import` does, with a tiny tower beside it."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from aescli.models.clip_head import import_head

    chance = torch.Generator().manual_seed(seed)
    layers = {
        "0.weight": torch.randn(8, 16, generator=chance), "0.bias": torch.randn(8, generator=chance),
        "2.weight": torch.randn(1, 8, generator=chance), "2.bias": torch.full((1,), 5.0),
    }  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_file(layers, folder.parent / "head.safetensors")
    import_head(folder.parent / "head.safetensors", folder, activation, (1.0, 10.0))
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=16,
        patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "tower")
    return folder


def write_backbone(folder: Path, kind: str, seed: int, heads: HeadChoices | None, words: str = "") -> None:
    """Write configuration, tokenizer and weights as InternVL2 is released, with our heads beside them if wanted."""
    tokens = write_tokenizer(folder, words)
    architecture = {"qwen2": "Qwen2ForCausalLM", "internlm2": "InternLM2ForCausalLM"}[kind]
    bias = {} if kind == "qwen2" else {"bias": False, "rms_norm_eps": 1e-5}
    config = {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
        "vision_config": VISION,
        "llm_config": {**TEXT, **bias, "architectures": [architecture], "vocab_size": tokens},
        "force_image_size": 56, "downsample_ratio": 0.5, "select_layer": -1, "ps_version": "v2",
        "template": "Hermes-2" if kind == "qwen2" else "internlm2-chat",
        "use_thumbnail": True, "min_dynamic_patch": 1, "max_dynamic_patch": 12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    chance = torch.Generator().manual_seed(seed)
    shapes = {**_vision_shapes(), **(_qwen2_shapes if kind == "qwen2" else _internlm2_shapes)(tokens)}
    state = {name: _random(name, shape, chance) for name, shape in shapes.items()}
    if heads:
        torch.manual_seed(seed)
        state |= {name: tensor.clone() for name, tensor in name_tensors(Heads(TEXT["hidden_size"], heads)).items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def write_tokenizer(folder: Path, more: str = "") -> int:
    """Train a small byte-level BPE and return how many tokens it has."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [f"Rate the aesthetics of this human picture is image bad poor fair good excellent {more}"] * 50
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_as_before(folder / "tokenizer.json")
    return int(tokenizer.get_vocab_size())


def _write_as_before(file: Path) -> None:
    """Write merges as the tokenizers of 2024 do, which today's read as well."""
    fields = json.loads(file.read_text())
    fields["model"]["merges"] = [" ".join(pair) for pair in fields["model"]["merges"]]
    file.write_text(json.dumps(fields))


def _random(name: str, shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    tensor = torch.randn(shape, generator=chance)
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.1 * tensor
    return tensor * (0.5 if ".ls" in name else 0.3)


def _vision_shapes() -> dict[str, tuple[int, ...]]:
    hidden, wide, text = VISION["hidden_size"], VISION["intermediate_size"], TEXT["hidden_size"]
    shapes: dict[str, Any] = {
        "vision_model.embeddings.class_embedding": (1, 1, hidden),
        "vision_model.embeddings.position_embedding": (1, 17, hidden),
        "vision_model.embeddings.patch_embedding.weight": (hidden, 3, 14, 14),
        "vision_model.embeddings.patch_embedding.bias": (hidden,),
        "mlp1.0.weight": (4 * hidden,), "mlp1.0.bias": (4 * hidden,),
        "mlp1.1.weight": (text, 4 * hidden), "mlp1.1.bias": (text,),
        "mlp1.3.weight": (text, text), "mlp1.3.bias": (text,),
    }  # fmt: skip
    for layer in range(VISION["num_hidden_layers"]):
        at = f"vision_model.encoder.layers.{layer}."
        shapes |= {
            f"{at}attn.qkv.weight": (3 * hidden, hidden), f"{at}attn.qkv.bias": (3 * hidden,),
            f"{at}attn.proj.weight": (hidden, hidden), f"{at}attn.proj.bias": (hidden,),
            f"{at}mlp.fc1.weight": (wide, hidden), f"{at}mlp.fc1.bias": (wide,),
            f"{at}mlp.fc2.weight": (hidden, wide), f"{at}mlp.fc2.bias": (hidden,),
            f"{at}ls1": (hidden,), f"{at}ls2": (hidden,),
            f"{at}norm1.weight": (hidden,), f"{at}norm1.bias": (hidden,),
            f"{at}norm2.weight": (hidden,), f"{at}norm2.bias": (hidden,),
        }  # fmt: skip
    return shapes


def _qwen2_shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    hidden, wide = TEXT["hidden_size"], TEXT["intermediate_size"]
    shapes: dict[str, Any] = {
        "language_model.model.embed_tokens.weight": (tokens, hidden),
        "language_model.model.norm.weight": (hidden,),
        "language_model.lm_head.weight": (tokens, hidden),
    }
    for layer in range(TEXT["num_hidden_layers"]):
        at = f"language_model.model.layers.{layer}."
        shapes |= {
            f"{at}self_attn.q_proj.weight": (hidden, hidden), f"{at}self_attn.q_proj.bias": (hidden,),
            f"{at}self_attn.k_proj.weight": (16, hidden), f"{at}self_attn.k_proj.bias": (16,),
            f"{at}self_attn.v_proj.weight": (16, hidden), f"{at}self_attn.v_proj.bias": (16,),
            f"{at}self_attn.o_proj.weight": (hidden, hidden),
            f"{at}mlp.gate_proj.weight": (wide, hidden), f"{at}mlp.up_proj.weight": (wide, hidden),
            f"{at}mlp.down_proj.weight": (hidden, wide),
            f"{at}input_layernorm.weight": (hidden,), f"{at}post_attention_layernorm.weight": (hidden,),
        }  # fmt: skip
    return shapes


def _internlm2_shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    hidden, wide = TEXT["hidden_size"], TEXT["intermediate_size"]
    shapes: dict[str, Any] = {
        "language_model.model.tok_embeddings.weight": (tokens, hidden),
        "language_model.model.norm.weight": (hidden,),
        "language_model.output.weight": (tokens, hidden),
    }
    for layer in range(TEXT["num_hidden_layers"]):
        at = f"language_model.model.layers.{layer}."
        shapes |= {
            f"{at}attention.wqkv.weight": (80, hidden), f"{at}attention.wo.weight": (hidden, hidden),
            f"{at}feed_forward.w1.weight": (wide, hidden), f"{at}feed_forward.w3.weight": (wide, hidden),
            f"{at}feed_forward.w2.weight": (hidden, wide),
            f"{at}attention_norm.weight": (hidden,), f"{at}ffn_norm.weight": (hidden,),
        }  # fmt: skip
    return shapes
