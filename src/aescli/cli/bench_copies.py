"""`aes bench pairs` and `robust`: models look at pictures that are made of others, side by side or spoilt."""

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import bench_options as shared
from aescli.cli import console, options
from aescli.cli.bench_labelled import tell_of
from aescli.cli.option_groups import grouped
from aescli.errors import ExitCode, NothingMatched, OutputFailed, PictureError
from aescli.names import escape

if TYPE_CHECKING:
    from PIL import Image

    from aescli.images.opening import Opener

_LONGEST = 1_600  # pixels of a picture that copies are made of


@grouped
def pairs(
    *,
    data: shared.DataOption,
    model: shared.ModelsOption,
    limit: shared.LimitOption = None,
    ask: Annotated[bool, typer.Option("--ask", rich_help_panel=shared.DATA, help="Show both side by side, in both orders, and ask; scores are compared otherwise.")] = False,
    report: shared.ReportOptions,
    power: shared.PowerOption = False,
    how: shared.ModelOptions,
    max_tokens: shared.TokensOption = 64,
) -> ExitCode:  # fmt: skip
    """Pairs that people judged, a table of winner and loser: agreement, position bias, Bradley-Terry strengths."""
    from aescli.benchmarking.pairs import both_orders, scored_pairs
    from aescli.benchmarking.power import accuracy_power
    from aescli.cli.bench_reporting import show_records_of
    from aescli.cli.bench_running import Run, run_critics, run_scorers
    from aescli.images.opening import Opener
    from aescli.images.picture import Decoding
    from aescli.labels.reading import read_labels

    run = Run(models=model, options=how, report=report, most_tokens=max_tokens)
    run.check()
    found = read_labels(data)
    if not found.pairs:
        hint = found.say_what_lacks() or "a table of winner and loser"
        raise NothingMatched(f"{escape(str(data))} has no pairs that are here", hint=hint)
    tell_of(found)
    chosen = found.pairs[:limit]
    if power:
        return show_records_of(accuracy_power("pairs", found.name, len(chosen)), report)
    if not ask:
        return run_scorers(run, scored_pairs(chosen, found.name))
    with _folder() as folder, Opener(Decoding(exact=True)) as opener:
        items = list(both_orders(chosen, folder, found.name, _opening(opener)))
        if not items:
            raise NothingMatched(f"no pair of {escape(str(data))} can be shown")
        code = run_critics(run, items)[0]
    return _end(code, left_out=len(items) < 2 * len(chosen))


@grouped
def robust(
    *,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders or globs; no labels are needed.")],
    model: shared.ModelsOption = ["mini"],  # noqa: B006
    limit: shared.LimitOption = 50,
    report: shared.ReportOptions,
    how: shared.ModelOptions,
    batch_size: options.BatchSizeOption = None,
    workers: options.WorkersOption = None,
) -> ExitCode:
    """Robustness: spoilt copies must score lower, turned and re-encoded ones the same, words in a picture no higher."""
    from aescli.benchmarking.robust import robust_items
    from aescli.cli.bench_running import Run, run_scorers
    from aescli.images.find import Selection, check_words, find
    from aescli.images.opening import Opener
    from aescli.images.picture import Decoding

    run = Run(models=model, options=how, report=report, batch_size=batch_size, workers=workers)
    run.check()
    check_words(tuple(paths), ())
    found = (each.path for each in find(tuple(paths), Selection()) if not each.problem)
    named = list(dict.fromkeys(found))[:limit]
    if not named:
        raise NothingMatched(f"no picture in {', '.join(map(escape, paths))}")
    with _folder() as folder, Opener(Decoding(exact=True)) as opener:
        split, open_picture = f"{len(named)} pictures", _opening(opener)
        opened = ((path, picture) for path in named if (picture := open_picture(path)))
        items = list(robust_items(opened, folder, split))
        if not items:
            raise NothingMatched(f"no picture in {', '.join(map(escape, paths))} can be read")
        code = run_scorers(run, items)
    return _end(code, left_out=len({item.groups["of"] for item in items}) < len(named))


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for copies that lasts as long as they are looked at."""
    try:
        with tempfile.TemporaryDirectory(prefix="aes-bench-") as name:
            yield Path(name)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise OutputFailed(
            f"copies cannot be kept in {escape(tempfile.gettempdir())}: {error.strerror}",
            hint="TMPDIR=FOLDER   puts them elsewhere",
        ) from error


def _opening(opener: "Opener") -> "Callable[[str], Image.Image | None]":
    """Return what opens pictures upright; what cannot be read is told once, and is None."""
    from PIL import Image

    from aescli.images.picture import take_over_pillow
    from aescli.images.source import read_file

    take_over_pillow()
    broken: set[str] = set()

    def open_picture(path: str) -> Image.Image | None:
        if path in broken:
            return None
        try:
            with opener.open(read_file(path).data, path) as view:
                return Image.fromarray(view.whole(_LONGEST))
        except PictureError as error:
            broken.add(path)
            console.print_note(f"note: left out: {escape(path)}: {error.message}")
            return None

    return open_picture


def _end(code: ExitCode, *, left_out: bool) -> ExitCode:
    return ExitCode.SOME_FAILED if left_out and code == ExitCode.OK else code
