"""`aes bench SUITE`: one command for each suite; scorers rate labelled sets, critics answer questions."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import bench_options as shared
from aescli.cli import console, options
from aescli.errors import AesError, ExitCode, NothingMatched, PictureError, UsageError
from aescli.models.base import EndpointOptions, LoadOptions
from aescli.names import escape
from aescli.registry import find_card

if TYPE_CHECKING:
    from PIL import Image

    from aescli.benchmarking.items import Item
    from aescli.benchmarking.lines import Line
    from aescli.benchmarking.records import Record
    from aescli.cli.bench_running import Run
    from aescli.images.opening import Opener
    from aescli.labels.values import LabelledSet

_LONGEST = 1_600  # pixels of a picture that copies are made of


def register(app: typer.Typer) -> None:
    """Give the app a command for each suite."""
    for name, text in _LABELLED.items():
        app.command(name, help=text)(_labelled_command(name))
    for name, text in _ASKED.items():
        app.command(name, help=text)(_asked_command(name))
    app.command("aesbench")(aesbench)
    app.command("pairs")(pairs)
    app.command("robust")(robust)


_LABELLED = {
    "scores": "Scores against the labels of any set: srcc, plcc, krcc, rmse, mae, levels; overall and each dimension.",
    "humanbeauty": "The same for HumanBeauty, with what its authors print as MSE and MAE beside the true ones.",
    "ava": "The same for AVA.txt, with the share on the right side of 5; --only takes its lists of test pictures.",
}
_ASKED = {
    "uniaa": "UNIAA-Bench's multiple choice, UNIAA_QA.json.",
    "unipercept": "A multiple-choice file of UniPercept-Bench.",
}


def _labelled_command(suite: str) -> Callable[..., ExitCode]:
    def command(
        data: shared.DataOption,
        model: shared.ModelsOption = ["mini"],  # noqa: B006 - Typer wants a list
        baseline: shared.BaselineOption = None,
        only: shared.OnlyOption = None,
        scale: shared.RangeOption = None,
        limit: shared.LimitOption = None,
        power: shared.PowerOption = False,
        format: shared.BenchFormatOption = "auto",
        output: shared.OutputOption = None,
        thumbnails: shared.ThumbnailsOption = True,
        runs: shared.RunsOption = shared.RUNS,
        fresh: shared.FreshOption = False,
        device: options.DeviceOption = "auto",
        batch_size: options.BatchSizeOption = None,
        data_type: options.DataTypeOption = "auto",
        workers: options.WorkersOption = None,
        base_url: options.BaseUrlOption = None,
        image_side: shared.SideOption = shared.SIDE,
        detail: shared.DetailOption = shared.DETAIL,
        estimate: shared.EstimateOption = False,
        price_in: options.PriceInOption = 0.0,
        price_out: options.PriceOutOption = 0.0,
        max_cost: options.MaxCostOption = None,
    ) -> ExitCode:
        from aescli.benchmarking.labelled import labelled_items, read_names
        from aescli.benchmarking.power import correlation_power
        from aescli.cli.bench_running import Run, run_scorers
        from aescli.labels.reading import read_labels

        endpoint = EndpointOptions(
            base_url=base_url, side=image_side, detail=_checked(detail), price_in=price_in, price_out=price_out,
            max_cost=max_cost, fresh=fresh,
        )  # fmt: skip
        load = LoadOptions(device=device, data_type=data_type, endpoint=endpoint)
        run = Run(
            models=model, baselines=baseline or (), runs=runs, format=format, output=output, thumbnails=thumbnails,
            fresh=fresh, load=load, batch_size=batch_size, workers=workers,
        )  # fmt: skip
        run.check()
        found = read_labels(data)
        names = read_names(only) if only else frozenset[str]()
        stated = _read_range(scale) or ((0.0, 1.0) if suite == "humanbeauty" else None)
        items = labelled_items(found, suite, scale=stated, only=names)[:limit]
        _tell_of(found)
        if power:
            return _show_power(correlation_power(suite, found.name, len(items)), run)
        return _estimate(run, items) if estimate else run_scorers(run, items, found.dimensions)

    return command


def _asked_command(suite: str) -> Callable[..., ExitCode]:
    def command(
        data: shared.DataOption,
        model: shared.ModelsOption,
        baseline: shared.BaselineOption = None,
        limit: shared.LimitOption = None,
        power: shared.PowerOption = False,
        format: shared.BenchFormatOption = "auto",
        output: shared.OutputOption = None,
        thumbnails: shared.ThumbnailsOption = True,
        runs: shared.RunsOption = shared.RUNS,
        fresh: shared.FreshOption = False,
        max_tokens: shared.TokensOption = 1024,
        device: options.DeviceOption = "auto",
        data_type: options.DataTypeOption = "auto",
        base_url: options.BaseUrlOption = None,
        image_side: shared.SideOption = shared.SIDE,
        detail: shared.DetailOption = shared.DETAIL,
        estimate: shared.EstimateOption = False,
        price_in: options.PriceInOption = 0.0,
        price_out: options.PriceOutOption = 0.0,
        max_cost: options.MaxCostOption = None,
    ) -> ExitCode:
        from aescli.benchmarking import questions
        from aescli.benchmarking.power import accuracy_power
        from aescli.cli.bench_running import Run, run_critics

        read = questions.read_uniaa if suite == "uniaa" else questions.read_unipercept
        endpoint = EndpointOptions(
            base_url=base_url, side=image_side, detail=_checked(detail), price_in=price_in, price_out=price_out,
            max_cost=max_cost, fresh=fresh,
        )  # fmt: skip
        run = Run(
            models=model, baselines=baseline or (), runs=runs, format=format, output=output, thumbnails=thumbnails,
            fresh=fresh, load=LoadOptions(device=device, data_type=data_type, endpoint=endpoint), most_tokens=max_tokens,
        )  # fmt: skip
        run.check()
        items = _some(read(data)[:limit], data)
        if power:
            return _show_power(accuracy_power(suite, items[0].split, len(items)), run)
        return _estimate(run, items) if estimate else run_critics(run, items)[0]

    return command


def aesbench(
    data: shared.DataOption,
    model: shared.ModelsOption,
    abilities: Annotated[str, typer.Option(rich_help_panel=shared.DATA, metavar="NAMES", help="AesP, AesE, AesA1, AesI with commas between them; all otherwise.")] = "all",
    prompt: Annotated[str, typer.Option(rich_help_panel=shared.DATA, metavar="aesbench|vlmevalkit", help="The authors' words, or VLMEvalKit's.")] = "aesbench",
    answers: Annotated[Path | None, typer.Option(rich_help_panel=shared.REPORT, metavar="FOLDER", help="Write the four files that are mailed to the authors, in a folder for each model.")] = None,
    baseline: shared.BaselineOption = None,
    limit: shared.LimitOption = None,
    power: shared.PowerOption = False,
    format: shared.BenchFormatOption = "auto",
    output: shared.OutputOption = None,
    thumbnails: shared.ThumbnailsOption = True,
    runs: shared.RunsOption = shared.RUNS,
    fresh: shared.FreshOption = False,
    max_tokens: shared.TokensOption = 512,
    device: options.DeviceOption = "auto",
    data_type: options.DataTypeOption = "auto",
    base_url: options.BaseUrlOption = None,
    image_side: shared.SideOption = shared.SIDE,
    detail: shared.DetailOption = shared.DETAIL,
    estimate: shared.EstimateOption = False,
    price_in: options.PriceInOption = 0.0,
    price_out: options.PriceOutOption = 0.0,
    max_cost: options.MaxCostOption = None,
) -> ExitCode:  # fmt: skip
    """AesBench: perception, empathy, assessment by choice, interpretation in words; its authors hold the answers.

    aes bench aesbench --data ./AesBench -m aesexpert-7b --answers ./to-mail --baseline published
    """
    from aescli.benchmarking import aesbench as aesbench_set
    from aescli.benchmarking.power import accuracy_power
    from aescli.cli.bench_running import Run, run_critics

    chosen = _choose_abilities(abilities)
    if prompt not in aesbench_set.PROMPTS:
        raise UsageError(f"'{prompt}' is no prompt", hint="|".join(aesbench_set.PROMPTS))
    endpoint = EndpointOptions(
        base_url=base_url, side=image_side, detail=_checked(detail), price_in=price_in, price_out=price_out,
        max_cost=max_cost, fresh=fresh,
    )  # fmt: skip
    run = Run(
        models=model, baselines=baseline or (), runs=runs, format=format, output=output, thumbnails=thumbnails,
        fresh=fresh, load=LoadOptions(device=device, data_type=data_type, endpoint=endpoint), most_tokens=max_tokens,
    )  # fmt: skip
    run.check()
    items = _some(aesbench_set.read_items(data, chosen, prompt)[:limit], data)
    if power:
        return _show_power(accuracy_power("aesbench", "test", len(items) // len(chosen)), run)
    if estimate:
        return _estimate(run, items)
    code, lines = run_critics(run, items)
    for name, said in lines.items() if answers else ():
        _write_answers(said, name, answers or Path())
    return code


def pairs(
    data: shared.DataOption,
    model: shared.ModelsOption,
    limit: shared.LimitOption = None,
    format: shared.BenchFormatOption = "auto",
    output: shared.OutputOption = None,
    thumbnails: shared.ThumbnailsOption = True,
    runs: shared.RunsOption = shared.RUNS,
    fresh: shared.FreshOption = False,
    ask: Annotated[bool, typer.Option("--ask", rich_help_panel=shared.DATA, help="Show both side by side, in both orders, and ask; scores are compared otherwise.")] = False,
    max_tokens: shared.TokensOption = 64,
    device: options.DeviceOption = "auto",
    data_type: options.DataTypeOption = "auto",
    base_url: options.BaseUrlOption = None,
    image_side: shared.SideOption = shared.SIDE,
    detail: shared.DetailOption = shared.DETAIL,
    estimate: shared.EstimateOption = False,
    price_in: options.PriceInOption = 0.0,
    price_out: options.PriceOutOption = 0.0,
    max_cost: options.MaxCostOption = None,
) -> ExitCode:  # fmt: skip
    """Pairs that people judged, a table of winner and loser: agreement, position bias, Bradley-Terry strengths."""
    from aescli.benchmarking.pairs import both_orders, scored_pairs
    from aescli.cli.bench_running import Run, run_critics, run_scorers
    from aescli.images.opening import Opener
    from aescli.images.picture import Decoding
    from aescli.labels.reading import read_labels

    endpoint = EndpointOptions(
        base_url=base_url, side=image_side, detail=_checked(detail), price_in=price_in, price_out=price_out,
        max_cost=max_cost, fresh=fresh,
    )  # fmt: skip
    run = Run(
        models=model, baselines=(), runs=runs, format=format, output=output, thumbnails=thumbnails, fresh=fresh,
        load=LoadOptions(device=device, data_type=data_type, endpoint=endpoint), most_tokens=max_tokens,
    )  # fmt: skip
    run.check()
    found = read_labels(data)
    if not found.pairs:
        raise NothingMatched(f"{escape(str(data))} has no pairs that are here", hint="a table of winner and loser")
    _tell_of(found)
    chosen = found.pairs[:limit]
    if not ask:
        scored = scored_pairs(chosen, found.name)
        return _estimate(run, scored) if estimate else run_scorers(run, scored)
    with _folder() as folder, Opener(Decoding(exact=True)) as opener:
        items = list(both_orders(chosen, folder, found.name, lambda path: _open(path, opener)))
        return _estimate(run, items) if estimate else run_critics(run, items)[0]


def robust(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders or globs; no labels are needed.")],
    model: shared.ModelsOption = ["mini"],  # noqa: B006
    limit: shared.LimitOption = 50,
    format: shared.BenchFormatOption = "auto",
    output: shared.OutputOption = None,
    runs: shared.RunsOption = shared.RUNS,
    fresh: shared.FreshOption = False,
    device: options.DeviceOption = "auto",
    batch_size: options.BatchSizeOption = None,
    data_type: options.DataTypeOption = "auto",
    workers: options.WorkersOption = None,
) -> ExitCode:
    """Robustness: spoilt copies must score lower, turned and re-encoded ones the same, words in a picture no higher."""
    from aescli.benchmarking.robust import robust_items
    from aescli.cli.bench_running import Run, run_scorers
    from aescli.images.find import Selection, check_words, find
    from aescli.images.opening import Opener
    from aescli.images.picture import Decoding

    run = Run(
        models=model, baselines=(), runs=runs, format=format, output=output, thumbnails=False, fresh=fresh,
        load=LoadOptions(device=device, data_type=data_type), batch_size=batch_size, workers=workers,
    )  # fmt: skip
    run.check()
    check_words(tuple(paths), ())
    named = [found.path for found in find(tuple(paths), Selection()) if not found.problem][:limit]
    if not named:
        raise NothingMatched(f"no picture in {', '.join(map(escape, paths))}")
    with _folder() as folder, Opener(Decoding(exact=True)) as opener:
        split = f"{len(named)} pictures"
        items = list(robust_items(named, folder, split, lambda path: _open(path, opener)))
        return run_scorers(run, items)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for copies that lasts as long as they are looked at."""
    with tempfile.TemporaryDirectory(prefix="aes-bench-") as name:
        yield Path(name)


