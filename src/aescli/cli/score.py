"""`aes score`: one row for each picture."""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO, Self

import typer

from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.cli.writing import named_file, on_terminal, open_output
from aescli.embeddings import score_embeddings
from aescli.engines.local import score_all
from aescli.errors import ErrorCode, ExitCode, NothingMatched, StoreFailed, TooManyFailed, UsageError
from aescli.home import aes_home
from aescli.images.find import STANDARD_INPUT, Found, Selection, check_words, find
from aescli.images.isolation import Limits
from aescli.images.opening import ISOLATIONS, Opener
from aescli.images.picture import MAX_PIXELS, Decoding, take_over_pillow
from aescli.models.base import BACKENDS, EndpointOptions, LoadOptions, Scorer
from aescli.models.loading import load_scorer
from aescli.names import escape
from aescli.registry import choose_dimensions, find_card
from aescli.results import Row, Score
from aescli.runtime import usable_cpus
from aescli.scoring import Settings, fingerprint
from aescli.selecting import Choice, select
from aescli.store import Store
from aescli.writers.base import Writer
from aescli.writers.opening import choose_format, open_writer
from aescli.writers.paths import PathWriter

_SORTS = ("path", "score")
_CHECKS = ("stat", "content")
_FAILURES = ("error", "none")


