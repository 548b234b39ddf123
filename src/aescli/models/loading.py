"""From a card to a loaded model: the one place that knows which file runs which family."""

from pathlib import Path

from aescli import weights
from aescli.cards import ModelCard
from aescli.errors import AesError, UsageError
from aescli.models.base import Critic, LoadOptions, Scorer
from aescli.models.files import check_files, check_whole
from aescli.registry import find_card
from aescli.runtime import need_torch, place

SCORING_FAMILIES = frozenset({"onnx", "internvl", "internvl-onnx", "llava", "chat", "clip_head", "endpoint", "head"})


SPEAKING_FAMILIES = frozenset({"llava", "chat"})


def load_scorer(card: ModelCard, dimensions: tuple[str, ...], options: LoadOptions) -> Scorer:
    """Load the model that a card describes.

    Raises:
        AesError: this version has no code for the card's family.
        UsageError: an option is not for this model.
        WeightsUnavailable: files are missing or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    if card.trains_only:
        raise _no_score(card)
    if card.family != "internvl":
        _refuse_options(card, options)
    match card.family:
        case "onnx":
            from aescli.models import onnx

            return onnx.load(card, onnx.place_graph(card, options), dimensions)
        case "internvl-onnx":
            from aescli.models import internvl_onnx

            return internvl_onnx.load(card, dimensions, options)
        case "endpoint":
            from aescli.models.endpoint import open_endpoint

            return open_endpoint(card, options.endpoint)
        case "head":
            from aescli.models import extracting, trained_head

            base = extracting.load_extractor(extracting.find_base(card), options)
            return trained_head.load(card, base, dimensions)
        case _:
            return _load_with_torch(card, dimensions, options)


def _load_with_torch(card: ModelCard, dimensions: tuple[str, ...], options: LoadOptions) -> Scorer:
    match card.family:
        case "internvl":
            need_torch()
            from aescli.models import choosing, internvl_features

            folder = locate(card)
            if not internvl_features.has_heads(folder):
                raise _no_score(card)
            return choosing.load(card, folder, dimensions, options)
        case "clip_head":
            folders = _head_and_tower(card)
            need_torch()
            from aescli.models import clip_head

            return clip_head.load(card, folders, options)
        case "llava" | "chat":
            folder = locate(card)
            need_torch()
            from aescli.models import speaking

            return speaking.load_level_scorer(card, folder, options)
        case _:
            raise AesError(f"there is no code to score with the family '{card.family}' of {card.id}")


def load_critic(card: ModelCard, options: LoadOptions) -> Critic:
    """Load a model that answers in words.

    Raises:
        UsageError: the model has no words.
        WeightsUnavailable: files are missing or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    if card.family == "endpoint":
        from aescli.models.endpoint import open_endpoint

        return open_endpoint(card, options.endpoint)
    if card.family not in SPEAKING_FAMILIES:
        raise UsageError(f"{card.id} has no words", hint="aes critique img.jpg --model aesexpert-7b")
    need_torch()
    from aescli.models import speaking

    return speaking.load_critic(card, locate(card), options)


def locate(card: ModelCard) -> Path:
    """Return the folder of a model's weights.

    Raises:
        WeightsUnavailable: they are not on this machine.

    """
    return card.folder or weights.locate(card)[0]


def locate_all(card: ModelCard) -> list[Path]:
    """Return the folders of a model's weights: of a head on CLIP its own and the tower's, of others the one.

    Raises:
        WeightsUnavailable: they are not on this machine.

    """
    return _head_and_tower(card) if card.family == "clip_head" else [locate(card)]


def check_folder(card: ModelCard) -> bool:
    """Hash the files of a model folder again, and open a graph as `aes score` does: it says more of its card.

    Returns:
        Whether the card says what the files must be; if not, they were opened, and no more can be said.

    Raises:
        WeightsUnavailable: they are not those that its card was written for.

    """
    folder = card.folder or Path()
    match card.family:
        case "onnx":
            from aescli.models import onnx
            from aescli.models.trained_head import check_weights

            check_weights(card)
            onnx.load(card, place("cpu"), card.dimension_names())
            return True
        case "internvl-onnx":
            from aescli.models import internvl_onnx

            internvl_onnx.load(card, card.dimension_names(), LoadOptions(device="cpu"))
            return True
        case "clip_head":
            from aescli.models.clip_head import HEAD_FILE, find_tower_files

            _, *weights_of_tower = find_tower_files(_head_and_tower(card)[1])
            for file in weights_of_tower:
                check_whole(file)
            files = [folder / HEAD_FILE]
        case "head":
            from aescli.models.trained_head import WEIGHTS_FILE, check_weights

            check_weights(card)
            files = [folder / WEIGHTS_FILE]
        case _:
            need_torch()
            from aescli.models.checkpoint import weight_files

            files = weight_files(folder)
    for file in files:
        check_whole(file)
    if card.revision:
        check_files(card, files, card.revision)
    return bool(card.revision)


def _head_and_tower(card: ModelCard) -> list[Path]:
    """Return the folders of a head and of the CLIP tower; a folder of ours shares the tower of `laion-v2`."""
    if card.folder is None:
        return weights.locate(card)
    beside = card.folder / "tower"
    return [card.folder, beside if beside.is_dir() else weights.locate(find_card("laion-v2"))[1]]


def _no_score(card: ModelCard) -> UsageError:
    recipe = "--recipe multihead --data humanbeauty" if card.family == "internvl" else "--data RATINGS"
    return UsageError(
        f"{card.id} is a base to train, it has no score", hint=f"aes train {recipe} --model {card.id} --out FOLDER"
    )


def _refuse_options(card: ModelCard, options: LoadOptions) -> None:
    tiled = card.family == "internvl-onnx"
    for given, option in (
        (options.read_out and not tiled, "--read-out"),
        (options.max_tiles and not tiled, "--max-tiles"),
        (options.backend != "auto", "--backend"),
        (options.unverified, "--unverified"),
        (options.trust_remote_code, "--trust-remote-code"),
    ):
        if given:
            raise UsageError(f"{option} is not for {card.id}")
