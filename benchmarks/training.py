"""Steps a second of the training loop against transformers' Trainer, the same model, samples and LoRA in one run.

    python benchmarks/training.py [--device cpu] [--layers 4] [--samples 8] [--rounds 3] [--tiles 1]

The widths of InternVL2-1B with random weights; on a CPU with few layers, on a GPU with --layers 24 --device cuda. Both
compute the same text loss over the same tokens; ours computes the heads' losses as well, and logits of answers alone.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import InternVLForConditionalGeneration, Trainer, TrainingArguments

from aescli.models import internvl, lora
from aescli.models.heads import HeadChoices, Heads
from aescli.models.lora import LoraChoices
from aescli.models.tiles import Tiling
from aescli.training.batching import BatchChoices
from aescli.training.hearing import Hearing, Step
from aescli.training.loop import LoopChoices, train
from aescli.training.questions import Dialogue
from aescli.training.samples import Rated
from aescli.training.student import IGNORED, Loaded, LossChoices, Student, collate

VOCABULARY = 151_655
IMAGE = 151_648
ANSWER = 12  # tokens, about what a level takes; a twelve-dimension answer has ten times as many


def make_student(layers: int, device: str, data_type: torch.dtype) -> Student:
    described = {
        "model_type": "internvl_chat", "force_image_size": 448, "select_layer": -1, "ps_version": "v2",
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": layers,
                          "num_attention_heads": 16, "image_size": 448, "patch_size": 14},
        "llm_config": {"architectures": ["Qwen2ForCausalLM"], "vocab_size": VOCABULARY, "hidden_size": 896,
                       "intermediate_size": 4864, "num_hidden_layers": layers, "num_attention_heads": 14,
                       "num_key_value_heads": 2},
    }  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = InternVLForConditionalGeneration(internvl.network_config(described, "benchmark")).to(data_type)
    network.config.image_token_id = IMAGE  # what Trainer's side looks for
    network.requires_grad_(requires_grad=False)
    lora.attach(network, LoraChoices(dropout=0.0))
    backbone = internvl.Backbone(network, Tiling(12), IMAGE, 256, "Hermes-2")
    student = Student(backbone, Heads(896, HeadChoices()).to(device), IMAGE, [11, 12, 13, 14, 15], LossChoices())
    student.heads.voter.requires_grad_(requires_grad=False)
    return student


class Task:
    """Random pictures and tokens."""

    head_names = ("heads.",)
    held = 0
    held_lengths: tuple[int, ...] = ()

    def __init__(self, student: Student, count: int, tiles: int) -> None:
        self.module: torch.nn.Module = student
        chance = np.random.default_rng(0)
        self.samples = []
        for _ in range(count):
            words = tuple(int(each) for each in chance.integers(100, 9000, 40 + ANSWER))
            dialogue = Dialogue(words[:20], words[20:40], words[40:], ANSWER - 2)
            pixels = chance.integers(0, 255, (tiles, 448, 448, 3), dtype=np.uint8)
            self.samples.append(Loaded(pixels, dialogue, Rated("x", (0.5,), "fair")))
        self.lengths = [40 + ANSWER + 256 * tiles] * count
        self.weights = [1.0] * count

    def load(self, at: int, _: int) -> Loaded:
        return self.samples[at]

    def load_held(self, at: int) -> Loaded:
        return self.samples[at]

    def collate(self, loaded: Any) -> dict[str, torch.Tensor]:
        return collate(loaded, IMAGE, 256)

    def judge(self, _: Any) -> dict[str, float]:
        return {"best": 0.0}

    def describe(self, at: int) -> str:
        return str(at)


class Plain(torch.nn.Module):
    """The same network as Trainer's users call it: tokens, pixels and labels in, a loss out."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.network = student.network

    def forward(self, input_ids: Any, attention_mask: Any, pixel_values: Any, labels: Any) -> Any:
        return self.network(
            input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values, labels=labels
        )


def time_ours(student: Student, arguments: argparse.Namespace) -> tuple[float, float]:
    """Return seconds of a step, the median without the first, and the last loss."""
    ends: list[float] = []
    losses: list[float] = []

    def hear(step: Step) -> None:
        ends.append(time.perf_counter())
        losses.append(step.loss)

    tokens = arguments.batch * (40 + ANSWER + 256 * arguments.tiles)
    batches = BatchChoices(samples=arguments.samples, tokens=tokens, epochs=1)
    choices = LoopChoices(batches=batches, device=arguments.device, save_every=10**6, evaluate_every=10**6)
    task = Task(student, arguments.samples * arguments.steps, arguments.tiles)
    with tempfile.TemporaryDirectory() as folder:
        train(task, choices, Path(folder), {}, Hearing(step=hear))
    return statistics.median(np.diff(ends).tolist()), losses[-1]


def time_trainer(student: Student, arguments: argparse.Namespace) -> tuple[float, float]:
    """Return the same for Trainer."""
    from transformers import TrainerCallback

    task = Task(student, arguments.samples * arguments.steps, arguments.tiles)
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    def as_inputs(loaded: list[Loaded]) -> dict[str, torch.Tensor]:
        batch = task.collate(loaded)
        from aescli.models.humanaesexpert import normalize_on_device

        labels = torch.full_like(batch["tokens"], IGNORED)
        rows = torch.arange(len(labels))[:, None]
        labels[rows, batch["places"] + 1] = batch["targets"]
        pixels = normalize_on_device(batch["pixels"], torch.float32)
        return {
            "input_ids": batch["tokens"], "attention_mask": batch["mask"], "pixel_values": pixels, "labels": labels
        }  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=arguments.batch,
            gradient_accumulation_steps=arguments.samples // arguments.batch, num_train_epochs=1, learning_rate=1e-4,
            lr_scheduler_type="cosine", weight_decay=0.1, remove_unused_columns=False, save_strategy="no",
            report_to="none", disable_tqdm=True, use_cpu=arguments.device == "cpu",
            bf16=arguments.device != "cpu", logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(
            Plain(student), options, train_dataset=task.samples, data_collator=as_inputs, callbacks=[Clock()]
        )  # type: ignore[arg-type]
        found = trainer.train()
    return statistics.median(np.diff(ends).tolist()), float(found.training_loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4, help="of a step")
    parser.add_argument("--batch", type=int, default=2, help="samples of a micro-batch")
    parser.add_argument("--tiles", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    data_type = torch.float32 if arguments.device == "cpu" else torch.bfloat16
    student = make_student(arguments.layers, arguments.device, data_type)
    seconds: dict[str, list[float]] = {"aes": [], "Trainer": []}
    for _ in range(arguments.rounds):
        seconds["Trainer"].append(time_trainer(student, arguments)[0])
        seconds["aes"].append(time_ours(student, arguments)[0])
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    tokens = arguments.samples * (40 + ANSWER + 256 * arguments.tiles)
    for name, found in medians.items():
        rounds = np.round(seconds[name], 2)
        print(f"{name:<8} {1 / found:7.3f} steps/s {tokens / found:9.0f} tokens/s   rounds {rounds}")
    print(f"aes against Trainer: {medians['Trainer'] / medians['aes']:.2f}x")
    if arguments.device != "cpu":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
