"""Weights from a Hub that cuts connections, moves branches and lies, through the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.hub import Hub, Repository, serve

REPOSITORY = "someone/scorer"
MODEL = f"hf:{REPOSITORY}"
FIRST, SECOND = "1" * 40, "2" * 40

Aes = Callable[..., subprocess.CompletedProcess[str]]


def weights_of(seed: int, side: int = 64) -> bytes:
    return save({"head.weight": np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)})


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = {"config.json": b'{"model_type": "x"}', "model.safetensors": weights_of(0), "README.md": b"words"}
    with serve(Hub({REPOSITORY: Repository({FIRST: files}, main=FIRST)})) as hub:
        yield hub


@pytest.fixture
def aes(hub: Hub, tmp_path: Path) -> Aes:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "AES_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-m", "aescli", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def lock(tmp_path: Path) -> dict[str, list[dict[str, object]]]:
    content = json.loads((tmp_path / "home" / "models.lock.json").read_text())
    models: dict[str, list[dict[str, object]]] = content["models"]
    return models


def test_pull_locks_commit_and_hashes_and_takes_configuration_and_safetensors_only(aes: Aes, tmp_path: Path) -> None:
    done = aes("models", "pull", MODEL)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "apache-2.0" in done.stderr
    (source,) = lock(tmp_path)[MODEL]
    assert source["commit"] == FIRST
    assert set(source["files"]) == {"config.json", "model.safetensors"}  # type: ignore[call-overload]
    assert not list((tmp_path / "hf").rglob("README.md"))


def test_a_pulled_model_is_verified_offline_and_a_damaged_one_is_named(aes: Aes, tmp_path: Path) -> None:
    aes("models", "pull", MODEL)
    assert aes("models", "verify", MODEL, HF_HUB_OFFLINE="1").returncode == 0
    (file,) = list((tmp_path / "hf").rglob("model.safetensors"))
    blob = file.resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    done = aes("models", "verify", HF_HUB_OFFLINE="1")
    assert done.returncode == 5
    assert "model.safetensors is not what was locked" in done.stderr


def test_missing_weights_exit_5_with_the_line_to_paste_and_no_network(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    done = aes("score", str(tmp_path / "a.jpg"), "--model", "laion-v2", HF_HUB_OFFLINE="1")
    assert done.returncode == 5
    assert "aes models pull laion-v2" in done.stderr
    assert hub.requests == []


def test_a_cut_connection_is_resumed(aes: Aes, hub: Hub) -> None:
    # Large enough that one of huggingface_hub's blocks of 10 MB is on disk when the connection breaks.
    hub.repositories[REPOSITORY].commits[FIRST]["model.safetensors"] = weights_of(0, side=2600)
    hub.cuts = 1
    done = aes("models", "pull", MODEL)
    assert done.returncode == 0, done.stderr
    assert [wanted for wanted in hub.ranges if wanted != "bytes=0-"] == ["bytes=10485760-"]


def test_a_connection_that_stays_cut_leaves_nothing_that_counts_and_the_next_pull_continues(
    aes: Aes, hub: Hub, tmp_path: Path
) -> None:
    hub.cuts = 1_000
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "continues where it stopped" in done.stderr
    assert not (tmp_path / "home" / "models.lock.json").exists()
    hub.cuts = 0
    assert aes("models", "pull", MODEL).returncode == 0


def test_a_moved_branch_changes_nothing_until_update_is_asked_for(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    aes("models", "pull", MODEL)
    repository = hub.repositories[REPOSITORY]
    repository.commits[SECOND] = {**repository.commits[FIRST], "model.safetensors": weights_of(1)}
    repository.main = SECOND
    assert aes("models", "pull", MODEL).returncode == 0
    assert lock(tmp_path)[MODEL][0]["commit"] == FIRST
    assert aes("models", "pull", MODEL, "--update").returncode == 0
    assert lock(tmp_path)[MODEL][0]["commit"] == SECOND


def test_a_locked_commit_that_now_holds_other_bytes_is_refused(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    aes("models", "pull", MODEL)
    for folder in (tmp_path / "hf").iterdir():
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    hub.repositories[REPOSITORY].commits[FIRST]["model.safetensors"] = weights_of(2)
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "SHA-256" in done.stderr


def test_a_wrong_hash_is_refused_and_the_file_is_deleted(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY].claimed_sha256["model.safetensors"] = "0" * 64
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "SHA-256" in done.stderr
    assert not list((tmp_path / "hf").rglob("model.safetensors"))


def test_pickles_are_left_out_beside_safetensors_and_refused_alone(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    files = hub.repositories[REPOSITORY].commits[FIRST]
    files["pytorch_model.bin"] = b"\x80\x04canary"
    done = aes("models", "pull", MODEL)
    assert done.returncode == 0
    assert "pytorch_model.bin" in done.stderr
    assert not list((tmp_path / "hf").rglob("pytorch_model.bin"))
    del files["model.safetensors"]
    done = aes("models", "pull", MODEL, "--update")
    assert done.returncode == 5
    assert "only pickles" in done.stderr


def test_a_pickle_with_the_suffix_of_safetensors_is_refused_and_deleted(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY].commits[FIRST]["model.safetensors"] = b"\x80\x04\x95" + bytes(500)
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "no safetensors file" in done.stderr
    assert not list((tmp_path / "hf").rglob("model.safetensors"))


def test_no_space_is_said_before_anything_is_fetched(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY].claimed_size["model.safetensors"] = 10**16
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "are free in" in done.stderr
    assert not any("resolve" in request for request in hub.requests)


def test_a_non_commercial_licence_must_be_accepted(aes: Aes, hub: Hub) -> None:
    hub.repositories[REPOSITORY].license = "cc-by-nc-4.0"
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "--accept-license" in done.stderr
    assert aes("models", "pull", MODEL, "--accept-license").returncode == 0


def test_a_file_name_that_leaves_its_folder_is_refused(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY].commits[FIRST]["../../escaped.json"] = b"{}"
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert not list(tmp_path.rglob("escaped.json"))


def test_pulling_offline_says_what_to_do(aes: Aes, hub: Hub) -> None:
    done = aes("models", "pull", MODEL, HF_HUB_OFFLINE="1")
    assert done.returncode == 5
    assert "HF_HUB_OFFLINE" in done.stderr
    assert hub.requests == []


def test_a_repository_that_does_not_exist_is_named(aes: Aes) -> None:
    done = aes("models", "pull", "hf:someone/nothing")
    assert done.returncode == 5
    assert "someone/nothing" in done.stderr


def test_remove_deletes_the_files_and_the_lock_line(aes: Aes, tmp_path: Path) -> None:
    aes("models", "pull", MODEL)
    assert aes("models", "rm", MODEL).returncode == 0
    assert not list((tmp_path / "hf").rglob("model.safetensors"))
    assert lock(tmp_path) == {}
    assert aes("models", "rm", MODEL).returncode == 2


def test_the_hubs_other_licence_must_be_accepted_by_its_name(aes: Aes, hub: Hub) -> None:
    hub.repositories[REPOSITORY].license = "other"
    hub.repositories[REPOSITORY].license_name = "acme-non-commercial"
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "acme-non-commercial" in done.stderr


def test_a_server_that_answers_with_another_commit_is_refused(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY].claimed_commit = SECOND
    done = aes("models", "pull", f"{MODEL}@{FIRST}")
    assert done.returncode == 5
    assert "refused" in done.stderr
    assert not (tmp_path / "home" / "models.lock.json").exists()


@pytest.mark.parametrize("name", ["hf:a--b/c", "hf:-a/b", "hf:../x", "hf:a/b.git"])
def test_a_name_that_no_repository_can_have_is_a_usage_error(aes: Aes, name: str) -> None:
    done = aes("models", "pull", name)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_portal_that_answers_with_a_page_is_no_hub(aes: Aes, hub: Hub) -> None:
    hub.repositories[REPOSITORY].page = b"<html>please log in</html>"
    done = aes("models", "pull", MODEL)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
