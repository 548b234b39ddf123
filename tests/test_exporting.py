import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from aescli import exporting
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.models.clip_head import ClipHeadScorer
from aescli.models.files import graph_files, hash_files
from aescli.models.internvl_onnx import Layout
from aescli.registry import BUILT_IN
from aescli.results import Rating
from tests.conftest import Aes, encoded, needs_posix, photograph
from tests.models.checkpoints import clip_head, three_heads, write_backbone
from tests.models.speakers import released_llava
from tests.training.library import write_library

SIZES = [(300, 200), (64, 64), (120, 500), (500, 120)]
READ_OUTS = ("metavoter", "regression", "expert", "lm")

Build = Callable[[Path], Path]
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for at, size in enumerate(SIZES):
        (folder / f"{at}.jpg").write_bytes(encoded(photograph(at, size), "JPEG", quality=90))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def export(aes: Aes, exports: Path, tmp_path: Path, pictures: list[Path]) -> Export:
    """Return what lays a tiny checkpoint, `native`, and its export, `onnx`, into the test's folder: made once."""

    def lay(build: Build, files: int = 1, data_type: str = "fp32") -> Path:
        made = exports / f"{build.__name__}-{files}-{data_type}"
        if not (made / "onnx").exists():
            shutil.rmtree(made, ignore_errors=True)  # of an export that failed
            native = build(made / "native")
            with pytest.MonkeyPatch.context() as patch:
                if files == 2:  # as a graph of two gigabytes and more, which keeps its weights in a file of their own
                    patch.setattr(exporting, "_ONE_FILE", 1000)
                done = aes("models", "export", native, *pictures, "-o", made / "onnx", "--dtype", data_type)
            assert done.code == 0, done.err
        assert (made / "onnx" / "model.onnx.data").exists() == (files == 2)
        shutil.copytree(made, tmp_path, dirs_exist_ok=True)
        return tmp_path / "onnx"

    return lay


def internlm2_heads(folder: Path) -> Path:
    return three_heads(folder, "internlm2")


def clip_network(folder: Path) -> Path:
    """Write a head with ReLU: heads are trained on embeddings, not on what its last layer reads."""
    return clip_head(folder, "relu")


