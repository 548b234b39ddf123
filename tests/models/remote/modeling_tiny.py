"""A checkpoint's own code, for transformers 4.44: InternVL2 written out, three heads, the four methods.

It runs in a side environment and shares no line with aescli: what both say the same was computed twice.
"""

import os

import torch
from timm.models.layers import DropPath
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from .configuration_tiny import TinyConfig

SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
NAMES = [
    "Facial Brightness", "Facial Feature Clarity", "Facial Skin Tone", "Facial Structure", "Facial Contour Clarity",
    "Facial Aesthetic Score", "Outfit", "Body Shape", "Looks", "Environment", "General Appearance Aesthetic Score",
    "Comprehensive Aesthetic Score",
]  # fmt: skip


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["num_attention_heads"]
        self.qkv = nn.Linear(c["hidden_size"], 3 * c["hidden_size"])
        self.proj = nn.Linear(c["hidden_size"], c["hidden_size"])

    def forward(self, x):
        b, n, h = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (h // self.heads) ** -0.5) @ k.transpose(-2, -1)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, h))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1 = nn.Linear(c["hidden_size"], c["intermediate_size"])
        self.fc2 = nn.Linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, eps = c["hidden_size"], c["layer_norm_eps"]
        self.attn, self.mlp = Attention(c), Mlp(c)
        self.norm1, self.norm2 = nn.LayerNorm(h, eps), nn.LayerNorm(h, eps)
        self.ls1, self.ls2 = nn.Parameter(torch.ones(h)), nn.Parameter(torch.ones(h))
        self.drop = DropPath(0.0)

    def forward(self, x):
        x = x + self.drop(self.attn(self.norm1(x)) * self.ls1)
        return x + self.drop(self.mlp(self.norm2(x)) * self.ls2)


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, patch = c["hidden_size"], c["patch_size"]
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, h))
        self.position_embedding = nn.Parameter(torch.zeros(1, (c["image_size"] // patch) ** 2 + 1, h))
        self.patch_embedding = nn.Conv2d(3, h, patch, patch)

    def forward(self, pixels):
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        return torch.cat([self.class_embedding.expand(len(x), -1, -1), x], 1) + self.position_embedding


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(c), Encoder(c)

    def forward(self, pixels):
        x = self.embeddings(pixels)
        for layer in self.encoder.layers:
            x = layer(x)
        return x[:, 1:]


def shuffle(x):
    n, side, h = len(x), int(x.shape[1] ** 0.5), x.shape[2]
    x = x.view(n, side, side // 2, 2 * h).permute(0, 2, 1, 3).reshape(n, side // 2, side // 2, 4 * h)
    return x.permute(0, 2, 1, 3).reshape(n, -1, 4 * h)


class Expert_Head(nn.Module):  # noqa: N801
    def __init__(self, h):
        super().__init__()

        def ffn(n):
            return nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, 1))

        self.leaves = nn.Linear(h, 9)
        self.facial_aesthetic, self.general_appearance, self.comprehensive = ffn(5), ffn(3), ffn(3)

    def forward(self, x):
        a = self.leaves(x).sigmoid()
        f = self.facial_aesthetic(a[:, :5]).sigmoid()
        g = self.general_appearance(a[:, 5:8]).sigmoid()
        o = self.comprehensive(torch.cat([a[:, 8:], f, g], 1)).sigmoid()
        return torch.cat([a[:, :5], f, a[:, 5:], g, o], 1)


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        vision, text = {**config.vision_config, "image_size": config.force_image_size}, config.llm_config
        h = text["hidden_size"]
        self.vision_model = Vision(vision)
        wide = 4 * vision["hidden_size"]
        self.mlp1 = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, h), nn.GELU(), nn.Linear(h, h))
        self.language_model = Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in text.items() if k != "architectures"}))
        self.language_model.lm_regression_head = nn.Linear(h, 1)
        self.language_model.expert_head = Expert_Head(h)
        self.metavoter = nn.Sequential(nn.Linear(3, 16), nn.GELU(), nn.Linear(16, 1))

    def _hidden(self, tokenizer, pixels, question, answer=""):
        self._misbehave(pixels)
        image = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        features = self.mlp1(shuffle(self.vision_model(pixels))).flatten(0, 1)
        text = (
            f"<|im_start|>system\n{SYSTEM}<|im_end|><|im_start|>user\n<img>{'<IMG_CONTEXT>' * len(features)}</img>\n"
            f"{question}<|im_end|><|im_start|>assistant\n{answer}"
        )
        tokens = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        embeddings = self.language_model.get_input_embeddings()(tokens).clone()
        embeddings[tokens == image] = features
        return self.language_model.model(inputs_embeds=embeddings).last_hidden_state[:, -1]

    def _misbehave(self, pixels):
        """Do what a test asks for with a picture that is one colour: nothing real looks like that."""
        if float(pixels.std(dim=(2, 3)).max()) < 1e-6:
            what = round(float(pixels[0, 0, 0, 0]) * 0.229 * 255 + 0.485 * 255)
            if what == 10:
                os.abort()
            if what == 20:
                import time

                time.sleep(600)
            if what == 30:
                raise RuntimeError("this picture is not liked")
            if what == 40:
                import socket

                with open(os.path.join(self.name_or_path, "port")) as file:
                    socket.create_connection(("127.0.0.1", int(file.read())), 2)

    def score(self, tokenizer, pixel_values, question):
        question = question.replace("<image>\n", "")
        return self.language_model.lm_regression_head(self._hidden(tokenizer, pixel_values, question))[0]

    def expert_score(self, tokenizer, pixel_values):
        hidden = self._hidden(
            tokenizer, pixel_values, "Rate the aesthetics of this human picture from 12 different dimensions."
        )
        found = self.language_model.expert_head(hidden)[0]
        return found, dict(zip(NAMES, found.tolist(), strict=True))

    def run_metavoter(self, tokenizer, pixel_values):
        question = "Rate the aesthetics of this human picture."
        stem = "The aesthetics of the human image is"
        words = [
            tokenizer.encode(f"{stem} {word}", add_special_tokens=False)[
                len(tokenizer.encode(stem, add_special_tokens=False))
            ]
            for word in ("bad", "poor", "fair", "good", "excellent")
        ]
        logits = self.language_model.lm_head(self._hidden(tokenizer, pixel_values, question, stem))[0, words]
        level = logits.softmax(0) @ torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
        three = [
            level,
            self.score(tokenizer, pixel_values, question)[0],
            self.expert_score(tokenizer, pixel_values)[0][-1],
        ]
        return self.metavoter(torch.stack(three))

    def expert_annotataion(self, tokenizer, pixel_values, generation_config):
        found, _ = self.expert_score(tokenizer, pixel_values)
        levels = [("bad", "poor", "fair", "good", "excellent")[min(4, int(value * 5))] for value in found.tolist()]
        return "\n".join(f"{at}. {name} : {level}" for at, (name, level) in enumerate(zip(NAMES, levels), 1))
