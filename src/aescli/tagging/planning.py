"""What `aes tag` would write beside each picture, and what it leaves alone and why.

A rating or label counts as a person's unless all of this holds: the journal knows that `aes` wrote exactly these bytes
of this sidecar, and the sidecar's own aes:Stars or aes:Label says the same as xmp:Rating or xmp:Label. Another program
that saves the file makes its marks a person's. What stands inside the picture is a person's always.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from aescli.journal import Change, known_writes
from aescli.names import escape
from aescli.results import Failure, Row, Score
from aescli.tagging.naming import AUTO, choose_sidecar
from aescli.tagging.rules import COLOURS, Rule, give_stars, percentiles
from aescli.xmp.files import list_sidecars, read_sidecar
from aescli.xmp.marks import LABEL, RATING, Marks, parse_packet, read_embedded
from aescli.xmp.packet import AES, Name, change_packet, new_packet, read_properties

JOURNAL = "tag"
STARS, LABELS = "stars", "labels"

_OWN_STARS, _OWN_LABEL = (AES, "Stars"), (AES, "Label")
_SCORE, _PERCENTILE, _MODEL, _RULE = ((AES, name) for name in ("Score", "Percentile", "Model", "Rule"))


class Action(StrEnum):
    """What happens to a picture's sidecar."""

    CREATE = "create"
    UPDATE = "update"
    SAME = "same"  # it says so already
    KEPT = "kept"  # a person has rated the picture
    CONFLICT = "conflict"  # it cannot be changed safely
    FAILED = "failed"  # the picture has no score


@dataclass(frozen=True, slots=True)
class TagOptions:
    """How pictures are tagged.

    Args:
        rule: from scores to stars.
        writes: `stars` or `labels`.
        style: one of `naming.STYLES`.
        colours: labels of 5 to 1 stars.
        tool: what a new packet calls the program that wrote it.

    """

    rule: Rule
    writes: str = STARS
    style: str = AUTO
    colours: tuple[str, ...] = COLOURS
    tool: str = "aes"


@dataclass(frozen=True, slots=True)
class Tag:
    """One picture's part of the plan; `before` and `after` are the sidecar's bytes, None where there is none."""

    path: str
    action: Action
    reason: str = ""
    overall: float | None = None
    percentile: float | None = None
    stars: int | None = None
    label: str = ""
    sidecar: str = ""
    before: bytes | None = None
    after: bytes | None = None

    def change(self) -> Change:
        """Return what the journal keeps: what was there, and the SHA-256 of what is."""
        return Change(os.path.abspath(self.sidecar), self.before, digest(self.after or b""))  # noqa: PTH100


@dataclass(slots=True)
class _Shoot:
    """What all pictures of a plan share."""

    options: TagOptions
    written: Mapping[str, set[bytes]]
    folders: dict[str, list[str]] = field(default_factory=dict)

    def beside(self, path: str) -> Sequence[str]:
        folder = os.path.dirname(path) or "."  # noqa: PTH120
        if folder not in self.folders:
            self.folders[folder] = sorted(os.listdir(folder))  # noqa: PTH208
        return self.folders[folder]


def plan_tags(rows: Sequence[Row], options: TagOptions) -> list[Tag]:
    """Return the plan for pictures that were scored by one model, in their order; nothing is written."""
    scores = [row for row in rows if isinstance(row, Score)]
    overall = [row.overall for row in scores]
    starred = iter(zip(give_stars(overall, options.rule), percentiles(overall), strict=True))
    sidecars = {os.path.abspath(each) for row in scores for each in list_sidecars(row.path)}  # noqa: PTH100
    shoot = _Shoot(options, known_writes(JOURNAL, sidecars))
    return [
        Tag(row.path, Action.FAILED, f"{row.code}: {row.message}") if isinstance(row, Failure)
        else _plan(row, *next(starred), shoot)
        for row in rows
    ]  # fmt: skip


def digest(data: bytes) -> bytes:
    """Return the SHA-256 of a sidecar."""
    return hashlib.sha256(data).digest()


