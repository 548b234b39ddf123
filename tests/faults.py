"""A disk that fails at the n-th call, below everything: Python, SQLite and pyarrow alike (see faults.c).

The library is preloaded into an `aes` of its own process, which runs the code that users run.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

KINDS = ("read", "write", "sync", "rename", "truncate")

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="a C compiler and the preloading of Linux"
)


@functools.cache
def library() -> Path:
    """Compile the library; it is kept until the process ends."""
    target = Path(tempfile.mkdtemp(prefix="aes-faults-")) / "faults.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"], check=True)
    return target


def run(
    *words: object, under: Path, at: int, error: int, kinds: tuple[str, ...] = KINDS, log: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `aes`, the call number `at` of these kinds on files below `under` failing with `error`."""
    faults = {
        "LD_PRELOAD": str(library()),
        "AES_FAULT_CALLS": ",".join(kinds),
        "AES_FAULT_AT": str(at),
        "AES_FAULT_ERRNO": str(error),
        "AES_FAULT_UNDER": str(under),
        **({"AES_FAULT_LOG": str(log)} if log else {}),
    }
    command = [sys.executable, "-m", "aescli", *map(str, words)]
    return subprocess.run(
        command, env={**os.environ, **faults}, capture_output=True, text=True, check=False, timeout=120
    )


def count(*words: object, under: Path, log: Path, kinds: tuple[str, ...] = KINDS) -> int:
    """Return how many such calls a run makes when none fails."""
    log.unlink(missing_ok=True)
    done = run(*words, under=under, at=0, error=0, kinds=kinds, log=log)
    assert done.returncode == 0, done.stderr
    return log.stat().st_size
