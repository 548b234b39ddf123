"""Recipe multihead end to end, on tiny bases of both released layouts, through the command line."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.metrics import level_accuracy, srcc
from tests.conftest import Aes
from tests.training.tiny import NO_SPLITS, SPREAD, humanbeauty, internvl2, one_thread  # noqa: F401 - a fixture

BY_HEART = (
    "--epochs", 200, "--batch-size", 32, "--rate", 8e-3, "--set", "loop.batches.tokens=2600", "--set", "loop.decay=0",
    "--set", "lora.dropout=0", "--set", "lora.rank=16", "--set", "vary_questions=false", "--set", "loop.save_every=500",
)  # fmt: skip
QUICK = ("--device", "cpu", "--max-tiles", 1, "--set", "system=You judge pictures.")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return humanbeauty(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture(scope="module", params=["qwen2", "internlm2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return internvl2(tmp_path_factory.mktemp("base") / request.param, request.param)


def train(aes: Aes, data: Path, base: Path, out: Path, *words: object) -> dict[str, object]:
    """Train through the command line, and return what the card says."""
    done = aes("train", "--data", f"humanbeauty={data}", "--model", base, "--recipe", "multihead", "--out", out,
               *QUICK, *words)  # fmt: skip
    assert done.code == 0, done.err
    card: dict[str, object] = json.loads((out / "card.json").read_text())
    return card


def rate(aes: Aes, pictures: Path, model: Path, read_out: str) -> list[dict[str, str]]:
    done = aes("score", pictures, "-m", model, "--read-out", read_out, "--dims", "all", "--no-store", "--format", "csv")
    assert done.code == 0, done.err
    return list(csv.DictReader(done.out.splitlines()))


def labels(rows: list[dict[str, str]]) -> list[float]:
    return [SPREAD[int(Path(row["path"]).stem)] for row in rows]


def test_sixteen_portraits_are_learnt_by_heart(aes: Aes, data: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    card = train(aes, data, base, out, *NO_SPLITS, *BY_HEART)
    plain, expert = (data / f"HumanBeauty-{name}" / "images" for name in ("58K", "50K"))
    rows = rate(aes, plain, out, "regression")
    assert (srcc([float(row["raw"]) for row in rows], labels(rows)) or 0) > 0.95
    rows = rate(aes, plain, out, "lm")
    assert level_accuracy([float(row["raw"]) for row in rows], labels(rows), low=0, high=1) == 1.0
    rows = rate(aes, expert, out, "expert")
    assert (srcc([float(row["raw"]) for row in rows], labels(rows)) or 0) > 0.95
    twelve = [json.loads(line)["score"] for line in (expert.parent / "label.jsonl").read_text().splitlines()]
    for parent in ("facial_aesthetic", "general_appearance", "comprehensive"):
        place = HUMAN_DIMENSIONS.index(parent)
        actual = [twelve[int(Path(row["path"]).stem)][place] for row in rows]
        assert (srcc([float(row[parent]) for row in rows], actual) or 0) > 0.95, parent
    assert "MetaVoter" in str(card["note"])  # no sample was set aside for it


@pytest.fixture(scope="module")
def tuned(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder after a few steps with all splits, a voter and a test."""
    from aescli.cli.app import main

    out = tmp_path_factory.mktemp("tuned") / "out"
    words = ["train", "--data", f"humanbeauty={data}", "--model", base, "--recipe", "multihead", "--out", out, *QUICK,
             "--epochs", 2, "--batch-size", 8, "--rate", 1e-3, "--set", "splits.voter=0.3", "--set",
             "splits.validation=0.15", "--set", "splits.test=0.15"]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    return out


def test_the_card_states_every_choice_the_splits_and_the_results(tuned: Path, base: Path) -> None:
    card = json.loads((tuned / "card.json").read_text())
    training = card["training"]
    assert card["read_out"] == "metavoter"
    assert [each["name"] for each in card["dimensions"]] == list(HUMAN_DIMENSIONS)
    assert training["choices"]["losses"] == {"text": 1.0, "regression": 1.0, "expert": 1.0}
    assert training["choices"]["lora"] == {"rank": 8, "alpha": 32.0, "dropout": 0.05}
    assert training["base"]["model"] == str(base)
    assert set(training["voter"]) == {"metavoter", "lm", "regression", "expert"}
    assert training["results"]["samples"] == training["samples"]["test"] > 0
    assert set(training["data"]["splits"]) == {"train", "validation", "voter", "test"}
    for split in training["samples"]:
        assert len((tuned / "splits" / f"{split}.jsonl").read_text().splitlines()) == training["samples"][split]
    lines = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, training["steps"] + 1))
    assert {"regression_srcc", "expert_srcc", "lm_accuracy", "val_loss"} <= lines[-1].keys()


def test_every_command_takes_the_folder_as_it_is(aes: Aes, tuned: Path, data: Path, tmp_path: Path) -> None:
    pictures = data / "HumanBeauty-58K" / "images"
    native = rate(aes, pictures, tuned, "metavoter")
    assert aes("models", "verify", tuned).code == 0
    done = aes("models", "export", tuned, pictures / "0.png", pictures / "1.png", "-o", tmp_path / "onnx")
    assert done.code == 0, done.err
    graph = rate(aes, pictures, tmp_path / "onnx", "metavoter")
    for one, other in zip(native, graph, strict=True):
        assert float(one["raw"]) == pytest.approx(float(other["raw"]), abs=1e-5)


