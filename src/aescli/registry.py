"""Model cards: one row for each model, the grammar of model names, and the nearest match for a wrong one.

A name is one of
    NAME                       a row of CARDS, or the built-in `mini`
    hf:OWNER/NAME[@REVISION]   any repository on the Hub
    endpoint:MODEL             any OpenAI-compatible server
    ./FOLDER, /FOLDER          a folder with a `card.json`, as `aes train` writes it
A bare word is never taken for a folder.
"""

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aescli.dimensions import Dimension, Scale
from aescli.errors import UsageError, WeightsUnavailable

BUILT_IN = Path(__file__).parent / "models" / "mini"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files on the Hub. `revision` is a commit that is known; None is resolved once by `aes models pull`."""

    repo: str
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of one model. None and empty mean unknown: nothing is filled in."""

    id: str
    family: str
    title: str
    scale: Scale
    sources: tuple[Source, ...] = ()
    folder: Path | None = None
    revision: str = ""
    read_out: str = "score"
    dimensions: tuple[Dimension, ...] = ()
    preprocessing: str | None = None
    size_bytes: int | None = None
    code_license: str | None = None
    weights_license: str | None = None
    base_license: str | None = None
    non_commercial: bool | None = None
    trained_on: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    needs: str = ""
    note: str = ""

    def dimension_names(self) -> tuple[str, ...]:
        """Return the dimensions beside `overall`, in the card's order."""
        return tuple(dimension.name for dimension in self.dimensions)


_HUMAN_DIMENSIONS = tuple(
    Dimension(name, name.replace("_", " "))
    for name in (
        "facial_brightness",
        "facial_feature_clarity",
        "facial_skin_tone",
        "facial_structure",
        "facial_contour_clarity",
        "facial_aesthetic",
        "outfit",
        "body_shape",
        "looks",
        "environment",
        "general_appearance",
        "comprehensive",
    )
)
_HUMAN_NOTE = "for pictures of people only; judges faces, bodies and clothes"
_HUMAN_DATA = ("HumanBeauty-58K", "HumanBeauty-50K")
_HUMAN_LEAKS = ("AVA", "TAD66K", "MEBeauty")
_Q_REALIGN_DATA = ("KonIQ", "SPAQ", "KADID", "AGIQA-20K", "AVA", "LSVQ")

