import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import Aes, needs_posix


def test_a_good_installation_is_said_to_be_good(aes: Aes, home: Path) -> None:
    done = aes("doctor", "--json")
    findings = json.loads(done.out)
    assert (done.code, findings["problems"]) == (0, [])
    assert findings["device"]["mini"].startswith("onnx-")
    assert str(home) in findings["folders"]["home"]
    assert set(findings["extras"]) == {
        "torch", "train", "api", "bench", "export", "parquet", "ray", "s3", "raw", "heif", "report",
    }  # fmt: skip
    assert "onnx-" in aes("doctor").out


def test_a_missing_extra_comes_with_the_line_to_paste(aes: Aes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyarrow" else found(name))
    assert json.loads(aes("doctor", "--json").out)["extras"]["parquet"] == "no: pip install 'aescli[parquet]'"


def test_settings_that_are_none_are_a_problem_and_stop_nothing_else(
    aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aes.toml").write_text("= broken")
    done = aes("doctor")
    assert done.code == 1
    assert "aes.toml cannot be read" in done.out
    assert aes("data", "check", tmp_path).code != 2


@needs_posix
def test_settings_and_cards_that_are_pipes_are_not_waited_for(
    aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "card.json")
    assert "card.json is no file" in aes("models", "show", tmp_path).err
    (tmp_path / "card.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    assert "it has no card.json" in aes("models", "show", tmp_path).err
    os.mkfifo(tmp_path / "aes.toml")
    done = aes("score", tmp_path)
    assert (done.code, "it is no file" in done.err) == (2, True)


def test_two_onnxruntimes_are_a_problem(aes: Aes, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.31" if "onnxruntime" in name else version(name))
    done = aes("doctor")
    assert done.code == 1
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in done.out


def test_a_torchvision_that_does_not_fit_is_a_problem(
    aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    done = aes("doctor")
    assert done.code == 1
    assert "torchvision::nms" in done.out
    assert "pip uninstall -y torchvision" in done.out


def test_a_home_that_is_no_folder_is_a_problem(aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AES_HOME", str(tmp_path / "file"))
    done = aes("doctor")
    assert done.code == 1
    assert "is no folder: no row is kept" in done.out
