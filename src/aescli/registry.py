"""From a name to a model card, and the nearest match for a wrong one.

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
from pathlib import Path
from typing import Any

from aescli.cards import CARD_FILE, CARDS, JUDGES_PEOPLE, ModelCard, Source
from aescli.dimensions import ROW_COLUMNS, Dimension, Scale
from aescli.errors import UsageError, WeightsUnavailable
from aescli.names import escape, may_head_column

_ONE_SCORE = frozenset({"clip_head", "llava", "chat"})  # families
BUILT_IN = Path(__file__).parent / "models" / "mini"


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
        if not file.exists() and (config := _read_config(folder)):
            return _card_of_layout(config, folder, name)
        if file.exists() and not file.is_file():  # a FIFO would be waited for without end
            raise WeightsUnavailable(f"{escape(str(file))} is no file")
        fields = json.loads(file.read_text(encoding="utf-8"))
        return _card_from(fields, folder=folder, name=name)
    except FileNotFoundError:
        raise WeightsUnavailable(
            f"{escape(str(folder))} is no model folder: it has no {CARD_FILE}",
            hint="aes models ls   lists the models that have a name",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} is no model card: {error!r}") from error


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) and "model_type" in config else {}


def _card_of_layout(config: Mapping[str, Any], folder: Path, name: str) -> ModelCard:
    """Return what is known of a folder without a card: its layout, and nothing of what it was trained on."""
    kinds = {"internvl_chat": "humanaesexpert-1b", "llava_llama": "aesexpert-7b"}
    if "mm_projector_type" in config:
        kinds["llava"] = "aesexpert-7b"
    like = next((card for card in CARDS if card.id == kinds.get(str(config["model_type"]))), None)
    title = f"a folder in the layout of {like.id}" if like else f"a folder of the type {config['model_type']}"
    return ModelCard(
        id=name,
        family=like.family if like else "chat",
        title=title,
        scale=like.scale if like else Scale(0, 1),
        folder=folder,
        read_out=like.read_out if like else "levels",
        dimensions=like.dimensions if like else (),
        preprocessing=like.preprocessing if like else None,
        needs="torch",
        exact=like.exact if like else True,
        writes_json=like.writes_json if like else True,
        warning=like.warning if like else "",
    )


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that `word` most likely meant."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return found[0] if found else None


def may_name_dimension(name: str) -> bool:
    """Tell whether a name can stand over a column of scores: it is no other column's, and can be read."""
    return name not in ROW_COLUMNS and "," not in name and may_head_column(name)


def choose_dimensions(card: ModelCard, wanted: str) -> tuple[str, ...]:
    """Return the dimensions that `--dims` names, in the card's order: `overall` alone is none beside it.

    Args:
        card: the model.
        wanted: `overall`, `all`, or names with commas between them.

    Raises:
        UsageError: the model has no such dimension; the hint names the nearest.

    """
    names = [word.strip() for word in wanted.split(",") if word.strip()]
    for name in names:
        if name not in ("overall", "all") and name not in card.dimension_names():
            close = nearest(name, [*card.dimension_names(), "overall", "all"])
            listed = ", ".join(["overall", *card.dimension_names()])
            raise UsageError(
                f"{card.id} has no dimension '{name}'",
                hint=f"did you mean '{close}'?" if close else f"it has {listed}",
            )
    return tuple(name for name in card.dimension_names() if name in names or "all" in names)


def _hub_card(name: str) -> ModelCard:
    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not match:
        raise UsageError(f"'{name}' is no model name", hint="write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    repo, revision = match.groups()
    if any(
        part.startswith((".", "-")) or part.endswith((".git", ".")) or "--" in part or ".." in part
        for part in repo.split("/")
    ):
        raise UsageError(f"'{repo}' is no repository name", hint="write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return ModelCard(
        id=name,
        family="chat",
        title=f"{repo} on the Hub",
        scale=Scale(0, 1),
        sources=(Source(repo=repo, revision=revision),),
        read_out="levels",
        exact=True,
        needs="torch",
    )


def _hint_for_name(name: str, known: list[str]) -> str:
    if Path(name).is_dir():
        return f"for the folder write ./{name}"
    close = nearest(name, known)
    return f"did you mean '{close}'?" if close else "aes models ls   lists them"


def _card_from(fields: Mapping[str, Any], *, folder: Path, name: str) -> ModelCard:
    low, high = fields["native_range"]
    if fields["family"] == "endpoint":  # whoever sends a folder must not have pictures and a key sent on
        raise ValueError("a folder is no endpoint")
    if fields["family"] in _ONE_SCORE and fields["dimensions"]:
        raise ValueError(f"the family {fields['family']} has no dimensions beside overall")
    family, trains_only = str(fields["family"]), bool(fields.get("trains_only", False))
    judges_people = family.startswith("internvl") and not trains_only
    return ModelCard(
        id=name,
        family=family,
        title=str(fields["title"]),
        scale=Scale(float(low), float(high)),
        folder=folder,
        revision=str(fields["revision"]),
        read_out=str(fields["read_out"]),
        dimensions=tuple(map(_dimension_from, fields["dimensions"])),
        preprocessing=fields.get("preprocessing"),
        size_bytes=fields.get("size_bytes"),
        code_license=fields.get("code_license"),
        weights_license=fields.get("weights_license"),
        base_license=fields.get("base_license"),
        non_commercial=fields.get("non_commercial"),
        trained_on=_texts(fields, "trained_on"),
        leaks=_texts(fields, "leaks"),
        needs=str(fields.get("needs", "")),
        note=str(fields.get("note", "")),
        exact=bool(fields.get("exact", False)),
        writes_json=bool(fields.get("writes_json", True)),
        trains_only=trains_only,
        fit=str(fields.get("fit", "squeeze")),
        warning=str(fields.get("warning") or (JUDGES_PEOPLE if judges_people else "")),
    )


def _dimension_from(fields: Mapping[str, Any]) -> Dimension:
    low_high = fields.get("native_range")
    scale = Scale(float(low_high[0]), float(low_high[1])) if low_high else None
    name = str(fields["name"])
    if not may_name_dimension(name):
        raise ValueError(f"{escape(name)} cannot be the name of a dimension")
    return Dimension(name, str(fields["meaning"]), scale)


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return tuple(map(str, value))
