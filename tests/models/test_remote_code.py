"""A checkpoint's own code, for real: transformers 4.44.2 in a side environment, a worker process, no network."""

import json
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import AesError, ErrorCode
from aescli.models import side_environment
from aescli.models.remote_code import Worker, WorkerError, read_twelve, without_network
from tests.conftest import Aes, needs_posix, photograph
from tests.models.checkpoints import released

pytestmark = needs_posix
ABORTS, HANGS, RAISES, CONNECTS = 10, 20, 30, 40  # grey values that tests/models/remote/modeling_tiny.py knows


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the real packages once."""
    home = tmp_path_factory.mktemp("side")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AES_HOME", str(home))
        try:
            side_environment.install(side_environment.find_python(), lambda _: None)
        except AesError as error:
            pytest.skip(f"no side environment: {error.message}")
    return home / "side"


@pytest.fixture
def side(installed: Path, home: Path) -> Path:
    home.mkdir(exist_ok=True)
    (home / "side").symlink_to(installed)
    return side_environment.side_folder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("released") / "tiny")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    photograph(2, (300, 200)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def worker(folder: Path, side: Path, seconds: float = 60.0) -> Worker:
    return Worker(folder, side_environment.find_python(), side, seconds=seconds)


def grey(value: int) -> "np.ndarray":
    return np.full((1, 56, 56, 3), value, np.uint8)


def test_nothing_runs_before_it_is_installed_and_agreed_to(aes: Aes, folder: Path, picture: Path) -> None:
    done = aes("score", picture, "-m", folder)
    assert done.code == 5
    assert f"aes models setup {folder}" in done.err
    done = aes("models", "setup", folder)
    assert done.code == 2
    assert "transformers==4.44.2" in done.err
    assert not side_environment.is_installed()


def test_code_is_agreed_to_once_for_its_commit(aes: Aes, side: Path, tmp_path: Path, picture: Path) -> None:
    made = released(tmp_path / "m")
    refused = aes("score", picture, "-m", made)
    assert refused.code == 2
    assert "--trust-remote-code" in refused.err
    assert aes("score", picture, "-m", made, "--trust-remote-code").code == 0
    assert aes("score", picture, "-m", made, "--fresh").code == 0
    with (made / "modeling_tiny.py").open("a") as code:
        code.write("\n# another commit\n")
    assert aes("score", picture, "-m", made).code == 2


def test_our_code_scores_once_it_has_been_confirmed(aes: Aes, side: Path, folder: Path, picture: Path) -> None:
    words = ("score", picture, "-m", folder, "--dims", "all", "--format", "jsonl")
    unconfirmed = aes(*words, "--backend", "native")
    assert unconfirmed.code == 2
    assert "aes models compare" in unconfirmed.err
    flagged = json.loads(aes(*words, "--unverified").out)
    assert (flagged["flags"], flagged["backend"]) == (["unverified"], "torch-cpu")
    theirs = json.loads(aes(*words, "--trust-remote-code").out)
    assert (theirs["flags"], theirs["backend"]) == ([], "worker-cpu")
    compared = aes("models", "compare", folder, "--json")
    assert compared.code == 0, compared.err
    found = json.loads(compared.out)
    assert found["same"]
    assert set(found["differences"]) == {"regression", "metavoter", *HUMAN_DIMENSIONS}
    assert max(found["differences"].values()) < 1e-5
    ours = json.loads(aes(*words).out)
    assert (ours["flags"], ours["backend"]) == ([], "torch-cpu")
    assert ours["raw"] == pytest.approx(theirs["raw"], abs=1e-5)
    assert ours["dims"] == pytest.approx(theirs["dims"], abs=1e-4)


@pytest.mark.parametrize(
    "plant",
    [
        ("[a[:, :5], f, a[:, 5:], g, o]", "[a[:, :5], f, a[:, 5:], g + 0.01, o]", "general_appearance"),
        ("logits.softmax(0) @", "logits.softmax(0).flip(0) @", "metavoter"),
    ],
)
def test_a_planted_error_in_one_head_is_found(
    aes: Aes, side: Path, tmp_path: Path, picture: Path, plant: tuple[str, str, str]
) -> None:
    said, planted, head = plant
    made = released(tmp_path / "m")
    code = (made / "modeling_tiny.py").read_text()
    assert said in code
    (made / "modeling_tiny.py").write_text(code.replace(said, planted))
    compared = aes("models", "compare", made, picture, "--trust-remote-code")
    assert compared.code == 1
    wrong = [line.split()[0] for line in compared.out.splitlines() if "more than" in line]
    assert wrong == [head]
    row = json.loads(aes("score", picture, "-m", made, "--format", "jsonl").out)
    assert row["backend"] == "worker-cpu"
    assert aes("score", picture, "-m", made, "--backend", "native").code == 2


def test_a_crash_costs_one_picture(aes: Aes, side: Path, folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for at, name in enumerate("abde"):
        photograph(at, (90, 60)).save(photos / f"{name}.png")
    Image.new("RGB", (60, 60), (ABORTS,) * 3).save(photos / "c.png")
    Image.new("RGB", (60, 60), (RAISES,) * 3).save(photos / "dd.png")
    done = aes("score", photos, "-m", folder, "--trust-remote-code", "--format", "jsonl", "--workers", "2")
    assert done.code == 3
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok", "error", "ok"]
    assert {row["error_code"] for row in rows if row["status"] == "error"} == {"model_crash"}
    assert "signal 6" in rows[2]["error"]
    assert "this picture is not liked" in rows[4]["error"]


def test_a_hang_costs_one_picture(side: Path, folder: Path) -> None:
    held = worker(folder, side)
    try:
        first = read_twelve(held, grey(99))
        held.seconds = 2.0
        started = time.monotonic()
        with pytest.raises(WorkerError) as caught:
            held.ask("run_metavoter", grey(HANGS))
        assert caught.value.code is ErrorCode.TIMEOUT
        assert time.monotonic() - started < 20
        held.seconds = 60.0
        assert read_twelve(held, grey(99)) == first
    finally:
        held.close()


def test_the_code_sees_no_network_and_no_key(side: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not without_network():
        pytest.skip("this system does not let us take the network away")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    made = released(tmp_path / "m")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (made / "port").write_text(str(server.getsockname()[1]))
        held = worker(made, side)
        try:
            with pytest.raises(WorkerError, match=r"unreachable|refused"):
                held.ask("run_metavoter", grey(CONNECTS))
            environment = Path(f"/proc/{held._process.pid}/environ").read_text()  # type: ignore[union-attr]
        finally:
            held.close()
    assert "secret" not in environment
    assert "HF_HUB_OFFLINE=1" in environment


def test_the_twelve_lines_of_the_annotation_come_back(side: Path, folder: Path) -> None:
    held = worker(folder, side)
    try:
        said = held.ask("expert_annotataion", grey(99), generation={"max_new_tokens": 1024})
    finally:
        held.close()
    assert len(said.splitlines()) == 12
    assert said.splitlines()[11].startswith("12. Comprehensive Aesthetic Score : ")
    assert held.versions["transformers"] == "4.44.2"


def test_a_weight_that_is_missing_is_never_a_random_one(aes: Aes, side: Path, tmp_path: Path, picture: Path) -> None:
    made = released(tmp_path / "m")
    state = load_file(made / "model.safetensors")
    del state["language_model.lm_regression_head.weight"]
    save_file(state, made / "model.safetensors", {"format": "pt"})
    done = aes("score", picture, "-m", made, "--trust-remote-code")
    assert done.code == 5
    assert "lm_regression_head.weight" in done.err


def test_heads_of_another_layout_are_named_and_point_to_their_own_code(
    aes: Aes, side: Path, tmp_path: Path, picture: Path
) -> None:
    made = released(tmp_path / "m")
    state = load_file(made / "model.safetensors")
    state["language_model.expert_head.expert_head1.weight"] = state.pop("language_model.expert_head.leaves.weight")
    save_file(state, made / "model.safetensors", {"format": "pt"})
    done = aes("score", picture, "-m", made, "--unverified")
    assert done.code == 5
    assert "expert_head1.weight" in done.err
    assert "aes models setup" in done.err


def test_no_process_is_left(side: Path, folder: Path) -> None:
    held = worker(folder, side)
    read_twelve(held, grey(99))
    number = held._process.pid  # type: ignore[union-attr]
    held.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_code_of_another_repository_is_refused(aes: Aes, side: Path, tmp_path: Path, picture: Path) -> None:
    made = released(tmp_path / "m")
    config = json.loads((made / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "other/repo--modeling_tiny.TinyModel"
    (made / "config.json").write_text(json.dumps(config))
    done = aes("score", picture, "-m", made, "--trust-remote-code")
    assert done.code == 2
    assert "another repository" in done.err


def test_pickled_weights_are_refused_for_their_own_code_too(
    aes: Aes, side: Path, tmp_path: Path, picture: Path
) -> None:
    import torch

    made = released(tmp_path / "m")
    torch.save(load_file(made / "model.safetensors"), made / "pytorch_model.bin")
    (made / "model.safetensors").unlink()
    assert aes("score", picture, "-m", made, "--trust-remote-code").code == 5


def test_levels_alone_stay_unverified(aes: Aes, side: Path, tmp_path: Path, picture: Path) -> None:
    made = released(tmp_path / "m")
    assert aes("models", "compare", made, picture, "--trust-remote-code").code == 0
    assert aes("score", picture, "-m", made, "--read-out", "lm").code == 2
    done = aes("score", picture, "-m", made, "--read-out", "lm", "--unverified", "--format", "jsonl")
    assert json.loads(done.out)["flags"] == ["unverified"]


def test_an_export_waits_for_the_comparison(aes: Aes, tmp_path: Path, picture: Path) -> None:
    made = released(tmp_path / "m")
    done = aes("models", "export", made, picture, "-o", tmp_path / "onnx")
    assert done.code == 2
    assert "aes models compare" in done.err


def test_what_the_code_starts_ends_with_it(side: Path, tmp_path: Path) -> None:
    made = released(tmp_path / "m")
    code = (made / "modeling_tiny.py").read_text()
    started = (
        'import subprocess\n        open("child", "w").write(str(subprocess.Popen(["sleep", "300"]).pid))\n        '
    )
    assert "self._misbehave(pixels)" in code
    (made / "modeling_tiny.py").write_text(code.replace("self._misbehave(pixels)", started, 1))
    held = worker(made, side)
    read_twelve(held, grey(99))
    held.close()
    child = int((made / "child").read_text())
    time.sleep(0.3)
    status = Path(f"/proc/{child}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_picture_that_is_none_is_said(aes: Aes, side: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    done = aes("models", "compare", folder, tmp_path / "a.png", "--trust-remote-code")
    assert done.code == 1
    assert "a.png" in done.err
