import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aescli.errors import WeightsUnavailable
from aescli.models import internvl
from tests.conformance import FOLDER, needs_conformance
from tests.conftest import Aes
from tests.models.checkpoints import write_backbone

FIXTURES = ("internvl2-qwen2-tiny", "internvl2-internlm2-tiny")


def writable(source: Path, target: Path) -> Path:
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@needs_conformance
@pytest.mark.parametrize("name", FIXTURES)
def test_outputs_are_those_of_the_original(aes: Aes, name: str) -> None:
    done = aes("models", "check", FOLDER / name, "--json")
    assert done.code == 0, done.err
    differences = json.loads(done.out)
    assert set(differences) == {
        f"{case}.{quantity}"
        for case in ("tiles1", "tiles5")
        for quantity in ("image_features", "last_hidden_state", "logits_last", "regression_last")
    }
    assert max(differences.values()) < 1e-5


@needs_conformance
def test_tiles_are_those_of_the_original(aes: Aes) -> None:
    done = aes("models", "check", FOLDER / "tiles", "--json")
    assert done.code == 0
    assert set(json.loads(done.out).values()) == {0.0}


@needs_conformance
def test_a_difference_ends_with_1_and_is_named(aes: Aes, tmp_path: Path) -> None:
    folder = writable(FOLDER / FIXTURES[0], tmp_path / "copy")
    expected = load_file(folder / "expected.safetensors")
    expected["tiles5.logits_last"][0, 7] += 0.01
    save_file(expected, folder / "expected.safetensors")
    done = aes("models", "check", folder)
    assert done.code == 1
    assert "tiles5.logits_last" in done.err


@needs_conformance
def test_a_turned_weight_is_seen(aes: Aes, tmp_path: Path) -> None:
    """The packing of InternLM2's attention: keys and values swapped would load without a word."""
    folder = writable(FOLDER / FIXTURES[1], tmp_path / "copy")
    state = load_file(folder / "model.safetensors")
    name = "language_model.model.layers.0.attention.wqkv.weight"
    packed = state[name].view(2, 5, 16, 96)
    state[name] = packed[:, [0, 1, 2, 4, 3]].reshape(160, 96).contiguous()
    save_file(state, folder / "model.safetensors")
    assert aes("models", "check", folder).code == 1


@pytest.mark.parametrize("kind", ["qwen2", "internlm2"])
def test_a_checkpoint_loads_whole(tmp_path: Path, kind: str) -> None:
    write_backbone(tmp_path, kind, 0, heads=None)
    backbone, rest = internvl.load_backbone(tmp_path, torch.float32, "cpu")
    assert rest == {}
    assert not any(parameter.is_meta for parameter in backbone.network.parameters())
    assert not any(buffer.is_meta for buffer in backbone.network.buffers())
    assert backbone.network.lm_head.weight is not backbone.network.model.language_model.embed_tokens.weight
    assert backbone.tile_tokens == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("mlp1.1.bias"), "missing: model.multi_modal_projector.linear_1.bias"),
        (lambda state: state.update({"language_model.model.x": torch.ones(1)}), "unexpected: model.language_model.x"),
        (lambda state: state.update({"mlp1.1.bias": torch.ones(5)}), r"shape: .*linear_1.bias \[5\] for \[48\]"),
        (lambda state: state["mlp1.1.bias"].fill_(float("nan")), "mlp1.1.bias holds numbers that are not finite"),
    ],
)  # fmt: skip
def test_weights_that_do_not_match_are_refused_by_name(tmp_path: Path, change: object, said: str) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    state = load_file(tmp_path / "model.safetensors")
    change(state)  # type: ignore[operator]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsUnavailable, match=said):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


@pytest.mark.parametrize(
    ("field", "value"), [("select_layer", -2), ("ps_version", "v1"), ("model_type", "internvl_3d")]
)
def test_a_configuration_that_means_something_else_is_refused(tmp_path: Path, field: str, value: object) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(WeightsUnavailable, match=field):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


def test_a_pickle_is_no_weight(tmp_path: Path) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    shutil.move(tmp_path / "model.safetensors", tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsUnavailable, match=r"no model\.safetensors"):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    whole, _ = internvl.load_backbone(tmp_path, torch.float32, "cpu")
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    halves = sorted(state)[::2], sorted(state)[1::2]
    for at, names in enumerate(halves):
        save_file({name: state[name] for name in names}, tmp_path / f"model-{at}.safetensors")
    index = {"weight_map": {name: f"model-{at}.safetensors" for at, names in enumerate(halves) for name in names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    sharded, _ = internvl.load_backbone(tmp_path, torch.float32, "cpu")
    for one, other in zip(whole.network.parameters(), sharded.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"vision_config": None}, {"vision_config": {}}, {"max_dynamic_patch": None}, {"downsample_ratio": "half"},
        {"llm_config": {"architectures": []}},
    ],
)  # fmt: skip
def test_a_malformed_configuration_is_one_error(tmp_path: Path, change: dict[str, object]) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsUnavailable):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_key_value_heads", 5), ("hidden_size", "48"), ("num_attention_heads", 0), ("hidden_act", "none"),
        ("rope_scaling", {"rope_type": "yarn", "factor": 8}),
    ],
)  # fmt: skip
def test_a_language_model_that_does_not_fit_is_one_error(tmp_path: Path, field: str, value: object) -> None:
    write_backbone(tmp_path, "internlm2", 0, heads=None)
    config = json.loads((tmp_path / "config.json").read_text())
    config["llm_config"][field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsUnavailable):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


@pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": {"a": "../model.safetensors"}}', "[]"])
def test_a_malformed_index_is_one_error(tmp_path: Path, index: str) -> None:
    write_backbone(tmp_path, "qwen2", 0, heads=None)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsUnavailable):
        internvl.load_backbone(tmp_path, torch.float32, "cpu")


@needs_conformance
@pytest.mark.parametrize("case", ["nan", "foreign", "corrupt", "empty", "no pixels"])
def test_a_check_that_cannot_pass_does_not(aes: Aes, tmp_path: Path, case: str) -> None:
    folder = writable(FOLDER / FIXTURES[0], tmp_path / "copy")
    expected = load_file(folder / "expected.safetensors")
    match case:
        case "nan":
            expected["tiles5.regression_last"][:] = float("nan")
        case "empty":
            expected = {}
        case "no pixels":
            del expected["tiles1.pixel_values"]
        case "foreign":
            state = load_file(folder / "model.safetensors")
            save_file({**state, "garbage": torch.ones(1)}, folder / "model.safetensors")
    save_file(expected, folder / "expected.safetensors")
    if case == "corrupt":
        (folder / "expected.safetensors").write_bytes(b"\xff" * 100)
    done = aes("models", "check", folder, "--json")
    assert done.code in (1, 5)
    assert "Traceback" not in done.err
    if done.code == 1:
        assert json.loads(done.out)["tiles5.regression_last"] is None
