"""Words at LLaVA-1.5-7B's widths, random weights: questions over one prefix, batches, level read-outs.

    python benchmarks/words.py [--layers 2] [--device cpu] [--batch 4] [--tokens 16] [--rounds 3]

Contenders take turns in one process; medians and ratios are printed. On a GPU: --device cuda --layers 32 --batch 16.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

from aescli.models import llava
from aescli.models.generating import answer
from aescli.models.talking import Turn

VOCABULARY = 2_048  # of 32,000: rows that no one looks up change little here
QUESTIONS = ("Describe it.", "What are its strengths?", "What are its weaknesses?", "What would improve it?")


@dataclass(frozen=True)
class Words:
    """A tokenizer of bytes: what it makes of words does not matter here."""

    bos_token_id: int = 1

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}

    def decode(self, tokens: list[int], **_: object) -> str:
        return " ".join(map(str, tokens))


def make_speaker(layers: int, device: str, data_type: torch.dtype) -> llava.LlavaSpeaker:
    described = {
        "model_type": "llava_llama", "vocab_size": VOCABULARY, "hidden_size": 4096, "intermediate_size": 11_008,
        "num_hidden_layers": layers, "num_attention_heads": 32, "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2, "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    }  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = LlavaForConditionalGeneration(llava.network_config(described, "benchmark")).to(data_type)
    network.resize_token_embeddings(VOCABULARY + 64, mean_resizing=False)
    network.eval().requires_grad_(requires_grad=False)
    loaded = llava.Llava(network, VOCABULARY, 576, 336)
    return llava.LlavaSpeaker(loaded, Words(), device, data_type, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    data_type = torch.float32 if words.device == "cpu" else torch.bfloat16
    speaker = make_speaker(words.layers, words.device, data_type)
    chance = np.random.default_rng(0)
    pictures = [chance.integers(0, 255, (336, 336, 3), np.uint8) for _ in range(words.batch)]
    turns = [Turn(picture, QUESTIONS[0]) for picture in pictures]
    fields = [Turn(pictures[0], question) for question in QUESTIONS]

    @torch.inference_mode()
    def levels(batch: list[Turn]) -> None:
        speaker.network(**speaker.inputs(batch), logits_to_keep=1).logits[:, -1].float().softmax(-1).tolist()

    contenders: dict[str, Callable[[], object]] = {
        "four questions, one by one": lambda: [answer(speaker, [turn], most_tokens=words.tokens) for turn in fields],
        "four questions, one prefix": lambda: speaker.answer_all(pictures[0], QUESTIONS, words.tokens),
        "pictures, one by one": lambda: [answer(speaker, [turn], most_tokens=words.tokens) for turn in turns],
        "pictures, one batch": lambda: answer(speaker, turns, most_tokens=words.tokens),
        "levels, one by one": lambda: [levels([turn]) for turn in turns],
        "levels, one batch": lambda: levels(turns),
    }
    median = take_turns(contenders, words.rounds, words.device)
    for name, seconds in median.items():
        print(f"{name:<28} {seconds:8.3f} s")
    for kind in ("four questions", "pictures", "levels"):
        single = median[f"{kind}, one by one"]
        other = next(seconds for name, seconds in median.items() if name.startswith(kind) and "one by one" not in name)
        print(f"{kind}: {single / other:.2f}x")
    said = words.batch * words.tokens / median["pictures, one batch"]
    print(f"levels: {words.batch / median['levels, one batch']:.2f} pictures/s; words: {said:.1f} tokens/s")
    if words.device != "cpu":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Return each contender's median seconds; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, work in contenders.items():
            started = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


if __name__ == "__main__":
    main()
