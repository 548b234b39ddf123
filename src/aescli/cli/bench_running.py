"""How a suite runs: inference to lines where they are missing, then evaluation of all lines, then a report."""

import io
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from aescli.benchmarking.asking import ask_all, describe_asking, score_lines, with_template
from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Appender, Line, appending, file_name, latest, read_lines
from aescli.benchmarking.published import comparable
from aescli.benchmarking.records import BenchReport, Record
from aescli.cli import console
from aescli.cli.stopping import stopping
from aescli.engines.local import score_all
from aescli.errors import AesError, ExitCode, PictureError, UsageError
from aescli.images.find import Found
from aescli.images.opening import Opener
from aescli.images.picture import Decoding, take_over_pillow
from aescli.models.base import Critic, LoadOptions, Scorer
from aescli.models.loading import load_critic, load_scorer
from aescli.names import escape
from aescli.output import replace_file
from aescli.registry import find_card
from aescli.runtime import usable_cpus
from aescli.scoring import Settings, fingerprint
from aescli.writers.benchmarks import choose_bench_format, show_records

PUBLISHED = "published"

_Infer = Callable[[Sequence[Item]], Generator[Line]]

_THUMBNAIL = 320  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a suite's command was told.

    Args:
        models: names.
        baselines: `published`, or files of lines.
        runs: folder of the lines.
        format: of the report.
        output: its file; None for stdout.
        thumbnails: pictures of the set may stand in a page.
        fresh: nothing from before is used.
        load: how models are loaded.
        batch_size: pictures at once; None for the model's own choice.
        workers: threads; None for one for each CPU.
        most_tokens: of an answer.

    """

    models: Sequence[str]
    baselines: Sequence[str]
    runs: Path
    format: str
    output: Path | None
    thumbnails: bool
    fresh: bool
    load: LoadOptions
    batch_size: int | None = None
    workers: int | None = None
    most_tokens: int = 512

    def check(self) -> None:
        """Refuse what cannot end well before anything is loaded.

        Raises:
            UsageError: an unknown model or format, a baseline that is not there.

        """
        form = choose_bench_format(self.format, self.output, on_terminal=sys.stdout.isatty())
        if form == "html" and self.output is None:
            raise UsageError("a page needs a file", hint="-o report.html")
        for name in self.models:
            find_card(name)
        for name in self.baselines:
            if name != PUBLISHED and not Path(name).is_file():
                raise UsageError(f"there is no baseline '{name}'", hint=f"--baseline {PUBLISHED}, or a file of lines")


def run_scorers(run: Run, items: Sequence[Item], dimensions: Iterable[str] = ()) -> ExitCode:
    """Let every model score what it has not scored yet, and report."""
    wanted = set(dimensions)
    files = []
    for name in run.models:
        card = find_card(name)
        names = tuple(each for each in card.dimension_names() if each in wanted)
        opener = Opener(Decoding(exact=card.exact))
        with ExitStack() as stack:
            stack.enter_context(opener)
            scorer = stack.enter_context(closing(load_scorer(card, names, run.load)))
            setup = fingerprint(scorer, opener.decoding)
            files.append(_append(run, items, name, setup, lambda todo: _score(run, todo, scorer, opener)))  # noqa: B023
    return report(run, files, items)


def run_critics(run: Run, items: Sequence[Item]) -> tuple[ExitCode, dict[str, list[Line]]]:
    """Let every model answer what it has not answered yet, and report; the lines of each are returned too."""
    files: dict[str, Path] = {}
    for name in run.models:
        opener = Opener(Decoding(exact=True))
        with ExitStack() as stack:
            stack.enter_context(opener)
            critic = stack.enter_context(closing(load_critic(find_card(name), run.load)))
            setup = describe_asking(critic, opener, run.most_tokens)
            files[name] = _append(run, items, name, setup, lambda todo: _ask(run, todo, critic, opener))  # noqa: B023
    code = report(run, list(files.values()), items)
    return code, {name: latest(read_lines([file])) for name, file in files.items()}


def report(run: Run, files: Sequence[Path], items: Sequence[Item] = ()) -> ExitCode:
    """Evaluate lines and write the report; 3 where items could not be asked."""
    from aescli.benchmarking.evaluating import evaluate

    asked = {item.name for item in items}
    lines = [line for line in latest(read_lines(files)) if not asked or line.item in asked]
    if not lines:
        raise AesError("there are no lines to evaluate", hint="aes bench scores --data labels.csv --model mini")
    recorded = _recorded(run, lines)
    evaluated = evaluate([*lines, *chain.from_iterable(recorded.values())])
    records = [*_with_sources(evaluated.records, recorded), *_published(run, lines)]
    show(BenchReport(tuple(records), evaluated.lines, evaluated.notes), run.format, run.output, run.thumbnails)
    failed = sum(not line.is_done() for line in lines)
    if failed:
        console.print_note(f"{failed} items failed; running again tries them again")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def show(found: BenchReport, wanted: str, output: Path | None, thumbnails: bool = True) -> None:
    """Write a report to its file or to stdout; notes go to stderr."""
    form = choose_bench_format(wanted, output, on_terminal=sys.stdout.isatty())
    for note in found.notes:
        console.print_note(f"note: {note}")
    if form == "html":
        from aescli.writers.bench_page import write_page

        content = write_page(found, make_thumbnail if thumbnails else None)
    else:
        content = show_records(found.records, form, colour=output is None and console.wants_colour(sys.stdout))
    if output is None:
        with console.standard_output() as stream:
            stream.write(content)
        return
    with replace_file(output) as stream:
        stream.write(content)
    console.print_note(f"written to {escape(str(output))}")


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


def _append(run: Run, items: Sequence[Item], model: str, setup: dict[str, object], infer: _Infer) -> Path:
    """Append the lines that are missing, one by one as they come, and return their file."""
    suite, split = items[0].suite, items[0].split
    file = run.runs / file_name(suite, split, model, with_template(setup, items[0]))
    with stopping(), appending(file, fresh=run.fresh) as lines:
        todo = [item for item in items if item.name not in lines.done]
        if len(todo) < len(items):
            console.print_note(f"{model}: {len(items) - len(todo)} of {len(items)} are in {escape(str(file))} already")
        if todo:
            _fill(lines, infer(todo), len(todo), model)
    return file


def _fill(lines: Appender, found: Generator[Line], total: int, model: str) -> None:
    cost, priced = 0.0, False
    with closing(found), console.Bar(lambda: total, model) as bar:
        for line in found:
            lines.add(line)
            bar.advance(line)
            cost, priced = cost + (line.cost or 0.0), priced or line.cost is not None
    if priced:
        console.print_note(f"{model}: {cost:.4f} spent on these {total} items")


def _score(run: Run, items: Sequence[Item], scorer: Scorer, opener: Opener) -> Generator[Line]:
    take_over_pillow()
    card = scorer.card
    start = Line(
        suite="", split="", item="", model=card.id, revision=card.revision, trained_on=card.trained_on,
        leaks=card.leaks, setup=fingerprint(scorer, opener.decoding),
    )  # fmt: skip
    rows = score_all(
        (Found(str(item.path)) for item in items), scorer, Settings(opener), None,
        workers=run.workers or usable_cpus(), batch_size=run.batch_size or scorer.batch_size,
    )  # fmt: skip
    with closing(rows):
        endpoint = run.load.endpoint
        yield from score_lines(items, rows, start, (endpoint.price_in, endpoint.price_out))


def _ask(run: Run, items: Sequence[Item], critic: Critic, opener: Opener) -> Generator[Line]:
    take_over_pillow()
    endpoint = run.load.endpoint
    yield from ask_all(
        items, critic, opener, most_tokens=run.most_tokens, price=(endpoint.price_in, endpoint.price_out)
    )


def _recorded(run: Run, lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines of recorded baselines that are of the same suites and splits."""
    parts = {(line.suite, line.split) for line in lines}
    found: dict[str, list[Line]] = {}
    for name in run.baselines:
        if name != PUBLISHED:
            found[name] = [line for line in latest(read_lines([Path(name)])) if (line.suite, line.split) in parts]
            if not found[name]:
                listed = ", ".join(f"{suite}/{split}" for suite, split in sorted(parts))
                console.print_note(f"note: {escape(name)} has no lines of {escape(listed)}")
    return found


def _with_sources(records: Iterable[Record], recorded: dict[str, list[Line]]) -> Iterator[Record]:
    """Name the file where a model's numbers are of recorded lines."""
    of_files = {line.model: name for name, lines in recorded.items() for line in lines}
    for record in records:
        name = of_files.get(record.model)
        yield replace(record, note="; ".join(filter(None, (f"recorded: {name}", record.note)))) if name else record


def _published(run: Run, lines: Sequence[Line]) -> list[Record]:
    if PUBLISHED not in run.baselines:
        return []
    records: list[Record] = []
    for suite, split in dict.fromkeys((line.suite, line.split) for line in lines):
        found = comparable(suite, split)
        if not found:
            console.print_note(f"note: no published numbers of {escape(suite)} {escape(split)} are in this package")
        records += found
    return records
