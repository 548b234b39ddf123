"""Servers that we did not write: S3 (moto) and Cloud Storage, for tests and benchmarks."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "AKIAPLANTEDKEY", "planted-secret-of-a-bucket"


@contextmanager
def serving_google(bucket: str) -> Iterator[dict[str, str]]:
    """Start a Cloud Storage server that we did not write (gcp-storage-emulator) and give what leads to it."""
    port = _free_port()
    command = [str(Path(sys.executable).parent / "gcp-storage-emulator"), "start", "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(
        [*command, "--in-memory", f"--default-bucket={bucket}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(f"http://127.0.0.1:{port}/storage/v1/b", process)
        # Without the second the driver looks for a cloud around it, for seconds and for each object.
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "NO_GCE_CHECK": "true"}
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Start the server and give the environment that leads to it."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"{address}/moto-api/", process)
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
        }
    finally:
        process.kill()
        process.wait(30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120  # seconds: imports take long where cores are shared
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the server does not answer")