CARDS: tuple[ModelCard, ...] = (
    ModelCard(
        id="humanaesexpert-1b",
        family="internvl",
        title="HumanAesExpert 1B: three heads and a MetaVoter on InternVL2-1B",
        scale=Scale(0, 1),
        sources=(
            Source(
                repo="HumanBeauty/HumanAesExpert-1B",
                revision="b8f7ee3f3a1217ecd331fd6d57b6959f5c0da183",
            ),
        ),
        read_out="metavoter",
        dimensions=_HUMAN_DIMENSIONS,
        preprocessing="1 to 12 tiles of 448 px and a thumbnail, bicubic, ImageNet mean and std",
        size_bytes=1_876_417_886,
        code_license="MIT",
        weights_license="MIT",
        non_commercial=False,
        trained_on=_HUMAN_DATA,
        leaks=_HUMAN_LEAKS,
        needs="torch",
        note=_HUMAN_NOTE,
    ),
    ModelCard(
        id="humanaesexpert-8b",
        family="internvl",
        title="HumanAesExpert 8B: three heads and a MetaVoter on InternVL2-8B",
        scale=Scale(0, 1),
        sources=(Source(repo="HumanBeauty/HumanAesExpert-8B"),),
        read_out="metavoter",
        dimensions=_HUMAN_DIMENSIONS,
        preprocessing="1 to 12 tiles of 448 px and a thumbnail, bicubic, ImageNet mean and std",
        code_license="MIT",
        weights_license="MIT",
        non_commercial=False,
        trained_on=_HUMAN_DATA,
        leaks=_HUMAN_LEAKS,
        needs="torch",
        note=_HUMAN_NOTE,
    ),
    ModelCard(
        id="aesexpert-7b",
        family="llava",
        title="AesExpert: LLaVA-1.5-7B tuned on AesMMIT, critiques and a level read-out",
        scale=Scale(0, 1),
        sources=(
            Source(
                repo="qyuan/AesMMIT_LLaVA_v1.5_7b_240325",
                revision="896973238264ba52730e47188233cd220b0e7a6e",
            ),
        ),
        read_out="levels",
        preprocessing="padded to a square, 336 px, CLIP mean and std",
        size_bytes=14_100_000_000,
        code_license="Apache-2.0",
        base_license="Llama 2 community licence",
        trained_on=("AesMMIT",),
        needs="torch",
        note="numbers are weak beside the words: a critic first",
    ),
    ModelCard(
        id="q-realign-mini",
        family="chat",
        title="Q-ReAlign Mini 0.8B: level read-out",
        scale=Scale(0, 1),
        sources=(Source(repo="q-future/Q-ReAlign-Mini-0.8B"),),
        read_out="levels",
        size_bytes=2_200_000_000,
        code_license="MIT",
        weights_license="Apache-2.0",
        non_commercial=False,
        trained_on=_Q_REALIGN_DATA,
        leaks=("AVA", "KonIQ", "SPAQ", "AGIQA-20K"),
        needs="torch",
        note="published on AVA: SRCC .797, PLCC .794",
    ),
    ModelCard(
        id="q-realign-lite",
        family="chat",
        title="Q-ReAlign Lite 4B: level read-out",
        scale=Scale(0, 1),
        sources=(Source(repo="q-future/Q-ReAlign-Lite-4B"),),
        read_out="levels",
        code_license="MIT",
        weights_license="Apache-2.0",
        non_commercial=False,
        trained_on=_Q_REALIGN_DATA,
        leaks=("AVA", "KonIQ", "SPAQ", "AGIQA-20K"),
        needs="torch",
        note="published on AVA: SRCC .814, PLCC .804",
    ),
    ModelCard(
        id="q-realign-pro",
        family="chat",
        title="Q-ReAlign Pro 9B: level read-out",
        scale=Scale(0, 1),
        sources=(Source(repo="q-future/Q-ReAlign-Pro-9B"),),
        read_out="levels",
        code_license="MIT",
        weights_license="Apache-2.0",
        non_commercial=False,
        trained_on=_Q_REALIGN_DATA,
        leaks=("AVA", "KonIQ", "SPAQ", "AGIQA-20K"),
        needs="torch",
        note="published on AVA: SRCC .832, PLCC .828",
    ),
    ModelCard(
        id="laion-v2",
        family="clip_head",
        title="LAION aesthetic predictor v2: a linear head on CLIP ViT-L/14",
        scale=Scale(1, 10),
        sources=(
            Source(
                repo="ttj/sac-logos-ava1-l14-linearMSE",
                revision="1e77fa05081323d99725fc40a9bf9f88180490e7",
            ),
            Source(
                repo="openai/clip-vit-large-patch14",
                revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
            ),
        ),
        preprocessing="short side 224 px, bicubic, centre crop: the edges of a 3:2 photo are never seen",
        code_license="Apache-2.0",
        trained_on=("SAC", "LOGOS", "AVA"),
        leaks=("AVA",),
        needs="torch",
        note="unbounded, typically 4 to 7",
    ),
    ModelCard(
        id="qwen3-vl-4b",
        family="chat",
        title="Qwen3-VL 4B Instruct: zero-shot level read-out and critiques",
        scale=Scale(0, 1),
        sources=(Source(repo="Qwen/Qwen3-VL-4B-Instruct"),),
        read_out="levels",
        size_bytes=8_900_000_000,
        code_license="Apache-2.0",
        weights_license="Apache-2.0",
        non_commercial=False,
        needs="torch",
        note="not tuned on aesthetic ratings",
    ),
)


