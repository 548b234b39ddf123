"""From what was trained to a folder that every other command takes as a model, and to what its card says."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aescli.cards import CARD_FILE, JUDGES_PEOPLE
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import AesError
from aescli.images.opening import Opener
from aescli.metrics import level_accuracy, plcc, srcc
from aescli.models import adapters, humanaesexpert, internvl, lora, released
from aescli.models.checkpoint import HEADS_FILE
from aescli.models.heads import HeadChoices, Heads, name_tensors
from aescli.models.humanaesexpert import Judge
from aescli.models.lora import LoraChoices
from aescli.models.prompts import PromptChoices, build_prompt
from aescli.models.read_outs import READ_OUTS
from aescli.models.tiles import Tiling
from aescli.training.runs import Base, FineTuneReport, as_local, install_model, new_part
from aescli.training.samples import Rated
from aescli.training.voter import FEWEST, VoterChoices, fit_voter, read_samples

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a trained state needs to become a model again."""

    heads: HeadChoices
    prompt: PromptChoices
    lora: LoraChoices
    voter: VoterChoices
    tiling: Tiling
    adapter: bool
    device: str
    data_type: torch.dtype


@dataclass(frozen=True, slots=True)
class Finished:
    """What stage one left.

    Args:
        base: what was trained.
        recipe: how.
        state: the best parameters, by the names of the student's.
        splits: samples.
        described: what the card says of the training.

    """

    base: Base
    recipe: Recipe
    state: Mapping[str, Tensor]
    splits: Mapping[str, Sequence[Any]]
    described: Mapping[str, Any]


def finish_multihead(done: Finished, run: Path, opener: Opener, note: Note) -> FineTuneReport:
    """Fit the voter, write the folder, and measure what was written on the test split."""
    base, recipe, described = done.base, done.recipe, done.described
    heads = _trained_heads(done)
    voted = _vote(done, heads, opener, note)
    note(f"writing {run}")
    part = new_part(run)
    write_model(base, part, done.state, recipe.lora, name_tensors(heads), adapter=recipe.adapter)
    # Pictures are cut later as they were while training.
    released.change_settings(part, max_dynamic_patch=recipe.tiling.most)
    card = _card(done, voted)
    (part / CARD_FILE).write_text(json.dumps({**card, "revision": ""}), encoding="utf-8")
    results: dict[str, float] = {}
    if done.splits["test"]:
        note(f"measuring on {len(done.splits['test'])} test samples")
        judge = humanaesexpert.load_judge(as_local(base.card, part), part, recipe.device, recipe.data_type)
        results = measure_read_outs(judge, done.splits["test"], opener, recipe.tiling)
    install_model(part, run, {**card, "training": {**card["training"], "results": results}})
    return FineTuneReport(
        run, "multihead", described["steps"], described["best_step"], described["samples"], described["validation"],
        results,
    )  # fmt: skip


def write_model(
    base: Base, target: Path, state: Mapping[str, Tensor], choices: LoraChoices, heads: Mapping[str, Tensor], *,
    adapter: bool,
) -> None:  # fmt: skip
    """Write a base with what was trained: merged into its weights, or beside them.

    Args:
        base: as it was loaded.
        target: an empty folder.
        state: what was trained, by the names of the student's parameters.
        choices: of the low-rank changes among it.
        heads: tensors by their names in a checkpoint.
        adapter: only the changes are written.

    """
    network = {name.removeprefix("network."): each for name, each in state.items() if name.startswith("network.")}
    released.copy_settings(base.folder, target)
    if adapter:
        from safetensors.torch import save_file

        adapters.write_adapter(target, network, choices, base.as_json()["model"])
        if heads:
            held = {name: each.float().contiguous() for name, each in heads.items()}
            save_file(held, target / HEADS_FILE, {"format": "pt"})
        return
    deltas = dict(lora.changes(dict(network), choices))
    left = {*deltas, *(name for name in network if ".lora_" not in name)}

    def change(name: str, tensor: Tensor) -> Tensor:
        left.discard(name)
        if name in network:
            return network[name]
        return tensor.float() + deltas[name] if name in deltas else tensor

    released.write_weights(base.folder, target, change, heads)
    if left:
        raise AesError(f"what was trained has no place in the checkpoint: {', '.join(sorted(left)[:3])}")


