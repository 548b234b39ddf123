"""`aes score`: one row for each picture."""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Self

import typer

from aescli import remote
from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.embeddings import score_embeddings
from aescli.engines.base import Engine, Job
from aescli.engines.local import open_local
from aescli.engines.ray_data import Cluster, RayEngine
from aescli.errors import ErrorCode, ExitCode, Stopped, StoreFailed, TooManyFailed, UsageError
from aescli.home import aes_home
from aescli.images.find import Selection
from aescli.images.isolation import Limits
from aescli.images.opening import ISOLATIONS
from aescli.images.picture import MAX_PIXELS, Decoding, take_over_pillow
from aescli.inputs import SHARD, Inputs, Shard, list_counts, list_reasons
from aescli.models.base import BACKENDS, Described, EndpointOptions, LoadOptions
from aescli.names import escape
from aescli.output import replace_target
from aescli.registry import choose_dimensions, find_card
from aescli.results import Row, Score
from aescli.scoring import Settings, fingerprint
from aescli.selecting import Choice, select
from aescli.store import Store
from aescli.writers.base import Writer
from aescli.writers.opening import choose_format, open_writer
from aescli.writers.parts import open_parts
from aescli.writers.paths import PathWriter

_READERS = 16  # threads at least, where each waits for a server most of the time
_ENGINES = ("local", "ray")
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
    output: options.OutputOption = None,
    sort: Annotated[str | None, typer.Option(envvar="AES_SORT", metavar="path|score", rich_help_panel=options.OUTPUT, help="Order of the rows; that of the input otherwise.")] = None,
    top: Annotated[int | None, typer.Option(min=1, rich_help_panel=options.OUTPUT, help="Only this many of the best.")] = None,
    min_score: Annotated[float | None, typer.Option(rich_help_panel=options.OUTPUT, help="Only pictures with at least this overall.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=options.OUTPUT, help="Print paths only.")] = False,
    null: Annotated[bool, typer.Option("-0", "--null", rich_help_panel=options.OUTPUT, help="Print paths only, as raw bytes with NUL behind each.")] = False,
    files_from: options.FilesFromOption = None,
    column: options.ColumnOption = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", rich_help_panel=options.INPUTS, help="Only every N-th input, from the I-th on, counted from 0; RANK and WORLD_SIZE say so too.")] = None,
    include: options.IncludeOption = None,
    exclude: options.ExcludeOption = None,
    all_files: options.AllFilesOption = False,
    follow: options.FollowOption = False,
    report_skipped: Annotated[bool, typer.Option("--report-skipped", rich_help_panel=options.INPUTS, help="A row, code skipped, for what folders hold beside pictures.")] = False,
    exact_decode: Annotated[bool, typer.Option("--exact-decode/--no-exact-decode", envvar="AES_EXACT_DECODE", rich_help_panel=options.RUNNING, help="Decode JPEGs in full: slower, no more accurate.")] = False,
    allow_truncated: Annotated[bool, typer.Option("--allow-truncated/--no-allow-truncated", envvar="AES_ALLOW_TRUNCATED", rich_help_panel=options.RUNNING, help="Score files that end too early, with a flag.")] = False,
    isolate: Annotated[str, typer.Option(envvar="AES_ISOLATE", metavar="auto|on|off", rich_help_panel=options.RUNNING, help="Decode in processes of their own; auto does so for RAW, HEIC and AVIF.")] = "auto",
    timeout: Annotated[float, typer.Option(envvar="AES_TIMEOUT", min=0.1, rich_help_panel=options.RUNNING, help="Seconds that a decoder may take for a picture.")] = Limits().seconds,
    max_pixels: options.MaxPixelsOption = MAX_PIXELS,
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
    engine: Annotated[str, typer.Option(envvar="AES_ENGINE", metavar="local|ray", rich_help_panel=options.CLUSTER, help="Threads of this process, or actors of a Ray cluster.")] = "local",
    ray_address: Annotated[str | None, typer.Option(envvar="RAY_ADDRESS", metavar="ADDRESS", rich_help_panel=options.CLUSTER, help="Join this cluster; otherwise one is started here.")] = None,
    actors: Annotated[int | None, typer.Option(envvar="AES_ACTORS", min=1, rich_help_panel=options.CLUSTER, help="How many; one for each GPU otherwise, else for each CPU.")] = None,
    gpus_per_actor: Annotated[float | None, typer.Option(envvar="AES_GPUS_PER_ACTOR", min=0.0, rich_help_panel=options.CLUSTER, help="May be a part of one; 1 otherwise, where there are any.")] = None,
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
    _refuse_unless(engine, _ENGINES, "--engine")
    if engine == "ray" and check == "content":
        raise UsageError("--engine ray does not know files by content", hint="--check stat")
    _refuse_unless(fail_on, _FAILURES, "--fail-on")
    selection = Selection(tuple(include or ()), tuple(exclude or ()), all_files, follow, report_skipped, column)
    inputs = Inputs(tuple(paths or ()), selection, tuple(files_from or ()), _choose_shard(shard, output))
    if embeddings is None:
        inputs.check()
    elif inputs.shard:
        raise UsageError("--embeddings are scored whole, in seconds", hint="leave --shard out")
    if min_score is not None and not math.isfinite(min_score):
        raise UsageError("--min-score is no number", hint="--min-score 6.5")
    card = find_card(model)
    names = choose_dimensions(card, "all" if tree else dims)
    target = output.replace(SHARD, str(inputs.shard)) if output is not None else None
    layout = _Layout.chosen(format, target, names, paths_only=quiet or null, nul=null, tree=tree)
    choice, tally = Choice(sort, top, min_score), _Tally(max_errors)
    if embeddings is not None:
        with stopping(), closing(score_embeddings(embeddings, card)) as stored:
            _show(stored, choice, layout, inputs, tally)
        return _close(tally, inputs, None, layout, fail_on)
    found = inputs.first_and_rest()
    wanted = LoadOptions(
        device=device, data_type=data_type, read_out=read_out, max_tiles=max_tiles, backend=backend,
        unverified=unverified, trust_remote_code=trust_remote_code,
        endpoint=EndpointOptions(base_url=base_url, price_in=price_in, price_out=price_out, max_cost=max_cost, fresh=fresh),
    )  # fmt: skip
    job = Job(
        card=card, dimensions=names, options=wanted, isolate=isolate, limits=Limits(timeout), workers=workers,
        decoding=Decoding(exact_decode or card.exact, max_pixels, allow_truncated), batch_size=batch_size,
        readers=0 if workers or not inputs.are_remote() else _READERS,
    )  # fmt: skip
    opener = job.opener()
    settings = Settings(opener, by_content=check == "content", fresh=fresh)
    if engine == "ray":
        runner: Engine = RayEngine(job, Cluster(address=ray_address, actors=actors, gpus=gpus_per_actor))
    else:
        runner = open_local(job)
    if card.warning:
        console.print_note(f"note: {card.id} is {card.warning}")
    take_over_pillow()
    with (
        closing(runner),
        stopping(),
        opener,
        _open_store(store, runner.scorer, opener.decoding, wanted=_is_kept(context, no_store=no_store)) as keeper,
        _advising(keeper),
        closing(runner.score_all(found, settings, keeper)) as rows,
    ):
        _show(rows, choice, layout, inputs, tally)
    return _close(tally, inputs, keeper, layout, fail_on)


@contextmanager
def _advising(keeper: Store | None) -> Iterator[None]:
    """Say what a run that is stopped has lost."""
    try:
        yield
    except Stopped as stop:
        if keeper is None:
            stop.advice = "no row was kept: the same command begins anew"
        raise


@dataclass(frozen=True)
class _Layout:
    """How and where rows are written."""

    format: str
    target: str | None
    dimensions: tuple[str, ...]
    paths_only: bool
    nul: bool

    @classmethod
    def chosen(
        cls, format: str, output: str | None, dimensions: tuple[str, ...], *, paths_only: bool, nul: bool, tree: bool
    ) -> Self:
        target = None if output == "-" else output
        if target and remote.is_remote(target):
            remote.check_target(target)
        shown = "csv" if paths_only and format == "auto" else format
        if tree and (format != "auto" or (target and not target.endswith(".txt"))):
            raise UsageError("--tree is a form of its own", hint="leave --format out, and write to a .txt file")
        if target and target.endswith("/"):
            if format not in ("auto", "parquet") or paths_only or tree:
                raise UsageError(f"a folder takes parts in Parquet, and nothing else: {escape(target)}")
            shown = "parquet"
        file = None if target is None else Path(target)
        name = "tree" if tree else choose_format(shown, file, on_terminal=sys.stdout.isatty())
        return cls(name, target, dimensions, paths_only, nul)

    @contextmanager
    def open(self) -> Iterator[tuple[Writer, BinaryIO | None]]:
        """Give what writes rows, and standard output where they go there: somebody may be waiting for them."""
        if self.target is None:
            with console.standard_output() as stream:
                yield self._writer(stream), stream
        elif self.target.endswith("/"):
            with open_parts(self.target, self.dimensions) as writer:
                yield writer, None
        else:
            with replace_target(self.target) as file:
                yield self._writer(file), None

    def _writer(self, stream: BinaryIO) -> Writer:
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
                    f"{self.failed} pictures failed ({list_counts(self.codes)}), --max-errors allows {self.max_errors}",
                    hint="what is scored is kept: running again continues",
                )

    def sentence(self, skipped: Counter[str], keeper: Store | None, target: str | None) -> str:
        seconds = time.perf_counter() - self.started
        rate = (self.scored + self.failed) / max(seconds, 1e-9)
        failed = f", {self.failed} failed ({list_counts(self.codes)})" if self.failed else ""
        reused = f", {keeper.found} of them kept from before" if keeper and keeper.found else ""
        written = f"; written to {escape(target)}" if target else ""
        kept = f"; rows are kept in {escape(str(keeper.file))}" if keeper else ""
        return (
            f"{self.scored} scored{reused}{failed}{list_reasons(skipped)} in {seconds:.1f} s ({rate:.1f} pictures/s)"
            f"{written}{kept}"
        )


def _show(rows: Iterable[Row], choice: Choice, layout: _Layout, inputs: Inputs, tally: _Tally) -> None:
    """Write the chosen rows as they come, and count all."""
    tally.started = time.perf_counter()
    to_terminal = layout.target is None and sys.stdout.isatty()
    with layout.open() as (writer, stdout):  # a table's head is written before the bar is there
        pace, waiting = console.Pace(), list[Row]()
        with console.Bar(inputs.count if inputs.can_be_counted() else None) as bar:
            for row in select(_counted(rows, tally, bar), choice):
                waiting.append(row)
                if not to_terminal or pace.is_due():
                    _write(waiting, writer, stdout, bar)
        _write(waiting, writer, stdout, bar)
        writer.finish()


def _close(tally: _Tally, inputs: Inputs, keeper: Store | None, layout: _Layout, fail_on: str) -> ExitCode:
    """Say what came out, and return how the run ended."""
    console.print_note(tally.sentence(inputs.skipped, keeper, layout.target))
    if not tally.scored and not tally.failed and not inputs.shard:
        return ExitCode.NOTHING_MATCHED  # every row says what was skipped
    return ExitCode.SOME_FAILED if tally.failed and fail_on == "error" else ExitCode.OK


def _counted(rows: Iterable[Row], tally: _Tally, bar: console.Bar) -> Iterator[Row]:
    for row in rows:
        tally.add(row)
        bar.advance(row)
        yield row


def _write(waiting: list[Row], writer: Writer, stdout: BinaryIO | None, bar: console.Bar) -> None:
    with bar.hidden() if sys.stdout.isatty() and stdout else nullcontext():
        for row in waiting:
            writer.write(row)
        if stdout:
            stdout.flush()
    waiting.clear()


def _is_kept(context: typer.Context, *, no_store: bool) -> bool:
    """Decide between `no_store` and `store`: the one that is said nearer to the command wins."""
    nearness = {"COMMANDLINE": 3, "ENVIRONMENT": 2, "DEFAULT_MAP": 1}

    def said(name: str) -> int:
        source = context.get_parameter_source(name)
        return nearness.get(source.name, 0) if source else 0

    return not no_store or said("store") > said("no_store")


@contextmanager
def _open_store(file: Path | None, scorer: Described, decoding: Decoding, *, wanted: bool) -> Iterator[Store | None]:
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


def _choose_shard(named: str | None, output: str | None) -> Shard | None:
    """Return the share that is asked for; processes that share the work may not share the output."""
    shard = Shard.parse(named) if named else Shard.of_process()
    if shard and not named:
        console.print_note(f"note: shard {shard.index} of {shard.count}, as RANK and WORLD_SIZE say")
        if output and SHARD not in output:
            raise UsageError(f"{shard.count} processes would write one output", hint=f"-o 'scores-{SHARD}.csv'")
    if output and SHARD in output and not shard:
        raise UsageError(f"{SHARD} stands for a shard, and there is none", hint="--shard 0/8")
    return shard


def _refuse_unless(word: str | None, known: tuple[str, ...], option: str) -> None:
    if word is not None and word not in known:
        raise UsageError(f"'{word}' is no value of {option}", hint=f"{option} {'|'.join(known)}")
