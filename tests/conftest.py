"""What every test may use: a home of its own, the command line, and pictures made on the spot."""

import functools
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aescli.cli.app import main


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str
    raw: bytes

    def rows(self) -> list[list[str]]:
        import csv

        return list(csv.reader(io.StringIO(self.out)))[1:]


# Before torch is imported: on tiny models threads wait for each other, four times as long where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Aes = Callable[..., Done]


@pytest.fixture(autouse=True, scope="session")
def heard_signals() -> Iterator[None]:
    """Let no child inherit that HUP or INT is ignored, as under nohup or behind `&`: a handler is not inherited."""
    names = [name for name in ("SIGHUP", "SIGINT") if hasattr(signal, name)]
    ignored = [number for name in names if signal.getsignal(number := getattr(signal, name)) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("AES_HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    named = ("AES_MODEL", "AES_DIMS", "AES_DEVICE", "AES_FORMAT", "AES_STORE", "AES_WORKERS", "AES_BATCH_SIZE")
    for name in (*named, "AES_ENGINE", "AES_MAX_PIXELS", "RAY_ADDRESS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def aes(capsysbinary: pytest.CaptureFixture[bytes]) -> Aes:
    """Run one command through the door that users take."""

    def run(*words: object) -> Done:
        capsysbinary.readouterr()
        code = main([str(word) for word in words])
        captured = capsysbinary.readouterr()
        return Done(code, captured.out.decode(errors="surrogateescape"), captured.err.decode(), captured.out)

    return run


def photograph(seed: int = 0, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Draw something that varies as photographs do: smooth light, edges at many scales, a little texture."""
    return _draw(seed, size).copy()


@functools.lru_cache(maxsize=64)
def _draw(seed: int, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([np.sin(x / rng.uniform(20, 90) + rng.uniform(0, 6)) * 60 + y * 90 / height] * 3, -1)
    for _ in range(25):
        cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2, max(3.0, width / 5))
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        picture[inside] = picture[inside] * 0.3 + rng.uniform(0, 200, 3)
    picture += rng.normal(0, 3, picture.shape)
    return Image.fromarray(np.clip(picture + 30, 0, 255).astype(np.uint8))


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path, drawn_photos: Path) -> Path:
    """Six pictures in a folder with one folder in it."""
    return Path(shutil.copytree(drawn_photos, tmp_path / "photos"))


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "inner").mkdir()
    for seed in range(4):
        photograph(seed).save(folder / f"{seed}.jpg", quality=92)
    photograph(4).save(folder / "inner" / "4.png")
    photograph(5).save(folder / "inner" / "5.webp", lossless=True)
    return folder


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX file system")


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """Start `transformers serve`, a server that is not ours, and return its address; it loads folders by their path."""
    pytest.importorskip("fastapi")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "transformers"), "serve", "--host", "127.0.0.1", "--port", str(port),
        "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        until = time.monotonic() + 240  # seconds: imports take long where cores are shared
        while not _is_up(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None:
                pytest.skip("transformers serve does not start here")
            assert time.monotonic() < until, "transformers serve does not answer"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()  # it has nothing to lose
        process.wait(60)


def _is_up(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True
