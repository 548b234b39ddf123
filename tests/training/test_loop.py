"""A run that is stopped, killed or shared among processes gives the weights of one that was not."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aescli.errors import AesError
from aescli.training.loop import LoopChoices, evaluate
from tests.conftest import Aes
from tests.training.tiny import NO_SPLITS, SPREAD, humanbeauty, internvl2, one_thread  # noqa: F401 - a fixture

STEPS = 9
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a command line without its --out: dropout, questions by chance, a checkpoint after every second step."""
    folder = tmp_path_factory.mktemp("loop")
    data, base = humanbeauty(folder / "d", SPREAD[::2], SPREAD[::4]), internvl2(folder / "base")
    return [
        "train", "--data", f"humanbeauty={data}", "--model", str(base), "--recipe", "multihead", "--device", "cpu",
        "--max-tiles", "1", "--epochs", "3", "--batch-size", "4", "--rate", "1e-3", *NO_SPLITS,
        "--set", "system=You judge pictures.", "--set", "loop.save_every=2", "--set", "loop.batches.tokens=170",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return the weights of a run that nothing disturbed."""
    from aescli.cli.app import main

    out = tmp_path_factory.mktemp("whole") / "out"
    assert main([*words, "--out", str(out)]) == 0
    return weights(out)


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(run / "model.safetensors")
    return found


def steps(run: Path) -> list[int]:
    file = run / "metrics.jsonl"
    return [json.loads(line)["step"] for line in file.read_text().splitlines()] if file.is_file() else []


def wait_for(condition: object, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, different[:3]


def test_a_run_that_was_asked_to_stop_saves_and_goes_on_to_the_bit(
    aes: Aes, words: list[str], whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def ask() -> None:
        wait_for(lambda: len(steps(out)) >= 3)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    done = aes(*words, "--out", out)
    asking.join()
    assert done.code == 143
    assert "--resume goes on" in done.err
    assert not (out / "card.json").exists()
    again = aes(*words, "--out", out)
    assert again.code == 2
    assert "--resume" in again.err
    assert aes(*words, "--out", out, "--resume").code == 0
    assert steps(out) == list(range(1, STEPS + 1))
    assert_equal(weights(out), whole)


def test_a_run_that_was_killed_goes_on_to_the_bit(
    aes: Aes, words: list[str], whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-m", "aescli", *words, "--out", str(out)], env=ENVIRONMENT) as process:
        wait_for(lambda: (out / "checkpoints" / "step-000004").is_dir() or process.poll() is not None)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert aes(*words, "--out", out, "--resume").code == 0
    assert steps(out) == list(range(1, STEPS + 1))
    assert_equal(weights(out), whole)


def test_two_processes_compute_what_one_does_with_accumulation(words: list[str], tmp_path: Path) -> None:
    """But for dropout, whose draws belong to a process."""
    words = [*words, "--set", "lora.dropout=0", "--out"]
    alone = [sys.executable, "-m", "aescli", *words, str(tmp_path / "alone")]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "aescli"]
    for command in (alone, [*launcher, *words, str(tmp_path / "shared")]):
        subprocess.run(command, env=ENVIRONMENT, check=True, timeout=1800)
    found, expected = weights(tmp_path / "shared"), weights(tmp_path / "alone")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=0, atol=1e-5), name


def test_a_checkpoint_of_another_training_is_refused(aes: Aes, words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert aes(*words, "--out", out).code == 0
    (out / "card.json").unlink()
    done = aes(*words, "--out", out, "--resume", "--set", "loop.decay=0.5")
    assert done.code == 1
    assert "choices.loop" in done.err


def test_a_checkpoint_that_was_not_finished_is_not_one(tmp_path: Path) -> None:
    from aescli.training.saving import find_checkpoint

    (tmp_path / "checkpoints" / ".step-000004.part").mkdir(parents=True)
    assert find_checkpoint(tmp_path) is None
    whole = tmp_path / "checkpoints" / "step-000002"
    whole.mkdir()
    (whole / "state.json").write_text('{"step": 2}')
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2


def test_the_rate_rises_and_falls() -> None:
    choices = LoopChoices(warm_up=0.1)
    rates = [choices.rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


def test_a_tracker_that_would_be_passed_over_is_refused(aes: Aes, words: list[str], tmp_path: Path) -> None:
    done = aes(*words, "--tracker", "nonsense", "--out", tmp_path / "out")
    assert done.code == 2
    assert "'nonsense' is no tracker" in done.err
    if importlib.util.find_spec("aim") is None:
        done = aes(*words, "--tracker", "aim", "--out", tmp_path / "out")
        assert done.code == 2
        assert "pip install aim" in done.err
    assert not (tmp_path / "out").exists()


def test_activations_may_be_computed_a_second_time(
    aes: Aes, words: list[str], whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert aes(*words, "--set", "loop.checkpointing=true", "--out", out).code == 0
    found = weights(out)
    for name, tensor in whole.items():
        assert torch.allclose(found[name], tensor, rtol=0, atol=1e-5), name


def test_what_is_said_of_held_out_samples_is_finite() -> None:
    from accelerate import Accelerator

    class Broken(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": rows[:, 0], "expert": rows / (rows - 2)}

    class Held:
        held, held_lengths = 4, (1, 1, 1, 1)

        def load_held(self, at: int) -> torch.Tensor:
            return torch.full((2,), float(at))

        def collate(self, loaded: list[torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"rows": torch.stack(loaded)}

    with pytest.raises(AesError, match="of 1 of 4 validation pictures is not finite"):
        evaluate(Held(), Broken(), Accelerator(cpu=True), 2)  # type: ignore[arg-type]