def find_card(name: str) -> ModelCard:
    """Return the card that `name` stands for.

    Raises:
        UsageError: no such model; the hint names the nearest.
        WeightsUnavailable: a folder has no card, or one that cannot be read.

    """
    if name.startswith("hf:"):
        return _hub_card(name)
    if name.startswith("endpoint:"):
        return ModelCard(
            id=name,
            family="endpoint",
            title=f"{name.removeprefix('endpoint:')} on an OpenAI-compatible server",
            scale=Scale(0, 1),
            needs="api",
        )
    if name.startswith(".") or os.sep in name or "/" in name:
        return read_card(Path(name), name)
    if name == "mini":
        return read_card(BUILT_IN, name)
    known = {card.id: card for card in CARDS}
    if name in known:
        return known[name]
    raise UsageError(f"there is no model '{name}'", hint=_hint_for_name(name, ["mini", *known]))


def all_cards() -> list[ModelCard]:
    """Return every model that has a name of its own, the built-in one first."""
    return [find_card("mini"), *CARDS]


def read_card(folder: Path, name: str) -> ModelCard:
    """Read the `card.json` of a folder; `name` is what rows will call the model.

    Raises:
        WeightsUnavailable: there is no card, or a field is missing or wrong.

    """
    file = folder / CARD_FILE
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return _card_from(fields, folder=folder, name=name)
    except FileNotFoundError:
        raise WeightsUnavailable(
            f"{folder} is no model folder: it has no {CARD_FILE}",
            hint="aes models ls   lists the models that have a name",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(f"{file} is no model card: {error!r}") from error


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that `word` most likely meant."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return found[0] if found else None


def choose_dimensions(card: ModelCard, wanted: str) -> tuple[str, ...]:
    """Return the dimensions that `--dims` names, in the card's order: `overall` alone is none beside it.

    Args:
        card: the model.
        wanted: `overall`, `all`, or names with commas between them.

    Raises:
        UsageError: the model has no such dimension; the hint names the nearest.

    """
    names = [word.strip() for word in wanted.split(",") if word.strip()]
    if "all" in names:
        return card.dimension_names()
    for name in names:
        if name != "overall" and name not in card.dimension_names():
            close = nearest(name, [*card.dimension_names(), "overall", "all"])
            listed = ", ".join(["overall", *card.dimension_names()])
            raise UsageError(
                f"{card.id} has no dimension '{name}'",
                hint=f"did you mean '{close}'?" if close else f"it has {listed}",
            )
    return tuple(name for name in card.dimension_names() if name in names)


def _hub_card(name: str) -> ModelCard:
    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not match:
        raise UsageError(f"'{name}' is no model name", hint="write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    repo, revision = match.groups()
    return ModelCard(
        id=name,
        family="chat",
        title=f"{repo} on the Hub",
        scale=Scale(0, 1),
        sources=(Source(repo=repo, revision=revision),),
        read_out="levels",
        needs="torch",
    )


def _hint_for_name(name: str, known: list[str]) -> str:
    if Path(name).is_dir():
        return f"for the folder write ./{name}"
    close = nearest(name, known)
    return f"did you mean '{close}'?" if close else "aes models ls   lists them"


def _card_from(fields: Mapping[str, Any], *, folder: Path, name: str) -> ModelCard:
    low, high = fields["native_range"]
    return ModelCard(
        id=name,
        family=str(fields["family"]),
        title=str(fields["title"]),
        scale=Scale(float(low), float(high)),
        folder=folder,
        revision=str(fields["revision"]),
        read_out=str(fields["read_out"]),
        dimensions=tuple(Dimension(str(d["name"]), str(d["meaning"])) for d in fields["dimensions"]),
        preprocessing=fields.get("preprocessing"),
        size_bytes=fields.get("size_bytes"),
        code_license=fields.get("code_license"),
        weights_license=fields.get("weights_license"),
        base_license=fields.get("base_license"),
        non_commercial=fields.get("non_commercial"),
        trained_on=tuple(fields.get("trained_on", ())),
        leaks=tuple(fields.get("leaks", ())),
        needs=str(fields.get("needs", "")),
        note=str(fields.get("note", "")),
    )