def backbone(folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_backbone(folder, "internlm2", 0, heads=None)
    return folder


@pytest.fixture(params=[three_heads, internlm2_heads])
def exported(request: pytest.FixtureRequest, export: Export) -> Path:
    """Return the folder of an export; its checkpoint lies in `native` beside it."""
    target = export(request.param)
    assert max(json.loads((target / "card.json").read_text())["made_of"]["parity"].values()) < 1e-5
    return target


def rows(aes: Aes, folder: Path, pictures: list[Path], *words: object) -> list[dict[str, object]]:
    done = aes("score", *pictures, "-m", folder, "--dims", "all", "--format", "jsonl", "--no-store", *words)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_the_graph_says_what_the_model_says(aes: Aes, exported: Path, pictures: list[Path], read_out: str) -> None:
    native = rows(aes, exported.parent / "native", pictures, "--read-out", read_out)
    graph = rows(aes, exported, pictures, "--read-out", read_out)
    for one, other in zip(native, graph, strict=True):
        assert other["backend"] == "onnx-cpu"
        assert other["raw"] == pytest.approx(one["raw"], abs=1e-5)
        assert list(other["dims"]) == list(HUMAN_DIMENSIONS)  # type: ignore[call-overload]
        assert other["dims"] == pytest.approx(one["dims"], abs=1e-4)


def test_a_batch_says_what_each_says_alone(aes: Aes, exported: Path, pictures: list[Path]) -> None:
    alone = rows(aes, exported, pictures)
    together = rows(aes, exported, pictures, "--batch-size", 4)
    for one, other in zip(alone, together, strict=True):
        assert other["dims"] == pytest.approx(one["dims"], abs=1e-4)


def scored_without_torch(folder: Path, picture: Path, hidden: Path, *words: str) -> str:
    """Return what a process says in which torch cannot be imported."""
    for name in ("torch", "transformers", "tokenizers"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed')")
    path = os.pathsep.join([str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "aescli", "score", str(picture), "-m", str(folder), "--no-store", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_environment_without_torch_scores_with_it(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    said = scored_without_torch(exported, pictures[0], tmp_path / "hidden", "--dims", "all")
    assert ",ok," in said


def test_a_graph_that_was_changed_is_refused(aes: Aes, exported: Path, pictures: list[Path]) -> None:
    (exported / "model.onnx").write_bytes((exported / "model.onnx").read_bytes()[:-1] + b"\0")
    done = aes("score", pictures[0], "-m", exported)
    assert done.code == 5
    assert "SHA-256" in done.err


def test_a_graph_that_says_something_else_is_not_finished(
    aes: Aes, tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = three_heads(tmp_path / "m"), Layout.inputs

    def shifted(self: Layout, pictures: list[object]) -> dict[str, object]:
        found = whole(self, pictures)  # type: ignore[arg-type]
        return {**found, "tokens": found["tokens"] * (found["segments"] != 3)}

    monkeypatch.setattr(Layout, "inputs", shifted)
    done = aes("models", "export", folder, *pictures[:2], "-o", tmp_path / "onnx")
    assert done.code == 1
    assert "expert differs by" in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and "m" not in path.name[:1]) == []


def test_what_cannot_be_exported_is_said_before_anything_runs(aes: Aes, tmp_path: Path, pictures: list[Path]) -> None:
    assert aes("models", "export", "mini", pictures[0], "-o", tmp_path / "x").code == 2
    folder = three_heads(tmp_path / "m")
    (tmp_path / "x").mkdir()
    done = aes("models", "export", folder, pictures[0], "-o", tmp_path / "x")
    assert done.code == 1
    assert "exists" in done.err
    assert aes("models", "export", folder, pictures[0], "-o", tmp_path / "y", "--to", "gguf").code == 2


def test_data_beside_the_graph_belong_to_the_model(aes: Aes, export: Export, pictures: list[Path]) -> None:
    target = export(three_heads, files=2)
    data = target / "model.onnx.data"
    assert data.stat().st_size > (target / "model.onnx").stat().st_size / 2
    native, graph = (rows(aes, each, pictures[:2]) for each in (target.parent / "native", target))
    assert graph[1]["raw"] == pytest.approx(native[1]["raw"], abs=1e-5)
    assert aes("models", "verify", target).code == 0
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\1")
    assert aes("score", pictures[0], "-m", target).code == 5


@pytest.mark.parametrize("build", [clip_head, clip_network])
def test_a_head_on_clip_is_one_graph_with_its_tower(
    aes: Aes, export: Export, tmp_path: Path, pictures: list[Path], build: Build
) -> None:
    target = export(build)
    card = json.loads((target / "card.json").read_text())
    assert (card["family"], card["fit"]) == ("onnx", "crop")
    assert card["made_of"]["parity"]["rating"] < 1e-5
    words = ("--format", "jsonl", "--no-store")
    native, alone, together = (
        [json.loads(line) for line in aes("score", *pictures, "-m", model, *words, *more).out.splitlines()]
        for model, more in ((tmp_path / "native", ()), (target, ()), (target, ("--batch-size", 4)))
    )
    assert len({row["raw"] for row in native}) == len(pictures)
    for one, graph, batched in zip(native, alone, together, strict=True):
        assert graph["backend"] == "onnx-cpu"
        assert [graph["raw"], batched["raw"]] == pytest.approx([one["raw"]] * 2, abs=1e-5)
    said = scored_without_torch(target, pictures[0], tmp_path / "hidden", "--format", "jsonl")
    assert json.loads(said)["raw"] == pytest.approx(native[0]["raw"], abs=1e-5)
    assert aes("models", "verify", target).code == 0


@pytest.mark.parametrize(
    ("build", "files"),
    [(clip_head, 1), (clip_head, 2), (clip_network, 1), (three_heads, 1), (released_llava, 2), (backbone, 2)],
)
def test_a_head_trained_on_an_exported_model_needs_no_torch(
    aes: Aes, export: Export, tmp_path: Path, pictures: list[Path], build: Build, files: int
) -> None:
    """Not even where a graph's weights are too large to lie inside it: then the head goes on naming it."""
    export(build, files)
    library = write_library(tmp_path / "set", 24)
    for name in ("native", "onnx"):
        words = ("--data", library, "--model", tmp_path / name, "--device", "cpu")
        done = aes("train", *words, "--out", tmp_path / f"head-{name}")
        assert done.code == 0, done.err
    family = json.loads((tmp_path / "onnx" / "card.json").read_text())["family"]
    assert (tmp_path / "head-onnx" / "model.onnx").exists() == (files == 1 and family == "onnx")
    graph, native = (rows(aes, tmp_path / f"head-{name}", pictures) for name in ("onnx", "native"))
    assert {row["backend"] for row in graph} == {"onnx-cpu"}
    assert [row["raw"] for row in graph] == pytest.approx([row["raw"] for row in native], abs=1e-3)
    said = scored_without_torch(tmp_path / "head-onnx", pictures[0], tmp_path / "hidden", "--format", "jsonl")
    assert json.loads(said)["raw"] == pytest.approx(graph[0]["raw"], abs=1e-6)
    assert aes("models", "verify", tmp_path / "head-onnx").code == 0


def test_llava_is_one_graph_with_its_question(aes: Aes, export: Export, tmp_path: Path, pictures: list[Path]) -> None:
    target = export(released_llava)
    folder = tmp_path / "native"
    card = json.loads((target / "card.json").read_text())
    assert (card["family"], card["fit"]) == ("onnx", "pad")
    native, alone, together = (
        rows(aes, model, pictures, *more) for model, more in ((folder, ()), (target, ()), (target, ("--batch-size", 4)))
    )
    assert len({row["raw"] for row in native}) == len(pictures)
    for one, graph, batched in zip(native, alone, together, strict=True):
        assert graph["backend"] == "onnx-cpu"
        assert [graph["raw"], batched["raw"]] == pytest.approx([one["raw"]] * 2, abs=1e-5)
        assert graph["overall"] == pytest.approx(one["overall"], abs=1e-4)
        assert graph["levels"] == pytest.approx(one["levels"], abs=1e-5)
        assert list(graph["levels"]) == list(one["levels"])  # type: ignore[call-overload]
    said = scored_without_torch(target, pictures[0], tmp_path / "hidden", "--format", "jsonl")
    assert json.loads(said)["raw"] == pytest.approx(native[0]["raw"], abs=1e-5)
    assert aes("models", "export", folder, *pictures[:2], "-o", tmp_path / "half", "--dtype", "fp16").code == 0


def test_a_card_that_names_other_levels_is_refused(aes: Aes, export: Export, pictures: list[Path]) -> None:
    target = export(released_llava)
    card = json.loads((target / "card.json").read_text())
    reversed_words = {**card["levels"], "words": card["levels"]["words"][::-1]}
    for changed in ({"levels": reversed_words}, {"fit": "crop"}, {"native_range": [0, 2]}, {"exact": False}):
        write_card(target, {**card, **changed})
        for command in (("score", pictures[0], "-m", target, "--no-store"), ("models", "verify", target)):
            done = aes(*command)
            assert done.code == 5
            assert f"card's {next(iter(changed))} is not what its graph was written for" in done.err
    # Older graphs do not say what their card must.
    graph = onnx.load(target / "model.onnx")
    del graph.metadata_props[:]
    save_graph(target, graph)
    card = json.loads((target / "card.json").read_text())
    for words in (["good", "bad"], ["good"] * 5, [1, 2, 3, 4, 5], "fives", None):
        write_card(target, {**card, "levels": {"words": words}})
        done = aes("score", pictures[0], "-m", target, "--no-store")
        assert done.code == 5
        assert "gives 5 levels" in done.err


def test_an_older_export_is_refused_where_its_card_says_what_cannot_be(
    aes: Aes, export: Export, pictures: list[Path]
) -> None:
    """Graphs of before do not say what their card must: what could not be is refused all the same."""
    target = export(three_heads)
    graph = onnx.load(target / "model.onnx")
    del graph.metadata_props[:]
    save_graph(target, graph)
    words = ("score", pictures[0], "-m", target, "--no-store")
    assert aes(*words).code == 0
    card = json.loads((target / "card.json").read_text())
    for name, change in (
        ("tokens", []), ("tokens", {**card["tokens"], "image": "a"}), ("tokens", {**card["tokens"], "plain": [-1]}),
        ("tile_tokens", "4"), ("tile_tokens", 2**40), ("tiling", {**card["tiling"], "most": 0}),
        ("tiling", {**card["tiling"], "side": card["tiling"]["side"] + 1}), ("tiling", {"columns": 3}),
    ):  # fmt: skip
        write_card(target, {**card, name: change})
        done = aes(*words)
        assert done.code == 5, (name, change)
        assert "tiles" in done.err


def write_card(folder: Path, fields: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps(fields))


def save_graph(folder: Path, graph: Any) -> None:
    """Write another graph into an exported folder, as its card says."""
    onnx.save(graph, folder / "model.onnx")
    card = json.loads((folder / "card.json").read_text())
    write_card(folder, {**card, "revision": hash_files(graph_files(folder))})


def test_features_are_told_by_their_name(aes: Aes, export: Export, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    target, library = export(released_llava, files=2), write_library(tmp_path / "set", 24)
    graph = onnx.load(target / "model.onnx", load_external_data=False)
    ports = {port.name: port for port in graph.graph.output}
    del graph.graph.output[:]
    graph.graph.output.extend(ports[name] for name in ("rating", "features", "levels"))
    save_graph(target, graph)
    done = aes("train", "--data", library, "--model", target, "--out", tmp_path / "head", "--folds", 2)
    assert done.code == 0, done.err
    assert load_file(tmp_path / "head" / "model.safetensors")["0.weight"].shape[1] == 48


def change_features(graph: Any, change: str) -> None:
    """Give the output `features` another shape or type."""
    (port,) = (port for port in graph.graph.output if port.name == "features")
    maker = next(node for node in graph.graph.node if "features" in node.output)
    maker.output[list(maker.output).index("features")] = "inner"
    for node in graph.graph.node:
        for at, name in enumerate(node.input):
            if name == "features":
                node.input[at] = "inner"
    if change == "deep":
        graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2], np.int64), "last"))
        node = onnx.helper.make_node("Unsqueeze", ["inner", "last"], ["features"])
        info = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", 16, 1])
    else:
        node = onnx.helper.make_node("Cast", ["inner"], ["features"], to=onnx.TensorProto.INT64)
        info = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.INT64, ["batch", 16])
    graph.graph.node.append(node)
    port.CopyFrom(info)


@pytest.mark.parametrize("change", ["deep", "whole numbers"])
def test_features_that_are_no_vectors_are_refused(aes: Aes, export: Export, tmp_path: Path, change: str) -> None:
    target, library = export(clip_head), write_library(tmp_path / "set", 24)
    graph = onnx.load(target / "model.onnx")
    change_features(graph, change)
    save_graph(target, graph)
    done = aes("train", "--data", library, "--model", target, "--out", tmp_path / "head", "--folds", 2)
    assert done.code == 5, done.err
    assert "features are not float32" in done.err


def test_weights_that_no_hash_covers_are_no_part_of_a_graph(aes: Aes, export: Export, pictures: list[Path]) -> None:
    target = export(clip_head)
    graph = onnx.load(target / "model.onnx")
    onnx.save(graph, target / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    card = json.loads((target / "card.json").read_text())
    write_card(target, {**card, "revision": hash_files([target / "model.onnx"])})
    assert aes("score", pictures[0], "-m", target, "--no-store").code == 5


def test_a_graph_says_nothing_of_where_it_was_written(export: Export, exports: Path) -> None:
    held = (export(clip_head) / "model.onnx").read_bytes()
    for path in (str(Path(exporting.__file__).parent), str(exports), "site-packages"):
        assert path.encode() not in held


@needs_posix
def test_an_export_that_is_stopped_leaves_nothing(tmp_path: Path, pictures: list[Path], home: Path) -> None:
    folder = clip_head(tmp_path / "clip")
    before = sorted(tmp_path.iterdir())
    words = ["models", "export", str(folder), str(pictures[0]), "-o", str(tmp_path / "onnx")]
    environment = {**os.environ, "AES_HOME": str(home)}
    running = subprocess.Popen([sys.executable, "-m", "aescli", *words], env=environment, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".onnx.*")) and running.poll() is None:
        time.sleep(0.01)
    running.terminate()
    assert running.wait() == 128 + signal.SIGTERM
    assert [path for path in sorted(tmp_path.iterdir()) if path != home] == before


def test_internvl_without_heads_has_no_score_in_a_graph_either(aes: Aes, export: Export, pictures: list[Path]) -> None:
    target = export(backbone, data_type="fp16")
    done = aes("score", pictures[0], "-m", target, "--no-store")
    assert done.code == 2
    assert "aes train" in done.err
    card = json.loads((target / "card.json").read_text())
    assert card["dimensions"] == []
    assert aes("models", "verify", target).code == 0
    (target / "card.json").write_text(json.dumps({**card, "trains_only": False, "read_out": "lm"}))
    for words in (("score", pictures[0], "-m", target, "--no-store"), ("models", "verify", target)):
        done = aes(*words)
        assert done.code == 5
        assert "no graph of HumanAesExpert" in done.err


@pytest.mark.parametrize(("build", "files"), [(three_heads, 1), (clip_head, 1), (clip_head, 2)])
def test_exports_without_features_score_as_they_did(
    aes: Aes, export: Export, tmp_path: Path, build: Build, files: int
) -> None:
    """Exports of before gave ratings alone: where nothing else tells the features, they are to be exported again."""
    old, library = export(build, files), write_library(tmp_path / "set", 24)
    graph = onnx.load(old / "model.onnx", load_external_data=False)
    assert graph.graph.output.pop().name == "features"
    save_graph(old, graph)
    assert aes("score", library.parent, "-m", old, "--no-store").code == 0
    done = aes("train", "--data", library, "--model", old, "--out", tmp_path / "head")
    if build is clip_head and files == 1:  # its last layer reads them
        assert done.code == 0, done.err
    else:
        assert done.code == 2
        assert "aes models export" in done.err


def test_a_head_on_clip_in_half_precision(aes: Aes, export: Export, tmp_path: Path, pictures: list[Path]) -> None:
    words = ("score", pictures[0], "-m", export(clip_head, data_type="fp16"), "--dtype")
    assert [aes(*words, data_type).code for data_type in ("auto", "fp16")] == [0, 0]
    for data_type in ("fp32", "bf16"):  # it would be told, and not done
        done = aes(*words, data_type)
        assert done.code == 1
        assert f"in the precision it was exported in, fp16, not in {data_type}" in done.err
    library = write_library(tmp_path / "set", 24)
    assert aes("train", "--data", library, "-m", tmp_path / "onnx", "--out", tmp_path / "taste", "--folds", 2).code == 0
    words = ("score", pictures[0], "-m", tmp_path / "taste", "--dtype")
    assert [aes(*words, data_type).code for data_type in ("auto", "fp16", "fp32")] == [0, 0, 1]


def test_a_graph_that_says_another_rating_is_not_finished(
    aes: Aes, tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = clip_head(tmp_path / "head"), ClipHeadScorer.rate
    monkeypatch.setattr(
        ClipHeadScorer, "rate", lambda self, prepared: [Rating(each.raw + 0.01) for each in whole(self, prepared)]
    )
    done = aes("models", "export", folder, pictures[0], "-o", tmp_path / "onnx")
    assert done.code == 1
    assert "rating differs by" in done.err
    assert [path.name for path in tmp_path.iterdir() if "onnx" in path.name] == []


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_a_card_that_fits_no_graph_is_refused(aes: Aes, tmp_path: Path, pictures: list[Path], fit: str) -> None:
    """A crop is a square, and the built-in graph takes one: only the word is wrong, or nothing is."""
    copy = Path(shutil.copytree(BUILT_IN, tmp_path / "copy"))
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps({**card, "fit": fit}))
    done = aes("score", pictures[0], "-m", copy, "--format", "jsonl", "--no-store")
    assert done.code == (5 if fit == "stretch" else 0)
    if fit == "crop":
        whole = aes("score", pictures[0], "-m", "mini", "--format", "jsonl", "--no-store")
        assert json.loads(done.out)["raw"] != json.loads(whole.out)["raw"]
    else:
        assert "squeeze, crop" in done.err
