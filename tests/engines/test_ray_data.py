"""The Ray engine on a small cluster of its own: the rows of the local engine, whoever dies on the way."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aescli.registry import BUILT_IN
from tests.conftest import encoded, needs_posix, photograph

pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")
pytestmark = needs_posix

AES = [sys.executable, "-m", "aescli"]
AUTHORITY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
COUNT = 1500


@pytest.fixture(autouse=True)
def authority(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AUTHORITY.items():
        monkeypatch.setenv(name, value)


def write_model(folder: Path) -> Path:
    """Write a model that costs nothing: the mean of a picture."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["rating"], keepdims=0),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    taken = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 8, 8, 3])
    given = helper.make_tensor_value_info("rating", TensorProto.FLOAT, ["batch"])
    graph = helper.make_graph(nodes, "mean", [taken], [given], [axes])
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    card = json.loads((BUILT_IN / "card.json").read_text())
    revision = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    card |= {"id": "mean", "revision": revision, "native_range": [0, 255], "dimensions": []}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Start a cluster of two CPUs and give its address and its first process."""
    home = tmp_path_factory.mktemp("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", f"--port={port}",
        "--node-ip-address=127.0.0.1", "--include-dashboard=false", "--object-store-memory=100000000",
    ]  # fmt: skip
    # A socket's name may have 107 bytes: pytest's folder is too deep for Ray's.
    short = Path(f"/tmp/aes-ray-{os.getpid()}")
    process = subprocess.Popen(
        [*command, f"--temp-dir={short}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # Workers are nice by default: beside other work they would hardly be served.
        env={**os.environ, **AUTHORITY, "HOME": str(home), "RAY_worker_niceness": "0"},
    )  # fmt: skip
    try:
        until = time.monotonic() + 120  # seconds: processes start slowly where cores are shared
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, "Ray does not start"
                assert process.poll() is None, "Ray does not start"
                time.sleep(0.2)
        yield f"127.0.0.1:{port}", process.pid
    finally:
        # It would take half a minute to end by itself.
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            each.kill()
        process.wait(60)
        subprocess.run(["rm", "-rf", str(short)], check=True)


def run(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*AES, "score", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_both_engines_give_the_same_rows(cluster: tuple[str, int], photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"<html>404</html>")
    (photos / "note.txt").write_text("words")
    archive = tmp_path / "photos.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", photos, "."], check=True)
    words = (photos, archive, tmp_path / "photos.tar.gz", "--dims", "all", "--report-skipped", "--format", "jsonl")
    here = run(*words, "--no-store", code=3)
    there = run(*words, "--engine", "ray", "--ray-address", cluster[0], code=3)
    assert there.stdout == here.stdout
    again = run(*words, code=3)
    assert again.stdout == here.stdout
    assert "18 of them kept from before" in again.stderr


def test_an_actor_and_the_driver_may_die(cluster: tuple[str, int], tmp_path: Path) -> None:
    address, head = cluster
    folder = tmp_path / "many"
    folder.mkdir()
    for at in range(COUNT):
        if at < 10:
            (folder / f"{at:04}.jpg").write_bytes(encoded(photograph(at, (96, 64)), "JPEG"))
        else:
            (folder / f"{at:04}.jpg").hardlink_to(folder / f"{at % 10:04}.jpg")
    words = [folder, "--model", write_model(tmp_path / "mean")]
    there = ["--engine", "ray", "--ray-address", address]
    command = [*AES, "score", *map(str, words), *there]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert driver.stdout
    rows = []
    for line in driver.stdout:
        rows.append(line)
        if len(rows) == 300:
            actors = [each for each in psutil.Process(head).children(recursive=True) if "MapWorker" in each.name()]
            assert actors
            actors[0].kill()
        if len(rows) == COUNT - 200:
            driver.send_signal(signal.SIGKILL)
            break
    rows += driver.stdout.readlines()  # what it had written before
    driver.wait(30)
    driver.stdout.close()
    assert len(rows) < COUNT + 1
    resumed = run(*words, *there)
    kept = int(resumed.stderr.partition(" scored, ")[2].split()[0])
    assert kept <= len(rows) + 5
    assert len(rows) - 1 - kept < len(rows) / 5, "at most a flush of the store is scored again"
    assert resumed.stdout == run(*words, "--no-store").stdout


def test_what_the_cluster_cannot_do_is_said_at_once(cluster: tuple[str, int], photos: Path) -> None:
    words = (photos, "--engine", "ray", "--ray-address", cluster[0])
    assert "no room" in run(*words, "--gpus-per-actor", "1", code=1).stderr
    assert "--check stat" in run(*words, "--check", "content", code=2).stderr
    missing = run(*words, "--model", "laion-v2", code=5)
    assert "aes models pull laion-v2" in missing.stderr
