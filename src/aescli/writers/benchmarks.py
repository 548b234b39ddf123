"""Records of a benchmark to CSV, JSON, Markdown or a table; one record for each number, whatever the format."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from aescli.benchmarking.records import COLUMNS, Record
from aescli.names import escape, escape_sentence
from aescli.writers.opening import choose_by_suffix

FORMATS = ("table", "csv", "json", "md", "html")

_OF_SUFFIX = {".csv": "csv", ".json": "json", ".md": "md", ".txt": "table", ".html": "html", ".htm": "html"}
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_LONGEST_NOTE = 90


def choose_bench_format(wanted: str, target: Path | None, *, on_terminal: bool) -> str:
    """Return the format that `--format` and the target's suffix name.

    Raises:
        UsageError: the word or the suffix is no format, or a page would go to stdout.

    """
    alone = "table" if on_terminal else "csv"
    return choose_by_suffix(wanted, target, FORMATS, _OF_SUFFIX, alone=alone, piped="csv")


def show_records(records: Sequence[Record], form: str, *, colour: bool = False) -> bytes:
    """Return records as UTF-8 text that ends with a line feed."""
    match form:
        case "csv":
            return _csv(records)
        case "json":
            rows = ",\n".join(json.dumps(asdict(record), allow_nan=False) for record in records)
            return f"[\n{rows}\n]\n".encode() if records else b"[]\n"
        case "md":
            return _markdown(records)
        case _:
            return _table(records, colour=colour)


def show_number(value: float | None) -> str:
    """Return a number for people: three decimals, whole counts as they are, a dash where it is not defined."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.3f}"


def describe(record: Record) -> str:
    """Return what stands beside a number: that it was published or recorded, and its note."""
    source = f"published: {record.source}" if record.is_published() else record.source
    return "; ".join(filter(None, (source, record.note)))


def _csv(records: Iterable[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(value) for value in asdict(record).values()])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else escape_sentence(str(value))


def _markdown(records: Iterable[Record]) -> bytes:
    lines = [
        "| suite | split | metric | model | value | 95% interval | n | note |",
        "|---|---|---|---|---:|---|---:|---|",
    ]
    for record in records:
        cells = (record.suite, record.split, record.metric, record.model, show_number(record.value), _interval(record),
                 "" if record.n is None else str(record.n), describe(record))  # fmt: skip
        lines.append(f"| {' | '.join(map(_in_markdown, cells))} |")
    return ("\n".join(lines) + "\n").encode()


def _in_markdown(text: str) -> str:
    safe = escape(text)
    for mark in "\\`*_[]<>|":
        safe = safe.replace(mark, f"\\{mark}")
    return safe


def _table(records: Iterable[Record], *, colour: bool) -> bytes:
    lines: list[str] = []
    for (suite, split), chosen in _by_part(records).items():
        lines += ["", _painted(f"{escape(suite)} / {escape(split)}", _BOLD, colour=colour)]
        widths = [max(len(escape(getattr(each, name))) for each in chosen) for name in ("metric", "model")]
        for metric, rows in _by_metric(chosen).items():
            for at, row in enumerate(rows):
                count = f"n {row.n}" if row.n is not None else ""
                note = escape(describe(row))
                short = note if len(note) <= _LONGEST_NOTE else f"{note[: _LONGEST_NOTE - 3]}..."
                lines.append(
                    f"  {escape(metric) if not at else '':<{widths[0]}}  {escape(row.model):<{widths[1]}}  "
                    f"{show_number(row.value):>8}  {_interval(row):<18}  {count:<8}  "
                    f"{_painted(short, _DIM, colour=colour)}".rstrip()
                )
    return ("\n".join(lines[1:]) + "\n").encode()


def _by_part(records: Iterable[Record]) -> Mapping[tuple[str, str], list[Record]]:
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        parts.setdefault((record.suite, record.split), []).append(record)
    return parts


def _by_metric(records: Iterable[Record]) -> Mapping[str, list[Record]]:
    """Return records by metric; numbers with a leak stand last, as they are in no ranking."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.metric, []).append(record)
    return {metric: sorted(rows, key=lambda row: "leak:" in row.note) for metric, rows in found.items()}


def _interval(record: Record) -> str:
    return f"{record.low:.3f} to {record.high:.3f}" if record.low is not None and record.high is not None else ""


def _painted(text: str, code: str, *, colour: bool) -> str:
    return f"{code}{text}{_PLAIN}" if colour and text else text