def test_an_adapter_on_its_base_says_what_the_merged_model_says(
    aes: Aes, tuned: Path, data: Path, base: Path, tmp_path: Path
) -> None:
    """The same run, finished as an adapter: from the best checkpoint of the merged one."""
    run = tmp_path / "adapter"
    shutil.copytree(tuned, run)
    for name in ("card.json", "model.safetensors"):
        (run / name).unlink()
    state = next((run / "checkpoints").glob("step-*/state.json"))
    fields = json.loads(state.read_text())
    fields["identity"]["choices.adapter"] = True
    state.write_text(json.dumps(fields))
    for other in (run / "checkpoints").glob("step-*"):
        if other != state.parent:
            shutil.rmtree(other)
    train(aes, data, base, run, "--resume", "--adapter", "--epochs", 2, "--batch-size", 8, "--rate", 1e-3,
          "--set", "splits.voter=0.3", "--set", "splits.validation=0.15", "--set", "splits.test=0.15")  # fmt: skip
    assert (run / "adapter_model.safetensors").stat().st_size < (tuned / "model.safetensors").stat().st_size / 2
    pictures = data / "HumanBeauty-58K" / "images"
    for merged, joined in zip(
        rate(aes, pictures, tuned, "metavoter"), rate(aes, pictures, run, "metavoter"), strict=True
    ):
        assert float(merged["raw"]) == pytest.approx(float(joined["raw"]), abs=1e-5)
    shutil.copyfile(tuned / "model.safetensors", tmp_path / "other.safetensors")
    card = json.loads((run / "card.json").read_text())
    (run / "card.json").write_text(json.dumps({**card, "base": {**card["base"], "revision": "0" * 64}}))
    done = aes("score", pictures / "0.png", "-m", run)
    assert done.code == 5
    assert "trained on 000000000000" in done.err


def test_the_answer_does_not_leak_into_the_heads(tuned: Path, data: Path) -> None:
    """Two samples that differ in their answer alone have the same scores."""
    import torch

    from aescli.registry import find_card
    from aescli.training import runs
    from aescli.training.choosing import change
    from aescli.training.multihead import FAMILIES, MultiheadChoices, MultiheadTask
    from aescli.training.pictures import open_exactly
    from aescli.training.samples import Data, Rated

    picture = str(data / "HumanBeauty-58K" / "images" / "0.png")
    choices: MultiheadChoices = change(change(MultiheadChoices(), "max_tiles=1"), "vary_questions=false")
    for name in ("validation", "voter", "test"):
        choices = change(choices, f"splits.{name}=0")
    found = Data("x", (Rated(picture, (0.1,), "bad"), Rated(picture, (0.9,), "excellent")))
    base = runs.open_base(find_card(str(tuned)), FAMILIES, "multihead")
    with open_exactly() as opener:
        task = MultiheadTask(base, runs.prepare_splits(None, found, choices.splits, print), choices, opener)
        with torch.no_grad():
            said = task.module.eval()(**task.collate([task.load(at, 0) for at in (0, 1)]))
    # Not to the bit: how a processor sums a row may depend on its place in the batch.
    for name in ("regression", "expert"):
        assert torch.allclose(said[name][0], said[name][1], rtol=0, atol=1e-6)
    assert said["text"][0] != said["text"][1]


def test_a_loss_that_is_not_finite_ends_the_run_with_its_pictures(
    aes: Aes, data: Path, base: Path, tmp_path: Path
) -> None:
    done = aes("train", "--data", f"humanbeauty={data}", "--model", base, "--recipe", "multihead", "--out",
               tmp_path / "o", *QUICK, *NO_SPLITS, "--epochs", 4, "--batch-size", 16, "--rate", 1e30)  # fmt: skip
    assert done.code == 1
    assert "is not finite" in done.err
    assert ".png" in done.err
    assert not (tmp_path / "o" / "card.json").exists()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(aes: Aes, data: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    done = aes("train", "--data", f"humanbeauty={data}", "--model", base, "--recipe", "multihead", "--out", out,
               *QUICK, *NO_SPLITS, "--batch-size", 10, "--epochs", 3, "--dry-run", "--json")  # fmt: skip
    found = json.loads(done.out)
    assert found["steps"] == 12
    assert 0 < found["trainable"] < found["parameters"]
    assert min(found["memory"], found["seconds"], found["tokens"]) > 0
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--set", "losses.txt=1"), "did you mean 'losses.text'"),
        (("--set", "losses.text=much"), "no value of losses.text"),
        (("--set", "losses.text"), "sets nothing"),
        (("--set", "heads.regression_activation=relu"), "is not understood"),
        (("--full",), "there is no choice 'full'"),
        (("--device", "cuda:0"), "accelerate"),
        (("--dims", "all"), "--dims is for the recipe head"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    aes: Aes, data: Path, base: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    done = aes("train", "--data", f"humanbeauty={data}", "--model", base, "--recipe", "multihead", "--out",
               tmp_path / "o", *words)  # fmt: skip
    assert done.code == 2
    assert why in done.err


def test_a_base_without_heads_has_no_score(aes: Aes, data: Path) -> None:
    done = aes("score", data / "HumanBeauty-58K" / "images" / "0.png", "-m", "internvl2-1b")
    assert done.code == 2
    assert "base to train" in done.err
