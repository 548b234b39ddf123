"""AesBench (arXiv 2401.08276, yipoh/AesBench): three abilities by choice, one in words; its authors score the answers.

The right answers are withheld, so what is measured here is how many replies are valid, unless a table brings a key.
"""

import base64
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aescli.benchmarking import prompts
from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Line, why
from aescli.benchmarking.parsing import read_options
from aescli.benchmarking.questions import choose_letter
from aescli.errors import AesError
from aescli.labels.embedded import make_folder, write_picture
from aescli.names import escape

ABILITIES = ("AesP", "AesE", "AesA1", "AesI")
QUESTIONS = "AesBench_evaluation.json"
PROMPTS = ("aesbench", "vlmevalkit")

_ASSESSMENT = ("AesA1",)  # its options are words for levels: High, Medium, Low
_LONGEST_INDEX = 64  # characters: what is longer where a picture should be is one
_ANSWERS = ("Answer", "answer", "Correct", "correct")
_GROUPS = {"Class": "class", "Type": "type", "Source": "source"}


def read_items(source: Path, abilities: Sequence[str], prompt: str = "aesbench") -> list[Item]:
    """Return the items of a folder with `AesBench_evaluation.json` and its pictures, of that file, or of a table.

    Args:
        source: the folder; the file, with the pictures beside it or in `images`; or VLMEvalKit's TSV.
        abilities: of ABILITIES; a table has no AesI.
        prompt: of PROMPTS.

    Raises:
        AesError: it is something else, or a question has no options.

    """
    if source.suffix == ".tsv":
        return list(_table_items(source, abilities))
    file = source / QUESTIONS if source.is_dir() else source
    questions = _read_json(file)
    return [
        _item(name, ability, entry[f"{ability}_data"], file, prompt)
        for name, entry in questions.items()
        for ability in abilities
        if f"{ability}_data" in entry
    ]


def answer_files(lines: Iterable[Line]) -> dict[str, dict[str, dict[str, str]]]:
    """Return what is mailed to the authors: file name to picture name to reply; what failed is an empty reply.

    A fifth file holds the likeliest word of each assessment, where a model tells how likely they are.
    """
    files: dict[str, dict[str, dict[str, str]]] = {f"test_{ability}.json": {} for ability in ABILITIES}
    for line in lines:
        ability, picture = line.groups["ability"], line.groups["picture"]
        files[f"test_{ability}.json"][picture] = {f"{ability}_response": line.reply or ""}
        if line.likely:
            likeliest = max(line.likely, key=lambda letter: line.likely[letter])
            said = {f"{ability}_response": f"{likeliest}) {line.options[likeliest]}"}
            files.setdefault(f"logits/test_{ability}.json", {})[picture] = said
    return files


def write_answers(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Write the answer files of one model, UTF-8, and return them."""
    from aescli.output import replace_file

    written = []
    for name, replies in answer_files(lines).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / name) as stream:
            stream.write(json.dumps(replies, ensure_ascii=False, indent=4).encode())
        written.append(folder / name)
    return written


def _item(name: str, ability: str, entry: Mapping[str, Any], file: Path, prompt: str) -> Item:
    where = f"{escape(str(file))}: {ability} of {escape(name)}"
    try:
        question, text = str(entry["Question"]), str(entry.get("Options", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise AesError(f"{where} has no Question") from error
    options = read_options(text) if ability != "AesI" else {}
    if ability != "AesI" and not options:
        raise AesError(f"{where} has no lettered options: {escape(text)!r}")
    template = prompts.VLMEVALKIT if prompt == "vlmevalkit" and options else prompts.AESBENCH[ability]
    said = next((str(entry[key]) for key in _ANSWERS if key in entry), None)
    return Item(
        suite="aesbench",
        split="test",
        name=f"{ability}/{name}",
        path=_picture(file.parent, name),
        prompt=prompts.fill(template, question, text, options),
        template=prompt,
        options=options,
        words=options if ability in _ASSESSMENT else {},
        answer=choose_letter(said, options, where),
        groups={
            "ability": ability,
            "picture": name,
            **{ours: str(entry[theirs]) for theirs, ours in _GROUPS.items() if theirs in entry},
        },
    )


def _picture(folder: Path, name: str) -> Path:
    places = (folder / name, folder / "images" / name, folder / "AesBench_images" / name)
    return next((place for place in places if place.is_file()), places[1])


def _table_items(file: Path, abilities: Sequence[str]) -> Iterator[Item]:
    """Yield the items of VLMEvalKit's table, whose pictures stand in it as base64; they are unpacked in AES_HOME.

    A row whose picture is another's has the index of that one in its place.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    pictures: dict[str, Path | str] = {}  # or the index of another row
    rows: list[dict[str, str]] = []
    try:
        folder = make_folder(file)
        with file.open(encoding="utf-8", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream, delimiter="\t"), 1):
                index, packed = row["index"], "".join(row.pop("image").split())
                if index in pictures:
                    raise AesError(f"{escape(str(file))}, row {number}: the index {escape(index)} is there twice")
                if len(packed) > _LONGEST_INDEX:
                    data = base64.b64decode(packed, validate=True)
                    pictures[index] = Path(write_picture(data, folder / f"{number:08d}.jpg"))
                else:
                    pictures[index] = packed
                rows.append(row)
        for number, row in enumerate(rows, 1):
            found = pictures[row["index"]]
            picture = pictures.get(found) if isinstance(found, str) else found
            if not isinstance(picture, Path):
                raise AesError(f"{escape(str(file))}, row {number}: there is no picture {escape(str(found))!r}")
            if (ability := _ability(row)) in abilities:
                yield _table_item(row, ability, picture, file)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AesError(f"{escape(str(file))} is no table of VLMEvalKit: {error!r}") from error


def _ability(row: Mapping[str, str]) -> str:
    text = f"{row.get('category', '')} {row.get('split', '')}".lower()
    return next((name for name, word in zip(ABILITIES, ("aesp", "aese", "aesa"), strict=False) if word in text), "AesP")


def _table_item(row: Mapping[str, str], ability: str, picture: Path, file: Path) -> Item:
    options = {letter: row[letter] for letter in "ABCDEFGH" if row.get(letter)}
    return Item(
        suite="aesbench",
        split="val (VLMEvalKit prompt)",
        name=f"{ability}/{row['index']}",
        path=picture,
        prompt=prompts.fill(prompts.VLMEVALKIT, row["question"], lettered=options),
        template="vlmevalkit",
        options=options,
        words=options if ability in _ASSESSMENT else {},
        answer=choose_letter(row.get("answer") or None, options, f"{escape(str(file))}: {row['index']}"),
        groups={"ability": ability, "picture": row["index"]},
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AesError(
            f"{escape(str(file))} cannot be read: {why(error)}", hint=f"a folder with {QUESTIONS}"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise AesError(f"{escape(str(file))} is no {QUESTIONS}: picture names to questions")
    return found
