"""A checkpoint folder against the outputs of the original implementation, tensor by tensor."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aescli.errors import AesError, WeightsUnavailable
from aescli.models import internvl, llava
from aescli.models.checkpoint import HEAD_PREFIXES, read_config, understood

TOLERANCE = 1e-4
EXPECTED_FILE = "expected.safetensors"
GRIDS_FILE = "grids.json"


def check_folder(folder: Path) -> dict[str, float]:
    """Load a folder in a released layout, run the inputs of its `expected.safetensors`, and compare.

    Returns:
        The largest absolute difference by `case.quantity`, for every tensor that is expected.

    Raises:
        WeightsUnavailable: the folder cannot be loaded, or its layout has no check.

    """
    with understood(folder):
        return _check(folder)


def _check(folder: Path) -> dict[str, float]:
    if (folder / GRIDS_FILE).is_file():
        return _check_tiles(folder)
    match read_config(folder).get("model_type"):
        case "internvl_chat":
            return _check_internvl(folder)
        case _ if llava.is_llava(folder):
            return _check_llava(folder)
        case other:
            raise WeightsUnavailable(f"{folder}: there is no check for the layout '{other}'")


def read_cases(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of `expected.safetensors` by case, then by quantity."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(folder / EXPECTED_FILE)
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"{folder / EXPECTED_FILE} cannot be read: {error}") from error
    if not tensors:
        raise WeightsUnavailable(f"{folder / EXPECTED_FILE} expects nothing")
    cases: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        case, _, quantity = name.rpartition(".")
        cases[case][quantity] = tensor
    return dict(cases)


def compare(
    expected: Mapping[str, Mapping[str, Tensor]], found: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, float]:
    """Return the largest absolute difference by `case.quantity`.

    Raises:
        AesError: something is expected that was not computed.

    """
    differences = {}
    for case, quantities in expected.items():
        for quantity, tensor in quantities.items():
            if quantity not in found[case]:
                raise AesError(f"{case}.{quantity} is expected, and nothing here computes it")
            other = found[case][quantity]
            if other.shape != tensor.shape:
                raise AesError(f"{case}.{quantity} has the shape {list(other.shape)}, expected {list(tensor.shape)}")
            differences[f"{case}.{quantity}"] = float((other.double() - tensor.double()).abs().max())
    return differences


@torch.inference_mode()
def _check_internvl(folder: Path) -> dict[str, float]:
    backbone, rest = internvl.load_backbone(folder, torch.float32, "cpu")
    if foreign := sorted(name for name in rest if not name.startswith(HEAD_PREFIXES)):
        raise WeightsUnavailable(f"{folder}: tensors do not match: unexpected: {', '.join(foreign[:6])}")
    inputs = {"pixel_values", "input_ids"}
    cases = read_cases(folder)
    expected = {case: {q: t for q, t in each.items() if q not in inputs} for case, each in cases.items()}
    alone = {case: _run_internvl(backbone, rest, {case: each})[case] for case, each in cases.items()}
    together = _run_internvl(backbone, rest, cases)
    one, other = compare(expected, alone), compare(expected, together)
    return {name: float(np.maximum(one[name], other[name])) for name in one}


def _run_internvl(
    backbone: internvl.Backbone, rest: Mapping[str, Tensor], cases: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Run cases as one batch, their ends aligned."""
    if backbone.image_token is None:
        raise WeightsUnavailable("config.json names no img_context_token_id")
    features = internvl.encode(backbone.network, torch.cat([each["pixel_values"] for each in cases.values()]))
    tokens, mask = internvl.pad_left([each["input_ids"][0] for each in cases.values()], filler=0)
    embeddings = internvl.embed(backbone.network, tokens, features, backbone.image_token)
    language: Any = backbone.network.model.language_model
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    hidden = language(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions).last_hidden_state
    found: dict[str, dict[str, Tensor]] = {}
    first = 0
    for at, (case, each) in enumerate(cases.items()):
        tiles, length = len(each["pixel_values"]), each["input_ids"].shape[1]
        last = hidden[at : at + 1, -1]  # (1, hidden)
        found[case] = {
            "image_features": features[first : first + tiles],
            "last_hidden_state": hidden[at : at + 1, -length:],
            "logits_last": backbone.network.lm_head(last),
        }
        if "language_model.lm_regression_head.weight" in rest:
            bias = rest.get("language_model.lm_regression_head.bias", torch.zeros(1)).float()
            weight = rest["language_model.lm_regression_head.weight"].float()
            found[case]["regression_last"] = torch.nn.functional.linear(last, weight, bias)
        first += tiles
    return found


@torch.inference_mode()
def _check_llava(folder: Path) -> dict[str, float]:
    loaded = llava.load_network(folder, torch.float32, "cpu")
    cases = read_cases(folder)
    expected = {case: {q: t for q, t in each.items() if q != "input_ids"} for case, each in cases.items()}
    alone = {case: _run_llava(loaded, folder, {case: each})[case] for case, each in cases.items()}
    together = _run_llava(loaded, folder, cases)
    one, other = compare(expected, alone), compare(expected, together)
    return {name: float(np.maximum(one[name], other[name])) for name in one}


def _run_llava(
    loaded: llava.Llava, folder: Path, cases: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Run cases as one batch, their ends aligned; a case with a picture of its name takes its pixels from there."""
    pixels = {case: _pixels(folder, case, each["pixel_values"], loaded.side) for case, each in cases.items()}
    rows = [torch.tensor(llava.expand(each["input_ids"][0].tolist(), loaded)) for each in cases.values()]
    tokens, mask = internvl.pad_left(rows, filler=0)
    network = loaded.network
    batch = torch.cat(list(pixels.values()))
    features = llava.encode(network, batch)
    answer = network.model(input_ids=tokens, pixel_values=batch, attention_mask=mask, use_cache=False)
    found = {}
    for at, (case, row) in enumerate(zip(cases, rows, strict=True)):
        hidden = answer.last_hidden_state[at : at + 1, -len(row) :]  # (1, length, hidden)
        logits = network.lm_head(hidden)[..., : network.config.image_token_index]  # without the rows that were added
        found[case] = {
            "pixel_values": pixels[case],
            "image_features": features[at : at + 1],
            "last_hidden_state": hidden,
            "logits": logits,
            "logits_last": logits[:, -1],
        }
    return found


def _pixels(folder: Path, case: str, recorded: Tensor, side: int) -> Tensor:
    from aescli.images.picture import Decoding, open_picture

    files = list(folder.glob(f"{case}.png"))
    if not files:
        return recorded
    picture = open_picture(files[0].read_bytes(), Decoding(exact=True))
    return torch.from_numpy(llava.normalize(llava.look(picture, side)[None]))


def _check_tiles(folder: Path) -> dict[str, float]:
    """Compare grids and tiles with those of the original preprocessing; a grid that differs counts as one."""
    from aescli.images.picture import Decoding, open_picture
    from aescli.models.tiles import Tiling, choose_grid, cut

    rows = json.loads((folder / GRIDS_FILE).read_text(encoding="utf-8"))["rows"]
    wrong = sum(
        choose_grid(width, height, Tiling(most)) != (columns, down) for width, height, most, columns, down, _ in rows
    )
    expected = read_cases(folder)
    found: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for case, quantities in expected.items():
        (file,) = (folder / "pictures").glob(f"{case}.*")
        for quantity in quantities:
            picture = open_picture(file.read_bytes(), Decoding(exact=True))
            found[case][quantity] = torch.from_numpy(cut(picture, Tiling(int(quantity.removeprefix("max")))))
    return {"grids.different": float(wrong), **compare(expected, found)}
