"""Held-out rank correlation of recipe `multihead` on scored portraits, against the same training on shuffled labels.

    python benchmarks/heldout.py --data FOLDER [--pictures 400] [--epochs 4] [--seeds 1]

FOLDER is laid out as HumanBeauty-58K. The backbone is a small InternVL2 with random weights, its vision tower frozen as the
recipe has it: what it knows it learnt from these pictures alone, through random features of a few patches. So the number
shows that the recipe learns, not how well a pre-trained model would.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=3e-3)
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in (arguments.data / "label.jsonl").read_text().splitlines()]
    chance = np.random.default_rng(0)
    chosen = [lines[at] for at in sorted(chance.permutation(len(lines))[: arguments.pictures])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_base(folder / "base")
        found = {}
        for what in ("labels", "shuffled"):
            order = chance.permutation(len(chosen)) if what == "shuffled" else np.arange(len(chosen))
            found[what] = train(folder, base, chosen, order, arguments)
    for what, results in found.items():
        print(f"{what:<9} " + "  ".join(f"{name} {value:+.3f}" for name, value in results.items()))


def make_base(folder: Path) -> Path:
    """Write InternVL2's layout at small widths, each layer's weights as large as keeps the size of what it is given."""
    import torch
    from safetensors.torch import load_file, save_file

    from tests.models import checkpoints
    from tests.training.tiny import internvl2

    checkpoints.VISION |= {"hidden_size": 96, "intermediate_size": 192}
    internvl2(folder)
    chance = torch.Generator().manual_seed(0)
    state = load_file(folder / "model.safetensors")
    for name, tensor in state.items():
        if tensor.ndim >= 2 and "embed" not in name:
            state[name] = torch.randn(tensor.shape, generator=chance) * tensor[0].numel() ** -0.5
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def train(
    folder: Path, base: Path, chosen: list[dict[str, object]], order: np.ndarray, arguments: argparse.Namespace
) -> dict[str, float]:
    """Train on pictures whose training labels are in some order; return SRCC on test pictures with their own labels."""
    from aescli.registry import find_card
    from aescli.training.choosing import change
    from aescli.training.hearing import Hearing
    from aescli.training.multihead import MultiheadChoices, train_multihead
    from aescli.training.samples import Data, Rated, level_of

    tests = set(np.random.default_rng(1).permutation(len(chosen))[: len(chosen) // 4].tolist())
    samples, test = [], []
    pool = [at for at in order if at not in tests]
    free = iter(pool)
    for at, line in enumerate(chosen):
        picture = str(arguments.data / "images" / str(line["image_name"]))
        score = float(str(line["score"])) if at in tests else float(str(chosen[next(free)]["score"]))
        (test if at in tests else samples).append(Rated(picture, (score,), level_of(score), "portraits", str(at)))
    choices = MultiheadChoices()
    for word in (
        "max_tiles=1", "system=You judge pictures.", "splits.validation=0", "splits.voter=0", "loop.device=cpu",
        f"loop.batches.epochs={arguments.epochs}", f"loop.rate={arguments.rate}", "loop.save_every=100000",
    ):  # fmt: skip
        choices = change(choices, word)
    run = folder / ("shuffled" if list(order) != sorted(order) else "labels")
    report = train_multihead(
        find_card(str(base)), Data("portraits", tuple(samples), tuple(test)), run, choices,
        hearing=Hearing(note=print),
    )  # fmt: skip
    if report is None:
        raise AssertionError("one process trains")
    return {name: report.results[name] for name in ("regression_srcc", "lm_srcc") if name in report.results}


if __name__ == "__main__":
    main()
