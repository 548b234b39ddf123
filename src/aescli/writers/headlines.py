"""The published comparison with GPT-4V as people read it: one table for each benchmark, differences in points."""

import math
from collections.abc import Iterable, Sequence

from aescli.benchmarking.records import Record
from aescli.names import escape

REFERENCE = "GPT-4V"

_MOST = 12  # models of a table; the reference is always one
_ITEMS = {"AesBench": 2_800, "UNIAA-Bench": 5_354}


def show_headlines(records: Sequence[Record]) -> bytes:
    """Return a table for each benchmark: its best models by its first column's order, and GPT-4V among them."""
    blocks = [_block(suite, chosen) for suite, chosen in _by_suite(records).items()]
    return ("\n\n".join(blocks) + "\n").encode()


def _block(suite: str, records: Sequence[Record]) -> str:
    metrics = list(dict.fromkeys(record.metric for record in records))
    values: dict[str, dict[str, Record]] = {}
    for record in records:
        # One paper's number is not another's: the first stands here, `aes bench published` shows them all.
        values.setdefault(record.model, {}).setdefault(record.metric, record)
    by = "overall" if "overall" in metrics else metrics[0]
    order = sorted(values, key=lambda model: -_value(values[model].get(by)))
    shown = order[:_MOST] + [REFERENCE] * (REFERENCE in order[_MOST:])
    reference = values.get(REFERENCE, {})
    width = max(map(len, shown))
    notes: list[str] = []
    head = f"{'':<{width}}" + "".join(f"{_title(metric):>20}" for metric in metrics)
    lines = [
        f"{suite}: published, in brackets the difference from {REFERENCE}" if reference else f"{suite}: published",
        head,
    ]
    for model in shown:
        cells = "".join(f"{_cell(values[model].get(metric), reference.get(metric), model):>20}" for metric in metrics)
        lines.append(f"{escape(model):<{width}}{cells}  {_marks(values[model].values(), notes)}".rstrip())
    return "\n".join([*lines, *(f"  [{at}] {escape(note)}" for at, note in enumerate(notes, 1)), *_noise(suite)])


def _marks(records: Iterable[Record], notes: list[str]) -> str:
    """Return the numbers of the notes that a row carries; new ones are added to `notes`."""
    marks = []
    for note in dict.fromkeys(record.note for record in records if record.note):
        if note not in notes:
            notes.append(note)
        marks.append(f"[{notes.index(note) + 1}]")
    return " ".join(marks)


def _noise(suite: str) -> list[str]:
    """Return what a difference must be to be more than chance, for two shares near a half of so many items."""
    items = _ITEMS.get(suite)
    if not items:
        return []
    points = 100 * 1.96 * math.sqrt(2 * 0.25 / items)
    return [f"  {items:,} items for each number: less than {points:.1f} points from {REFERENCE} may be chance"]


def _cell(record: Record | None, reference: Record | None, model: str) -> str:
    if record is None or record.value is None:
        return "-"
    share = record.metric.endswith("accuracy")
    shown = f"{100 * record.value:.2f}" if share else f"{record.value:.3f}"
    if reference is None or reference.value is None or model == REFERENCE:
        return shown
    difference = (record.value - reference.value) * (100 if share else 1)
    return f"{shown} ({difference:+.2f})" if share else f"{shown} ({difference:+.3f})"


def _value(record: Record | None) -> float:
    return record.value if record and record.value is not None else -1.0


def _title(metric: str) -> str:
    return metric.removesuffix("/accuracy").removesuffix("/overall")


def _by_suite(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.suite, []).append(record)
    return found