def measure_read_outs(judge: Judge, samples: Sequence[Rated], opener: Opener, tiling: Tiling) -> dict[str, float]:
    """Return how every read-out agrees with what people say of the whole, both questions asked of each picture."""
    readings = read_samples(judge, samples, opener, tiling)
    actual = [sample.overall for sample in samples]
    found: dict[str, float | None] = {"samples": float(len(samples))}
    for name in READ_OUTS:
        predicted = readings.chosen(name).float().tolist()
        found[f"{name}_srcc"] = srcc(predicted, actual)
        found[f"{name}_plcc"] = plcc(predicted, actual)
        found[f"{name}_accuracy"] = level_accuracy(predicted, actual, low=0, high=1)
    return {name: value for name, value in found.items() if value is not None}


def _trained_heads(done: Finished) -> Heads:
    torch.manual_seed(0)  # of a voter that is not fitted
    heads = Heads(done.state["heads.regression.weight"].shape[1], done.recipe.heads)
    held = {name.removeprefix("heads."): each for name, each in done.state.items() if name.startswith("heads.")}
    missing, unexpected = heads.load_state_dict(held, strict=False)
    if unexpected or any(not name.startswith("voter.") for name in missing):
        raise AesError(f"what was trained are not all heads: {', '.join([*missing, *unexpected])}")
    return heads.eval().requires_grad_(requires_grad=False)


def _vote(done: Finished, heads: Heads, opener: Opener, note: Note) -> dict[str, float]:
    """Fit the voter to what the trained network says of samples that no head saw; too few leave it unfitted."""
    samples, recipe = done.splits["voter"], done.recipe
    if len(samples) < FEWEST:
        note(f"the MetaVoter is not fitted: {len(samples)} samples are set aside for it, {FEWEST} are the least")
        return {}
    backbone, _ = internvl.load_backbone(done.base.folder, recipe.data_type, recipe.device)
    lora.attach(backbone.network, replace(recipe.lora, dropout=0.0))
    own = backbone.network.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, each in done.state.items():
            if name.startswith("network."):
                own[name.removeprefix("network.")].copy_(each)
    backbone.network.eval().requires_grad_(requires_grad=False)
    prompt = build_prompt(done.base.folder, recipe.prompt, recipe.heads.levels)
    judge = Judge(backbone, heads.to(recipe.device), prompt, recipe.device, recipe.data_type)
    readings = read_samples(judge, samples, opener, recipe.tiling)
    note(f"fitting the MetaVoter on {len(samples)} held-out samples")
    return fit_voter(heads.cpu(), readings, torch.tensor([sample.overall for sample in samples]), recipe.voter)


def _card(done: Finished, voted: Mapping[str, float]) -> dict[str, Any]:
    base, recipe, name = done.base, done.recipe, done.described["data"]["name"]
    plain = any(not sample.is_expert for sample in done.splits["train"])
    expert = any(sample.is_expert for sample in done.splits["train"])
    read_out = "metavoter" if plain and expert and voted else "regression" if plain else "expert"
    unseen = [head for head, seen in (("Regression", plain), ("Expert", expert), ("MetaVoter", voted)) if not seen]
    return {
        "family": "internvl",
        "title": f"{base.card.id} fine-tuned on {name}, recipe multihead",
        "native_range": [0, 1],
        "read_out": read_out,
        # Dimensions that no sample taught are not offered.
        "dimensions": [{"name": each, "meaning": each.replace("_", " ")} for each in HUMAN_DIMENSIONS if expert],
        "preprocessing": base.card.preprocessing,
        "code_license": base.card.code_license,
        "weights_license": None,
        "base_license": base.card.base_license or base.card.weights_license,
        "non_commercial": base.card.non_commercial,
        "trained_on": [*base.card.trained_on, name],
        "leaks": list(base.card.leaks),
        "needs": "torch",
        "exact": True,
        "warning": JUDGES_PEOPLE,
        "note": f"no sample taught: {', '.join(unseen)}" if unseen else "",
        "heads": recipe.heads.as_json(),
        "prompt": recipe.prompt.as_json(),
        "base": base.as_json(),
        "training": {**done.described, "voter": dict(voted)},
    }
