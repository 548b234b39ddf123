"""HumanAesExpert at the dimensions of its 1B, random weights: one pass against the authors' procedure, and ONNX.

    python benchmarks/internvl.py [--layers 4] [--tiles 1 7 13] [--device cpu] [--batch 1] [--rounds 3] [--onnx]

The reference asks each question in a full pass of its own over one picture at a time, vision included, as the authors'
MetaVoter runs. Contenders take turns in one process; ratios of medians are printed. On a GPU give --device cuda
--layers 24 --batch 16. The arithmetic limit is measured beside it: a large matrix product in the same precision.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import InternVLForConditionalGeneration

from aescli.models import internvl
from aescli.models.heads import HeadChoices, Heads
from aescli.models.humanaesexpert import Judge, normalize_on_device
from aescli.models.prompts import Prompt
from aescli.models.tiles import Tiling

VOCABULARY = 2048  # of 151,655: rows that no one looks up change no time here
IMAGE = VOCABULARY - 1


def make_judge(layers: int, device: str, data_type: torch.dtype) -> Judge:
    described = {
        "vision_config": {
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": layers, "num_attention_heads": 16,
            "image_size": 448, "patch_size": 14,
        },
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": layers, "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1e6,
            "vocab_size": VOCABULARY,
        },
    }  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        network = InternVLForConditionalGeneration(internvl.network_config(described, "benchmark")).to(data_type)
    network.eval().requires_grad_(requires_grad=False)
    backbone = internvl.Backbone(network, Tiling(), IMAGE, 256, "Hermes-2")
    heads = Heads(896, HeadChoices()).to(device).requires_grad_(requires_grad=False)
    # As long as the real prompt: 49 tokens before the image, then questions that part after seven words.
    before, after, plain, stem, expert = (tuple(range(count)) for count in (49, 10, 6, 7, 11))
    prompt = Prompt(before, IMAGE, after, plain, stem, expert, levels=(1, 2, 3, 4, 5))
    return Judge(backbone, heads, prompt, device, data_type)


@torch.inference_mode()
def reference(judge: Judge, pictures: list[np.ndarray]) -> list[float]:
    """Two full passes for each picture, one at a time."""
    network: Any = judge.backbone.network
    scores = []
    for picture in pictures:
        pixels = torch.from_numpy(picture).to(judge.device)

        def ask(rest: tuple[int, ...], pixels: torch.Tensor = pixels) -> torch.Tensor:
            features = internvl.encode(network, normalize_on_device(pixels, judge.data_type))
            tokens = torch.tensor([[*judge.prompt.prefix(len(pixels) * 256), *rest]], device=judge.device)
            embeddings = internvl.embed(network, tokens, features, IMAGE)
            hidden: torch.Tensor = network.model.language_model(
                inputs_embeds=embeddings, use_cache=False
            ).last_hidden_state
            return hidden

        hidden = ask((*judge.prompt.plain, *judge.prompt.stem))
        regression = judge.heads.regress(hidden[:, len(judge.prompt.stem) * -1 - 1])
        level = judge.heads.read_levels(network.lm_head(hidden[:, -1])[:, list(judge.prompt.levels)])
        expert = judge.heads.judge(ask(judge.prompt.expert)[:, -1])
        scores.append(float(judge.heads.vote(level, regression, expert[:, -1])))
    return scores


def one_pass(judge: Judge, pictures: list[np.ndarray], batch: int) -> list[float]:
    scores: list[float] = []
    for at in range(0, len(pictures), batch):
        scores += judge.read(pictures[at : at + batch], ("plain", "expert")).chosen("metavoter").tolist()
    return scores


def flops(layers: int, tiles: int) -> float:
    """Return multiply-adds times two of one pass over one picture."""
    patches, hidden, wide = 1025, 1024, 4096
    vision = tiles * layers * (2 * patches * (4 * hidden**2 + 2 * hidden * wide) + 4 * patches**2 * hidden)
    length, h, w = 49 + 256 * tiles + 34, 896, 4864
    text = layers * (2 * length * (2 * h * h + 2 * h * 128 + 3 * h * w) + 2 * length**2 * h)
    return vision + text


def limit(device: str, data_type: torch.dtype) -> float:
    """Return FLOP/s of a large matrix product."""
    size = 8192 if device != "cpu" else 2048
    one = torch.randn(size, size, device=device, dtype=data_type)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        for _ in range(10 if device != "cpu" else 1):
            one @ one
        synchronize(device)
        seconds.append((time.perf_counter() - started) / (10 if device != "cpu" else 1))
    return 2 * size**3 / min(seconds)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def timed(work: Callable[[], list[float]], device: str) -> tuple[float, list[float]]:
    synchronize(device)
    started = time.perf_counter()
    found = work()
    synchronize(device)
    return time.perf_counter() - started, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 7, 13])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--onnx", action="store_true")
    words = parser.parse_args()
    names = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    data_type = (
        names[words.dtype] if words.dtype != "auto" else torch.float32 if words.device == "cpu" else torch.bfloat16
    )
    judge = make_judge(words.layers, words.device, data_type)
    peak = limit(words.device, data_type)
    graph = write_graph(judge) if words.onnx else None
    print(
        f"{words.layers} + {words.layers} layers, {data_type}, {words.device}; matrix product {peak / 1e12:.2f} TFLOP/s"
    )
    for tiles in words.tiles:
        chance = np.random.default_rng(tiles)
        count = 1 if words.device == "cpu" else 2 * words.batch
        pictures = [chance.integers(0, 255, (tiles, 448, 448, 3), np.uint8) for _ in range(count)]
        contenders: dict[str, Callable[[], list[float]]] = {
            "reference": lambda pictures=pictures: reference(judge, pictures),
            "one pass": lambda pictures=pictures: one_pass(judge, pictures, words.batch),
        }
        if graph:
            contenders["onnx"] = lambda pictures=pictures: graph(pictures)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        answers = {}
        for turn in range(words.rounds + 1):
            for name, work in contenders.items():
                seconds, answers[name] = timed(work, words.device)
                if turn:  # the first warms up
                    taken[name].append(seconds / count)
        median = {name: statistics.median(values) for name, values in taken.items()}
        apart = max(abs(a - b) for name in answers for a, b in zip(answers[name], answers["reference"], strict=True))
        line = {
            "tiles": tiles, "batch": words.batch, "seconds": {n: round(s, 5) for n, s in median.items()},
            "one pass against reference": round(median["reference"] / median["one pass"], 2),
            "of the limit": round(flops(words.layers, tiles) / median["one pass"] / peak, 2),
            "largest difference": f"{apart:.1e}",
        }  # fmt: skip
        if graph:
            line["onnx against one pass"] = round(median["one pass"] / median["onnx"], 2)
        if words.device != "cpu":
            line["pictures per second"] = round(1 / median["one pass"], 1)
            line["peak memory GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        print(json.dumps(line), flush=True)


def write_graph(judge: Judge) -> Callable[[list[np.ndarray]], list[float]]:
    """Export the judge and return what runs the graph."""
    from aescli.exporting import write_graph as write
    from aescli.models.internvl_graph import describe_judge
    from aescli.models.internvl_onnx import Layout
    from aescli.runtime import Device, Placement, open_session, usable_cpus

    layout, device = Layout(judge.prompt, 256, Tiling()), Device("cpu")
    folder = Path(tempfile.mkdtemp(prefix="aes-benchmark-"))
    pictures = [np.zeros((count, 448, 448, 3), np.uint8) for count in (1, 3)]
    write(describe_judge(judge, judge, {}), pictures, folder / "model.onnx")
    session = open_session(folder / "model.onnx", device, Placement((device,), "benchmark"), threads=usable_cpus())

    def run(pictures: list[np.ndarray]) -> list[float]:
        return [float(session.run_named(layout.inputs([picture]))["metavoter"][0]) for picture in pictures]

    return run


if __name__ == "__main__":
    main()