def _plan(row: Score, stars: int, percentile: float, shoot: _Shoot) -> Tag:
    label = shoot.options.colours[5 - stars] if shoot.options.writes == LABELS else ""
    said = Tag(row.path, Action.KEPT, "", row.overall, percentile, stars, label)
    try:
        if reason := _find_person(row.path, shoot):
            return replace(said, action=Action.KEPT, reason=reason)
        sidecar = choose_sidecar(row.path, shoot.options.style, shoot.beside(row.path))
        before = read_sidecar(sidecar) if os.path.lexists(sidecar) else None
        ours = before is None or _is_written(sidecar, before, shoot)
        after = _change(before, _values(row, said, shoot.options, ours=ours), shoot.options.tool)
    except (ValueError, OSError) as error:
        return replace(said, action=Action.CONFLICT, reason=escape(str(error)))
    action = Action.SAME if before == after else Action.CREATE if before is None else Action.UPDATE
    return replace(said, action=action, sidecar=sidecar, before=before, after=after)


def _find_person(path: str, shoot: _Shoot) -> str:
    """Return who has rated or labelled a picture, or nothing."""
    for sidecar in list_sidecars(path):
        data = read_sidecar(sidecar)
        marks = parse_packet(data)
        if _counts(marks, shoot.options) and not _is_ours(sidecar, data, marks, shoot):
            return f"{escape(os.path.basename(sidecar))} says {_describe(marks)}"  # noqa: PTH119
    marks = read_embedded(path)
    return f"the picture itself says {_describe(marks)}" if _counts(marks, shoot.options) else ""


def _counts(marks: Marks, options: TagOptions) -> bool:
    """Tell whether marks say what we would say: 0 stars are no rating."""
    return bool(marks.label) if options.writes == LABELS else bool(marks.rating)


def _is_ours(sidecar: str, data: bytes, marks: Marks, shoot: _Shoot) -> bool:
    if not _is_written(sidecar, data, shoot):
        return False
    own = {found.name: found.value for found in read_properties(data)}
    if shoot.options.writes == LABELS:
        return own.get(_OWN_LABEL) == marks.label
    return own.get(_OWN_STARS) == f"{marks.rating:g}"


def _is_written(sidecar: str, data: bytes, shoot: _Shoot) -> bool:
    """Tell whether the journal knows that these are the bytes that we wrote."""
    return digest(data) in shoot.written.get(os.path.abspath(sidecar), ())  # noqa: PTH100


def _values(row: Score, tag: Tag, options: TagOptions, *, ours: bool) -> dict[Name, str | None]:
    """Return what is written; marks of the other kind stay as they are.

    Where somebody else has saved the sidecar since, those marks are not ours any more, and our word that they are goes:
    the bytes that we write now would vouch for it.
    """
    values: dict[Name, str | None] = {
        _SCORE: f"{row.overall:.4f}", _PERCENTILE: f"{tag.percentile:.1f}", _MODEL: row.model, _RULE: str(options.rule),
    }  # fmt: skip
    if options.writes == LABELS:
        values |= {LABEL: tag.label, _OWN_LABEL: tag.label, **({} if ours else {_OWN_STARS: None})}
    else:
        values |= {RATING: str(tag.stars), _OWN_STARS: str(tag.stars), **({} if ours else {_OWN_LABEL: None})}
    return values


def _change(before: bytes | None, values: Mapping[Name, str | None], tool: str) -> bytes:
    if before is None:
        return new_packet({name: value for name, value in values.items() if value is not None}, tool)
    said = {found.name: found.value for found in read_properties(before)}
    if all(said.get(name) == value for name, value in values.items()):
        return before
    return change_packet(before, values)


def _describe(marks: Marks) -> str:
    stars = "" if not marks.rating else "rejected" if marks.rating < 0 else f"{marks.rating:g} stars"
    return " and ".join(filter(None, (stars, escape(marks.label[:40]))))
