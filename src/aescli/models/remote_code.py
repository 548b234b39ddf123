"""A checkpoint's own code, tamed: agreed to, in a process of its own, without a network, against the clock."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aescli.cards import ModelCard
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import AesError, ErrorCode, PictureError, UsageError, WeightsUnavailable
from aescli.home import aes_home
from aescli.images.view import Pixels, View
from aescli.models import remote_worker, side_environment, tiles
from aescli.models.base import LoadOptions
from aescli.models.checkpoint import read_config, read_json, understood, weight_files
from aescli.models.read_outs import choose_read_out
from aescli.models.tiles import Tiling
from aescli.output import replace_file
from aescli.results import Rating
from aescli.runtime import place_torch

QUESTION = "<image>\nRate the aesthetics of this human picture."  # as the authors' README asks `score`
ANSWER_SECONDS, LOAD_SECONDS = 600.0, 1800.0  # 40 s for a picture were measured on a laptop, 103 s for loading

_MOST_SAID = 400  # characters of what the code printed that an error shows
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


class WorkerError(Exception):
    """What went wrong with one request; `code` is that of the picture's row."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Worker:
    """The process that holds the model; started when it is needed, and again when it has died.

    Args:
        folder: of the checkpoint.
        python: that has torch.
        side: the old libraries.
        device: as torch names it.
        data_type: one of `aescli.runtime.DATA_TYPES` but `auto`.
        seconds: that one answer may take.

    """

    folder: Path
    python: Path
    side: Path
    device: str = "cpu"
    data_type: str = "fp32"
    seconds: float = ANSWER_SECONDS
    versions: dict[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[str] | None" = None
    _said: Any = None

    def ask(self, method: str, picture: Pixels, **more: object) -> Any:
        """Call one method for one picture.

        Args:
            method: one that `aescli.models.remote_worker` lists.
            picture: tiles, uint8 (tiles, side, side, 3).
            more: what the method takes beside them.

        Raises:
            WorkerError: it failed, died, or took too long.
            WeightsUnavailable: the checkpoint cannot be loaded.

        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        pixels = base64.b64encode(picture.tobytes()).decode()
        answer = self._exchange({"do": method, "shape": picture.shape, "pixels": pixels, **more}, self.seconds)
        if "error" in answer:
            raise WorkerError(ErrorCode.MODEL_CRASH, f"the checkpoint's code says: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        if self._said is not None:
            self._said.close()
            self._said = None

    def _start(self) -> None:
        self.close()
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - it lives as long as the process
        words = [str(self.folder.absolute()), self.device, self.data_type]
        self._process = subprocess.Popen(
            [
                *without_network(),
                str(self.python),
                "-P",  # nothing beside the script is a module
                remote_worker.__file__,
                *words,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env=_environment(self.side),
            cwd=self.folder,
            start_new_session=True,
        )
        try:
            answer = self._exchange(None, LOAD_SECONDS)
        except WorkerError as error:
            raise WeightsUnavailable(f"{self.folder}: its own code cannot be loaded: {error}") from error
        if "error" in answer:
            self.close()
            raise WeightsUnavailable(f"{self.folder}: its own code cannot be loaded: {answer['error']}")
        self.versions = answer["ready"]

    def _exchange(self, request: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """Send one line, if any, and wait for one."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise AssertionError("the process was started with pipes")
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(seconds, give_up)
        timer.start()
        line = ""
        try:
            if request is not None:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            pass  # it died in the middle of the request: no line is the answer
        finally:
            timer.cancel()
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        process.poll()
        code, said = _end(process), self._last_words()
        self.close()
        if late.is_set():
            raise WorkerError(ErrorCode.TIMEOUT, f"the checkpoint's code took more than {seconds:g} seconds")
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise WorkerError(ErrorCode.MODEL_CRASH, f"the checkpoint's code died ({reason}){said}")

    def _last_words(self) -> str:
        self._said.seek(0)
        said = " ".join(self._said.read().split())[-_MOST_SAID:]
        return f": {said}" if said else ""


class WorkerScorer:
    """Rates with a checkpoint's own code, one picture at a time."""

    def __init__(self, card: ModelCard, worker: Worker, dimensions: tuple[str, ...], tiling: Tiling) -> None:
        self.card = card
        self.dimensions = dimensions
        self.backend = f"worker-{worker.device}"
        self.batch_size = 1
        self.fingerprint: dict[str, Any] = {
            "runtime": "remote code",
            "packages": list(side_environment.PACKAGES),
            "dtype": worker.data_type,
            "tiles": [tiling.least, tiling.most, tiling.thumbnail],
        }
        self._worker = worker
        self._tiling = tiling
        self._lock = threading.Lock()

    def prepare(self, picture: View) -> Pixels:
        """Return the picture's tiles, uint8 (tiles, side, side, 3)."""
        return tiles.cut(picture, self._tiling)

    def rate(self, prepared: Sequence[Pixels]) -> list[Rating | PictureError]:
        with self._lock:
            return [self._rate(each) for each in prepared]

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def _rate(self, picture: Pixels) -> Rating | PictureError:
        try:
            twelve = read_twelve(self._worker, picture) if self.dimensions or self.card.read_out == "expert" else {}
            raw = twelve["comprehensive"] if self.card.read_out == "expert" else self._overall(picture)
        except WorkerError as error:
            return PictureError(error.code, str(error))
        return Rating(raw, {name: 10.0 * twelve[name] for name in self.dimensions})

    def _overall(self, picture: Pixels) -> float:
        return (
            read_metavoter(self._worker, picture)
            if self.card.read_out == "metavoter"
            else read_score(self._worker, picture)
        )


def read_score(worker: Worker, picture: Pixels) -> float:
    """Return what the checkpoint's `score` says."""
    return _number(worker.ask("score", picture, question=QUESTION), "score")


def read_metavoter(worker: Worker, picture: Pixels) -> float:
    """Return what the checkpoint's `run_metavoter` says."""
    return _number(worker.ask("run_metavoter", picture), "run_metavoter")


def read_twelve(worker: Worker, picture: Pixels) -> dict[str, float]:
    """Return what the checkpoint's `expert_score` says, by our names: its first value, in the tensor's order."""
    found = worker.ask("expert_score", picture)
    values = found[0] if isinstance(found, list) and found and isinstance(found[0], list) else found
    while isinstance(values, list) and len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    if not isinstance(values, list) or len(values) != len(HUMAN_DIMENSIONS):
        raise WorkerError(ErrorCode.MODEL_CRASH, "expert_score did not return twelve numbers")
    return {name: float(value) for name, value in zip(HUMAN_DIMENSIONS, values, strict=True)}


def load(card: ModelCard, folder: Path, dimensions: tuple[str, ...], options: LoadOptions) -> WorkerScorer:
    """Make a scorer of a checkpoint's own code.

    Raises:
        WeightsUnavailable: the side environment is not there, or no Python that can run it.
        UsageError: the code was not agreed to, or has no such read-out.

    """
    card = replace(card, read_out=choose_read_out(card, options.read_out), revision=commit_of(card, folder))
    if card.read_out == "lm":
        raise UsageError("the checkpoint's own code has no read-out 'lm'", hint="--read-out metavoter")
    worker = open_worker(card, folder, options)
    return WorkerScorer(card, worker, dimensions, read_tiling(folder).limited(options.max_tiles))


def open_worker(card: ModelCard, folder: Path, options: LoadOptions) -> Worker:
    """Return a worker that may run: installed, and agreed to for this commit."""
    if not side_environment.is_installed():
        raise WeightsUnavailable(
            f"{card.id} runs with its own code, which needs an environment of its own",
            hint=f"aes models setup {card.id}",
        )
    weight_files(folder)  # the code would read pickles as well
    refuse_foreign_code(folder)
    agree(card, folder, now=options.trust_remote_code)
    placement = place_torch(options.device, options.data_type)
    return Worker(
        folder, side_environment.find_python(), side_environment.side_folder(),
        str(placement.devices[0]), placement.data_type,
    )  # fmt: skip


def refuse_foreign_code(folder: Path) -> None:
    """Refuse a folder that would run the code of another repository: agreeing to this one says nothing of that.

    Raises:
        UsageError: it would.

    """
    for file in folder.glob("*.json"):
        fields = read_json(file) if file.is_file() else {}
        if "--" in json.dumps(fields.get("auto_map", "") if isinstance(fields, dict) else ""):
            raise UsageError(f"{folder}: {file.name} takes its code from another repository, which is not run")


def agree(card: ModelCard, folder: Path, *, now: bool) -> None:
    """Remember that a commit's code may run, or refuse.

    Raises:
        UsageError: it was never agreed to.

    """
    file, commit = aes_home() / "trusted.json", commit_of(card, folder)
    try:
        trusted = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        trusted = {}
    except (OSError, ValueError) as error:
        raise AesError(f"{file} cannot be read: {error}", hint="move it away and agree again") from error
    if commit in trusted:
        return
    if not now:
        raise UsageError(
            f"{card.id} would run code that came with the checkpoint ({commit[:12]})",
            hint="--trust-remote-code   agrees once for this commit, after a look at its *.py files",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as stream:
        stream.write(json.dumps({**trusted, commit: {"model": card.id}}, indent=2).encode())


def commit_of(card: ModelCard, folder: Path) -> str:
    """Return what stands for the code and the weights: the Hub's commit, or a hash of every file in the folder."""
    if card.sources:
        return folder.name
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(folder)).encode() + b"\0")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def read_tiling(folder: Path) -> Tiling:
    """Return how a checkpoint cuts pictures, by its configuration."""
    config = read_config(folder)
    with understood(folder):
        return Tiling(
            most=int(config.get("max_dynamic_patch", 12)),
            side=int(config.get("force_image_size", 448)),
            least=int(config.get("min_dynamic_patch", 1)),
            thumbnail=bool(config.get("use_thumbnail", True)),
        )


def without_network() -> list[str]:
    """Return the words that start a command without a network, where the system lets us; nothing elsewhere."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return []
    words = ["unshare", "--map-root-user", "--net"]
    return words if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else []


def _end(process: "subprocess.Popen[str]") -> int:
    """End a process and all that it started, and return how it ended."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    return process.wait()


def _environment(side: Path) -> dict[str, str]:
    """Return what the worker sees: no key and no token of ours."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_MODULES_CACHE": str(side.absolute() / "modules")}
    return {**kept, **offline, "PYTHONPATH": str(side.absolute()), "PYTHONNOUSERSITE": "1", "PYTHONIOENCODING": "utf-8"}


def _number(value: Any, method: str) -> float:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorkerError(ErrorCode.MODEL_CRASH, f"{method} did not return one number")
    return float(value)
