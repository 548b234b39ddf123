import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aescli.errors import AesError, DeviceUnavailable, UsageError
from aescli.registry import BUILT_IN
from aescli.runtime import NEVER_OVERFLOWS, Device, Placement, open_session, place, usable_cpus
from tests.conftest import photograph

GRAPH = BUILT_IN / "model.onnx"


def test_auto_says_why() -> None:
    placement = place("auto")
    assert placement.reason
    assert not placement.explicit


def test_a_list_of_gpus_is_understood() -> None:
    assert place("cuda:0,2").devices == (Device("cuda", 0), Device("cuda", 2))
    assert place("cuda").devices == (Device("cuda", 0),)


@pytest.mark.parametrize("word", ["gpu", "cpu:1", "cuda:x", "cuda:", "mps:0", ""])
def test_what_is_no_device_is_refused(word: str) -> None:
    if word == "cuda:":
        assert place(word).devices == (Device("cuda", 0),)
        return
    with pytest.raises(UsageError):
        place(word)


def test_a_device_or_type_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(DeviceUnavailable):
        place("mps")
    with pytest.raises(DeviceUnavailable):
        place("cpu", "fp16")


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a GPU")
def test_a_named_gpu_is_never_quietly_a_cpu() -> None:
    device = Device("cuda", 0)
    with pytest.raises(AesError, match="cannot be had"):
        open_session(GRAPH.read_bytes(), device, Placement((device,), "asked for", explicit=True))


def test_without_a_name_the_session_says_what_it_runs_on() -> None:
    device = Device("cpu")
    session = open_session(GRAPH.read_bytes(), device, Placement((device,), "asked for", explicit=True))
    assert session.backend == "onnx-cpu"
    assert session.takes_pixels()


def test_usable_cpus_is_positive() -> None:
    assert usable_cpus() >= 1


@pytest.mark.parametrize(("said", "exactly"), [("", "1"), (NEVER_OVERFLOWS, None)])
def test_products_are_summed_exactly_but_where_a_graph_never_overflows(
    monkeypatch: pytest.MonkeyPatch, said: str, exactly: str | None
) -> None:
    onnx: Any = pytest.importorskip("onnx")
    monkeypatch.setattr("aescli.runtime.products_overflow", lambda: True)
    model = onnx.load(GRAPH)
    onnx.helper.set_model_props(model, {said: "yes"} if said else {})
    device = Device("cpu")
    session = open_session(model.SerializeToString(), device, Placement((device,), "asked for", explicit=True))
    options = session._session.get_session_options()
    if exactly:
        assert options.get_session_config_entry("session.x64quantprecision") == exactly
    else:
        with pytest.raises(RuntimeError, match="x64quantprecision"):
            options.get_session_config_entry("session.x64quantprecision")


OLD = ("qemu-x86_64", "-cpu", "Haswell")  # a processor without VNNI, emulated
SCORE = """
import sys
from aescli.cli.app import main
from aescli.runtime import products_overflow
print(products_overflow())
sys.exit(main(["score", sys.argv[1], "--dims", "all", "--no-store", "--format", "jsonl"]))
"""


@pytest.mark.skipif(shutil.which(OLD[0]) is None, reason="no qemu-user to be another processor")
def test_a_processor_whose_products_overflow_gives_the_same_scores(tmp_path: Path) -> None:
    assert NEVER_OVERFLOWS.encode() in GRAPH.read_bytes()  # so that the fast way is what is tried
    photograph(3).save(tmp_path / "a.png")
    found = []
    for processor in ((), OLD):
        command = [*processor, sys.executable, "-c", SCORE, str(tmp_path / "a.png")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        overflows, row = done.stdout.splitlines()
        # This machine's own processor may be such a one, too.
        assert overflows == "True" or processor != OLD
        found.append(json.loads(row))
    assert found[1]["overall"] == pytest.approx(found[0]["overall"], abs=1e-4)
    assert found[1]["dims"] == pytest.approx(found[0]["dims"], abs=1e-4)


def test_the_packaged_graph_says_the_same_where_products_are_summed_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx: Any = pytest.importorskip("onnx")
    device = Device("cpu")
    shipped = open_session(GRAPH.read_bytes(), device, Placement((device,), "asked for", explicit=True))
    monkeypatch.setattr("aescli.runtime.products_overflow", lambda: True)
    model = onnx.load(GRAPH)
    onnx.helper.set_model_props(model, {})
    exact = open_session(model.SerializeToString(), device, Placement((device,), "asked for", explicit=True))
    pixels = np.stack([np.asarray(photograph(seed, (256, 256))) for seed in range(8)])
    said = shipped.run_named({"pixels": pixels})
    for name, values in exact.run_named({"pixels": pixels}).items():
        assert values == pytest.approx(said[name], abs=1e-4)