def score(
    context: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Files, folders, globs, or - for a list on stdin.")
    ] = None,
    *,
    model: options.ModelOption = "mini",
    dims: options.DimsOption = "overall",
    format: options.FormatOption = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", rich_help_panel=options.OUTPUT, help="Write to a file instead of stdout.")] = None,
    sort: Annotated[str | None, typer.Option(envvar="AES_SORT", metavar="path|score", rich_help_panel=options.OUTPUT, help="Order of the rows; that of the input otherwise.")] = None,
    top: Annotated[int | None, typer.Option(min=1, rich_help_panel=options.OUTPUT, help="Only this many of the best.")] = None,
    min_score: Annotated[float | None, typer.Option(rich_help_panel=options.OUTPUT, help="Only pictures with at least this overall.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=options.OUTPUT, help="Print paths only.")] = False,
    null: Annotated[bool, typer.Option("-0", "--null", rich_help_panel=options.OUTPUT, help="Print paths only, as raw bytes with NUL behind each.")] = False,
    files_from: Annotated[list[str] | None, typer.Option(metavar="FILE", rich_help_panel=options.INPUTS, help="Read paths from a file, one a line or NUL-separated.")] = None,
    include: Annotated[list[str] | None, typer.Option(envvar="AES_INCLUDE", metavar="PATTERN", rich_help_panel=options.INPUTS, help="In folders, only what matches.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(envvar="AES_EXCLUDE", metavar="PATTERN", rich_help_panel=options.INPUTS, help="In folders, nothing that matches.")] = None,
    all_files: Annotated[bool, typer.Option("--all-files/--no-all-files", rich_help_panel=options.INPUTS, help="In folders, whatever the suffix.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", envvar="AES_FOLLOW", rich_help_panel=options.INPUTS, help="In folders, links too; each folder once.")] = False,
    report_skipped: Annotated[bool, typer.Option("--report-skipped", rich_help_panel=options.INPUTS, help="A row, code skipped, for what folders hold beside pictures.")] = False,
    exact_decode: Annotated[bool, typer.Option("--exact-decode/--no-exact-decode", envvar="AES_EXACT_DECODE", rich_help_panel=options.RUNNING, help="Decode JPEGs in full: slower, no more accurate.")] = False,
    allow_truncated: Annotated[bool, typer.Option("--allow-truncated/--no-allow-truncated", rich_help_panel=options.RUNNING, help="Score files that end too early, with a flag.")] = False,
    isolate: Annotated[str, typer.Option(envvar="AES_ISOLATE", metavar="auto|on|off", rich_help_panel=options.RUNNING, help="Decode in processes of their own; auto does so for RAW, HEIC and AVIF.")] = "auto",
    timeout: Annotated[float, typer.Option(envvar="AES_TIMEOUT", min=0.1, rich_help_panel=options.RUNNING, help="Seconds that a decoder may take for a picture.")] = Limits().seconds,
    max_pixels: Annotated[int, typer.Option(envvar="AES_MAX_PIXELS", min=1, rich_help_panel=options.RUNNING, help="Refuse larger pictures.")] = MAX_PIXELS,
    embeddings: Annotated[Path | None, typer.Option(metavar="FILE", rich_help_panel=options.INPUTS, help="Score stored CLIP embeddings, a Parquet file with path and embedding, and no pictures.")] = None,
    read_out: options.ReadOutOption = None,
    max_tiles: options.MaxTilesOption = None,
    tree: Annotated[bool, typer.Option("--tree", rich_help_panel=options.OUTPUT, help="Show one picture's dimensions as a tree.")] = False,
    backend: options.BackendOption = "auto",
    unverified: options.UnverifiedOption = False,
    trust_remote_code: options.TrustOption = False,
    base_url: options.BaseUrlOption = None,
    price_in: options.PriceInOption = 0.0,
    price_out: options.PriceOutOption = 0.0,
    max_cost: options.MaxCostOption = None,
    device: options.DeviceOption = "auto",
    batch_size: options.BatchSizeOption = None,
    data_type: options.DataTypeOption = "auto",
    workers: options.WorkersOption = None,
    store: Annotated[Path | None, typer.Option(envvar="AES_STORE", rich_help_panel=options.KEEPING, help="Keep finished rows in this file.")] = None,
    no_store: Annotated[bool, typer.Option("--no-store", envvar="AES_NO_STORE", rich_help_panel=options.KEEPING, help="Keep nothing.")] = False,
    fail_on: Annotated[str, typer.Option(envvar="AES_FAIL_ON", metavar="error|none", rich_help_panel=options.RUNNING, help="Exit 3 when pictures failed, or 0.")] = "error",
    max_errors: Annotated[int | None, typer.Option(envvar="AES_MAX_ERRORS", min=0, rich_help_panel=options.RUNNING, help="Stop with exit 1 once more pictures failed.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", rich_help_panel=options.KEEPING, help="Score again what is kept.")] = False,
    check: Annotated[str, typer.Option(envvar="AES_CHECK", metavar="stat|content", rich_help_panel=options.KEEPING, help="Tell changed files by size and time, or by SHA-256.")] = "stat",
) -> ExitCode:  # fmt: skip
    """Score pictures, one row each; running again continues.

    aes score ./photos --dims all        a table on a terminal, CSV in a pipe

    aes score ./photos -o scores.parquet --top 100
    """
    _refuse_unless(sort, _SORTS, "--sort")
    _refuse_unless(check, _CHECKS, "--check")
    _refuse_unless(isolate, ISOLATIONS, "--isolate")
    _refuse_unless(backend, BACKENDS, "--backend")
    _refuse_unless(fail_on, _FAILURES, "--fail-on")
    selection = Selection(tuple(include or ()), tuple(exclude or ()), all_files, follow, report_skipped)
    inputs = _Inputs(tuple(paths or ()), tuple(files_from or ()), selection)
    if embeddings is None:
        inputs.check()
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError("--min-score is no number", hint="--min-score 6.5")
    card = find_card(model)
    names = choose_dimensions(card, "all" if tree else dims)
    layout = _Layout.chosen(format, output, names, paths_only=quiet or null, nul=null, tree=tree)
    choice, tally = Choice(sort, top, min_score), _Tally(max_errors)
    if embeddings is not None:
        with stopping(), closing(score_embeddings(embeddings, card)) as stored:
            _show(stored, choice, layout, inputs, tally)
        return _close(tally, inputs, None, layout, fail_on)
    opener = Opener(Decoding(exact_decode or card.exact, max_pixels, allow_truncated), isolate, Limits(timeout))
    settings = Settings(opener, by_content=check == "content", fresh=fresh)
    found = inputs.first_and_rest()
    wanted = LoadOptions(
        device=device, data_type=data_type, read_out=read_out, max_tiles=max_tiles, backend=backend,
        unverified=unverified, trust_remote_code=trust_remote_code,
        endpoint=EndpointOptions(base_url=base_url, price_in=price_in, price_out=price_out, max_cost=max_cost, fresh=fresh),
    )  # fmt: skip
    scorer = load_scorer(card, names, wanted)
    if card.warning:
        console.print_note(f"note: {card.id} is {card.warning}")
    take_over_pillow()
    # Measuring holds the interpreter's lock for part of the time: one thread more fills the gaps (5% at 2 CPUs).
    threads = workers or usable_cpus() + bool(names)
    size = batch_size or scorer.batch_size
    with (
        stopping(),
        opener,
        closing(scorer),
        _open_store(store, scorer, opener.decoding, wanted=_is_kept(context, no_store=no_store)) as keeper,
        closing(score_all(found, scorer, settings, keeper, workers=threads, batch_size=size)) as rows,
    ):
        _show(rows, choice, layout, inputs, tally)
    return _close(tally, inputs, keeper, layout, fail_on)


@dataclass(frozen=True)
class _Inputs:
    """What the command names, and what walks passed over."""

    words: tuple[str, ...]
    files_from: tuple[str, ...]
    selection: Selection
    skipped: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        if not self.words and not self.files_from:
            raise UsageError("no pictures are named", hint="aes score .   for this folder")
        check_words(self.words, self.files_from)

    def first_and_rest(self) -> Iterator[Found]:
        """Return the inputs once it is known that there is one: before any weight is loaded."""
        found = find(self.words, self.selection, files_from=self.files_from, skipped=self.skipped)
        first = next(found, None)
        if first is None:
            passed = _reasons(self.skipped)
            raise NothingMatched(
                f"no picture in {', '.join(map(escape, (*self.words, *self.files_from)))}{passed}",
                hint="--all-files takes every suffix" if passed else "",
            )
        return chain([first], found)

    def count(self) -> int:
        return sum(1 for _ in find(self.words, self.selection, files_from=self.files_from))

    def can_be_counted(self) -> bool:
        # A list may be a pipe, which can be read only once.
        return bool(self.words) and not self.files_from and STANDARD_INPUT not in self.words


@dataclass(frozen=True)
class _Layout:
    """How and where rows are written."""

    format: str
    target: Path | None
    dimensions: tuple[str, ...]
    paths_only: bool
    nul: bool

    @classmethod
    def chosen(
        cls, format: str, output: Path | None, dimensions: tuple[str, ...], *, paths_only: bool, nul: bool, tree: bool
    ) -> Self:
        target = named_file(output)
        shown = "csv" if paths_only and format == "auto" else format
        if tree and (format != "auto" or (target and target.suffix != ".txt")):
            raise UsageError("--tree is a form of its own", hint="leave --format out, and write to a .txt file")
        name = "tree" if tree else choose_format(shown, target, on_terminal=sys.stdout.isatty())
        return cls(name, target, dimensions, paths_only, nul)

    def writer(self, stream: BinaryIO) -> Writer:
        if self.paths_only:
            return PathWriter(stream, nul=self.nul)
        colour = self.target is None and console.wants_colour(sys.stdout)
        return open_writer(self.format, stream, self.dimensions, colour=colour)


@dataclass
class _Tally:
    """What came out, for the closing line; more than `max_errors` failures end the run."""

    max_errors: int | None = None
    scored: int = 0
    failed: int = 0
    started: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        if isinstance(row, Score):
            self.scored += 1
        elif row.code is not ErrorCode.SKIPPED:
            self.failed += 1
            self.codes[row.code] += 1
            if self.max_errors is not None and self.failed > self.max_errors:
                raise TooManyFailed(
                    f"{self.failed} pictures failed ({_listed(self.codes)}), --max-errors allows {self.max_errors}",
                    hint="what is scored is kept: running again continues",
                )

    def sentence(self, skipped: Counter[str], keeper: Store | None, target: Path | None) -> str:
        seconds = time.perf_counter() - self.started
        rate = (self.scored + self.failed) / max(seconds, 1e-9)
        failed = f", {self.failed} failed ({_listed(self.codes)})" if self.failed else ""
        reused = f", {keeper.found} of them kept from before" if keeper and keeper.found else ""
        written = f"; written to {escape(str(target))}" if target else ""
        kept = f"; rows are kept in {escape(str(keeper.file))}" if keeper else ""
        return (
            f"{self.scored} scored{reused}{failed}{_reasons(skipped)} in {seconds:.1f} s ({rate:.1f} pictures/s)"
            f"{written}{kept}"
        )


def _show(rows: Iterable[Row], choice: Choice, layout: _Layout, inputs: _Inputs, tally: _Tally) -> None:
    """Write the chosen rows as they come, and count all."""
    tally.started = time.perf_counter()
    to_terminal = on_terminal(layout.target)
    with open_output(layout.target) as stream:
        writer = layout.writer(stream)  # a table's head is written before the bar is there
        pace, waiting = console.Pace(), list[Row]()
        with console.Bar(inputs.count if inputs.can_be_counted() else None) as bar:
            for row in select(_counted(rows, tally, bar), choice):
                waiting.append(row)
                if not to_terminal or pace.is_due():
                    _write(waiting, writer, stream, bar, flush=layout.target is None)
        _write(waiting, writer, stream, bar, flush=layout.target is None)
        writer.finish()


def _close(tally: _Tally, inputs: _Inputs, keeper: Store | None, layout: _Layout, fail_on: str) -> ExitCode:
    """Say what came out, and return how the run ended."""
    console.print_note(tally.sentence(inputs.skipped, keeper, layout.target))
    if not tally.scored and not tally.failed:
        return ExitCode.NOTHING_MATCHED  # every row says what was skipped
    return ExitCode.SOME_FAILED if tally.failed and fail_on == "error" else ExitCode.OK


def _counted(rows: Iterable[Row], tally: _Tally, bar: console.Bar) -> Iterator[Row]:
    for row in rows:
        tally.add(row)
        bar.advance(row)
        yield row


def _write(waiting: list[Row], writer: Writer, stream: BinaryIO, bar: console.Bar, *, flush: bool) -> None:
    with bar.hidden() if sys.stdout.isatty() and flush else nullcontext():
        for row in waiting:
            writer.write(row)
        if flush:
            stream.flush()
    waiting.clear()


def _is_kept(context: typer.Context, *, no_store: bool) -> bool:
    """Decide between `no_store` and `store`: the one that is said nearer to the command wins."""
    nearness = {"COMMANDLINE": 3, "ENVIRONMENT": 2, "DEFAULT_MAP": 1}

    def said(name: str) -> int:
        source = context.get_parameter_source(name)
        return nearness.get(source.name, 0) if source else 0

    return not no_store or said("store") > said("no_store")


@contextmanager
def _open_store(file: Path | None, scorer: Scorer, decoding: Decoding, *, wanted: bool) -> Iterator[Store | None]:
    """Open the named store; the default one may fail where there is no home, and the run goes on without."""
    key = fingerprint(scorer, decoding)
    store = None
    if wanted and file:
        store = Store(file, key)
    elif wanted:
        try:
            store = Store(aes_home() / "scores.db", key)
        except StoreFailed as error:
            console.print_note(f"note: rows are not kept: {error.message}")
    with store or nullcontext():
        yield store


def _refuse_unless(word: str | None, known: tuple[str, ...], option: str) -> None:
    if word is not None and word not in known:
        raise UsageError(f"'{word}' is no value of {option}", hint=f"{option} {'|'.join(known)}")


def _reasons(skipped: Counter[str]) -> str:
    return f", {skipped.total()} skipped ({_listed(skipped)})" if skipped else ""


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
