"""How a suite runs: inference to lines where they are missing, then evaluation of all lines, then a report."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from aescli.benchmarking.asking import ask_all, describe_asking, is_about, restate, score_lines, with_template
from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Appender, Line, appending, file_name, latest, read_lines
from aescli.cli import bench_reporting, console
from aescli.cli.bench_options import ModelOptions, ReportOptions
from aescli.cli.stopping import stopping
from aescli.engines.local import score_all
from aescli.errors import ExitCode, PictureError
from aescli.images.find import Found
from aescli.images.fingerprints import fingerprint as fingerprint_picture
from aescli.images.opening import Opener
from aescli.images.picture import Decoding, take_over_pillow
from aescli.images.source import read_file
from aescli.models.base import Critic, Scorer
from aescli.models.loading import load_critic, load_scorer
from aescli.models.seen import read_seen
from aescli.names import escape
from aescli.registry import find_card
from aescli.runtime import usable_cpus
from aescli.scoring import Settings, fingerprint

_Infer = Callable[[Sequence[Item]], Generator[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a suite's command was told.

    Args:
        models: names.
        options: how they are run, and where their lines are kept.
        report: what becomes of the lines.
        batch_size: pictures at once; None for the model's own choice.
        workers: threads; None for one for each CPU.
        most_tokens: of an answer.

    """

    models: Sequence[str]
    options: ModelOptions
    report: ReportOptions
    batch_size: int | None = None
    workers: int | None = None
    most_tokens: int = 512

    def check(self) -> None:
        """Refuse what cannot end well before anything is loaded.

        Raises:
            UsageError: an unknown model, format or detail, a baseline that is not there.

        """
        bench_reporting.check(self.report)
        self.options.load()
        for name in self.models:
            find_card(name)


def run_scorers(run: Run, items: Sequence[Item], dimensions: Iterable[str] = ()) -> ExitCode:
    """Let every model score what it has not scored yet, and report; or say what an endpoint would take."""
    if run.options.estimate:
        return _estimate(run, items)
    wanted = set(dimensions)
    files = []
    for name in run.models:
        card = find_card(name)
        names = tuple(each for each in card.dimension_names() if each in wanted)
        opener = Opener(Decoding(exact=card.exact))
        with ExitStack() as stack:
            stack.enter_context(opener)
            scorer = stack.enter_context(closing(load_scorer(card, names, run.options.load())))
            setup = fingerprint(scorer, opener.decoding)
            files.append(_append(run, items, name, setup, lambda todo: _score(run, todo, scorer, opener)))  # noqa: B023
    return bench_reporting.report(run.report, files, items)


def run_critics(run: Run, items: Sequence[Item]) -> tuple[ExitCode, dict[str, list[Line]]]:
    """Let every model answer what it has not answered yet, and report; the lines of each are returned too.

    Where only an estimate is wanted nothing is asked, and there are no lines.
    """
    if run.options.estimate:
        return _estimate(run, items), {}
    files: dict[str, Path] = {}
    for name in run.models:
        opener = Opener(Decoding(exact=True))
        with ExitStack() as stack:
            stack.enter_context(opener)
            critic = stack.enter_context(closing(load_critic(find_card(name), run.options.load())))
            setup = describe_asking(critic, opener, run.most_tokens)
            files[name] = _append(run, items, name, setup, lambda todo: _ask(run, todo, critic, opener))  # noqa: B023
    code = bench_reporting.report(run.report, list(files.values()), items)
    return code, {name: latest(read_lines([file])) for name, file in files.items()}


def _append(run: Run, items: Sequence[Item], model: str, setup: dict[str, object], infer: _Infer) -> Path:
    """Append the lines that are missing, one by one as they come, and return their file."""
    suite, split = items[0].suite, items[0].split
    file = run.options.runs / file_name(suite, split, model, with_template(setup, items[0]))
    with stopping(), appending(file, fresh=run.options.fresh) as lines:
        todo = list(_missing(lines, items))
        if len(todo) < len(items):
            console.print_note(f"{model}: {len(items) - len(todo)} of {len(items)} are in {escape(str(file))} already")
        if todo:
            _fill(lines, infer(todo), len(todo), model)
    return file


def _missing(lines: Appender, items: Sequence[Item]) -> Iterator[Item]:
    """Yield the items that must be asked; of others a line is added where labels or keys are not what they were."""
    for item in items:
        line = lines.kept.get(item.name)
        if line is None or not is_about(line, item):
            yield item
        elif replace(restate(line, item), path=line.path) != line:
            lines.add(restate(line, item))


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
    seen = read_seen(card.folder)
    with closing(rows):
        for line in score_lines(items, rows, start, _prices(run)):
            look = _look_at(line, opener)
            yield replace(line, look="" if look is None else f"{look:016x}", seen=seen.holds(line.sha256, look))


def _look_at(line: Line, opener: Opener) -> int | None:
    """Return the difference hash of a line's picture; None where it could not be read."""
    if line.error_code:
        return None
    try:
        with opener.open(read_file(line.path).data, line.path) as view:
            return fingerprint_picture(view)
    except PictureError:
        return None


def _ask(run: Run, items: Sequence[Item], critic: Critic, opener: Opener) -> Generator[Line]:
    take_over_pillow()
    yield from ask_all(items, critic, opener, most_tokens=run.most_tokens, price=_prices(run))


def _prices(run: Run) -> tuple[float, float]:
    return run.options.price_in, run.options.price_out


def _estimate(run: Run, items: Sequence[Item]) -> ExitCode:
    """Say what each endpoint would take at most; nothing is asked, and no key is needed."""
    from aescli.models.endpoint import LEVEL_TOKENS, ask_for_level, estimate
    from aescli.models.level_choices import LevelChoices

    level, endpoint = ask_for_level(LevelChoices()), run.options.load().endpoint
    for name in run.models:
        if find_card(name).family != "endpoint":
            console.print_note(f"{name} runs here and costs nothing")
            continue
        found = [
            estimate(1, [item.prompt or level], run.most_tokens if item.prompt else LEVEL_TOKENS, endpoint)
            for item in items
        ]
        for key in found[0]:
            console.print_text(f"{name}  {key.replace('_', ' '):<20} {sum(each[key] for each in found):g}")
    return ExitCode.OK
