"""From lines to a report: all of them evaluated, baselines beside them, as a table, records or a page."""

import io
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from aescli.benchmarking.asking import restate
from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Line, digest, latest, read_lines
from aescli.benchmarking.published import comparable
from aescli.benchmarking.records import RECORDED, BenchReport, Record
from aescli.cli import console
from aescli.cli.bench_options import ReportOptions
from aescli.errors import AesError, ExitCode, PictureError, UsageError
from aescli.images.opening import Opener
from aescli.names import escape
from aescli.output import replace_file
from aescli.writers.benchmarks import choose_bench_format, show_records

PUBLISHED = "published"

_THUMBNAIL = 320  # pixels


def check(options: ReportOptions) -> None:
    """Refuse what cannot end well before anything is run.

    Raises:
        UsageError: an unknown format, a baseline that is not there.

    """
    form = choose_bench_format(options.format, options.output, on_terminal=sys.stdout.isatty())
    if form == "html" and options.output is None:
        raise UsageError("a page needs a file", hint="-o report.html")
    for name in options.baseline or ():
        if name != PUBLISHED and not Path(name).is_file():
            raise UsageError(f"there is no baseline '{name}'", hint=f"--baseline {PUBLISHED}, or a file of lines")


def report(options: ReportOptions, files: Sequence[Path], items: Sequence[Item] = ()) -> ExitCode:
    """Evaluate lines and write the report; 3 where items could not be asked.

    Args:
        options: what stands in it, and where it goes.
        files: of lines.
        items: those whose lines count; empty for all.

    Raises:
        AesError: there are no lines.

    """
    from aescli.benchmarking.evaluating import evaluate

    asked = {item.name: item for item in items}
    lines = [line for line in latest(read_lines(files)) if not asked or line.item in asked]
    lines = [restate(line, asked[line.item]) if asked else line for line in lines]
    if not lines:
        raise AesError("there are no lines to evaluate", hint="aes bench scores --data labels.csv --model mini")
    recorded = _recorded(options.baseline or (), lines, asked)
    evaluated = evaluate([*lines, *chain.from_iterable(recorded.values())])
    records = list(_with_sources(evaluated, recorded))
    records += [each for each in _published(options.baseline or (), lines) if each not in records]
    show(BenchReport(tuple(records), evaluated.lines, evaluated.notes), options)
    failed = sum(not line.is_done() for line in lines)
    if failed:
        console.print_note(f"{failed} items failed; running again tries them again")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def show(found: BenchReport, options: ReportOptions) -> None:
    """Write a report to its file or to stdout; notes go to stderr."""
    output = options.output
    form = choose_bench_format(options.format, output, on_terminal=sys.stdout.isatty())
    for note in found.notes:
        console.print_note(f"note: {note}")
    if form == "html":
        from aescli.writers.bench_page import write_page

        content = write_page(found, make_thumbnail if options.thumbnails else None)
    else:
        content = show_records(found.records, form, colour=output is None and console.wants_colour(sys.stdout))
    if output is None:
        with console.standard_output() as stream:
            stream.write(content)
        return
    with replace_file(output) as stream:
        stream.write(content)
    console.print_note(f"written to {escape(str(output))}")


def show_records_of(records: Iterable[Record], options: ReportOptions) -> ExitCode:
    """Write numbers that need no lines."""
    show(BenchReport(tuple(records)), options)
    return ExitCode.OK


def make_thumbnail(path: str) -> bytes | None:
    """Return a picture as a small JPEG; None where it cannot be read."""
    from PIL import Image

    from aescli.images.source import read_file

    try:
        with Opener() as opener, opener.open(read_file(path).data, path) as view:
            picture = Image.fromarray(view.whole(_THUMBNAIL))
    except PictureError:
        return None
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


def _recorded(baselines: Sequence[str], lines: Sequence[Line], asked: Mapping[str, Item]) -> dict[str, list[Line]]:
    """Return the lines of recorded baselines that are of the same suites and splits; labels and keys are the set's."""
    parts = {(line.suite, line.split) for line in lines}
    runs = {_run_of(line) for line in lines}
    found: dict[str, list[Line]] = {}
    for name in baselines:
        if name != PUBLISHED:
            same = [line for line in latest(read_lines([Path(name)])) if (line.suite, line.split) in parts]
            found[name] = [_recorded_line(line, asked, runs, name) for line in same if not asked or line.item in asked]
            runs |= {_run_of(line) for line in found[name]}
            if not found[name]:
                listed = ", ".join(f"{suite}/{split}" for suite, split in sorted(parts))
                console.print_note(f"note: {escape(name)} has no lines of {escape(listed)}")
    return found


def _recorded_line(line: Line, asked: Mapping[str, Item], runs: Container[tuple[str, ...]], name: str) -> Line:
    """Return a line with the labels of its set; of a run that is here already, under the file's name beside it."""
    if _run_of(line) in runs:
        line = replace(line, model=f"{line.model} ({Path(name).name})")
    if line.item not in asked:
        return line
    item = asked[line.item]
    return restate(replace(line, options=line.options or item.options), item)


def _run_of(line: Line) -> tuple[str, ...]:
    """Return what tells one run of a model from another: of the same run, a later line would take an earlier's place."""
    return line.suite, line.split, line.model, line.revision, digest(line.setup)


def _with_sources(evaluated: BenchReport, recorded: dict[str, list[Line]]) -> Iterator[Record]:
    """Name the file where a model's numbers are of recorded lines."""
    files = {id(line): name for name, lines in recorded.items() for line in lines}
    of_files = {model: files.get(id(lines[0])) for model, lines in evaluated.lines.items()}
    for record in evaluated.records:
        name = of_files.get(record.model)
        yield replace(record, source=f"{RECORDED}{name}") if name else record


def _published(baselines: Sequence[str], lines: Sequence[Line]) -> list[Record]:
    if PUBLISHED not in baselines:
        return []
    records: list[Record] = []
    for suite, split in dict.fromkeys((line.suite, line.split) for line in lines):
        found = comparable(suite, split)
        if not found:
            console.print_note(f"note: no published numbers of {escape(suite)} {escape(split)} are in this package")
        records += found
    return records