def _open(path: str, opener: "Opener") -> "Image.Image":
    from PIL import Image

    from aescli.images.source import read_file

    try:
        with opener.open(read_file(path).data, path) as view:
            return Image.fromarray(view.whole(_LONGEST))
    except PictureError as error:
        raise AesError(f"{escape(path)}: {error.message}") from error


def _tell_of(found: "LabelledSet") -> None:
    """Say what of a set is not tested, and the most that its noise allows."""
    from aescli.benchmarking.labelled import ceiling

    if found.missing:
        console.print_note(
            f"note: {len(found.missing)} labelled pictures are not here, such as {found.missing[0].path}"
        )
    for problem in found.problems[:3]:
        console.print_note(f"note: {problem}")
    if len(found.problems) > 3:
        console.print_note(f"note: {len(found.problems) - 3} more rows are bad")
    most = ceiling(found.pictures, found.lowest_level)
    if most is not None:
        console.print_note(f"note: noise in the votes of {found.name} allows no plcc above {most:.3f}")


def _show_power(records: Iterator["Record"], run: "Run") -> ExitCode:
    from aescli.benchmarking.records import BenchReport
    from aescli.cli.bench_running import show

    show(BenchReport(tuple(records)), run.format, run.output)
    return ExitCode.OK


def _estimate(run: "Run", items: Sequence["Item"]) -> ExitCode:
    from aescli.models.endpoint import LEVEL_TOKENS, ask_for_level, estimate
    from aescli.models.level_choices import LevelChoices

    level = ask_for_level(LevelChoices())
    for name in run.models:
        if find_card(name).family != "endpoint":
            console.print_note(f"{name} runs here and costs nothing")
            continue
        found = [
            estimate(1, [item.prompt or level], run.most_tokens if item.prompt else LEVEL_TOKENS, run.load.endpoint)
            for item in items
        ]
        for key in found[0]:
            console.print_text(f"{name}  {key.replace('_', ' '):<20} {sum(each[key] for each in found):g}")
    return ExitCode.OK


def _write_answers(lines: Sequence["Line"], model: str, folder: Path) -> None:
    from aescli.benchmarking.aesbench import write_answers

    name = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in model).strip("._") or "model"
    for file in write_answers(lines, folder / name):
        console.print_note(f"written to {escape(str(file))}")


def _choose_abilities(text: str) -> list[str]:
    from aescli.benchmarking.aesbench import ABILITIES

    known = {name.lower(): {name} for name in ABILITIES} | {"aesa": {"AesA1"}, "all": set(ABILITIES)}
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise UsageError(f"'{', '.join(unknown)}' is no ability", hint=",".join(ABILITIES))
    return [name for name in ABILITIES if any(name in known[word] for word in words)]


def _read_range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"'{text}' is no range", hint="--range 1:10") from None
    if not low < high:
        raise UsageError(f"'{text}' is no range: it runs from the smaller number to the larger", hint="--range 1:10")
    return low, high


def _checked(detail: str) -> str:
    if detail not in ("low", "high", "auto"):
        raise UsageError(f"'{detail}' is no detail", hint="--detail low|high|auto")
    return detail


def _some(items: list["Item"], data: Path) -> list["Item"]:
    if not items:
        raise NothingMatched(f"{escape(str(data))} has no such questions")
    return items
