"""`aes bench scores`, `humanbeauty` and `ava`: models rate pictures that people have rated."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aescli.cli import bench_options as shared
from aescli.cli import console, options
from aescli.cli.option_groups import grouped
from aescli.dimensions import Scale
from aescli.errors import ExitCode, UsageError
from aescli.names import escape

if TYPE_CHECKING:
    from aescli.labels.values import LabelledSet

SUITES = {
    "scores": "Scores against the labels of any set: srcc, plcc, krcc, rmse, mae, levels; overall and each dimension.",
    "humanbeauty": "The same for HumanBeauty, with what its authors print as MSE and MAE beside the true ones.",
    "ava": "The same for AVA.txt, with the share on the right side of 5; --only takes its lists of test pictures.",
}

_KNOWN_RANGES = {"humanbeauty": Scale(0, 1)}
_HINT = "--range LO:HI   says what these scores are from and to"


def labelled(suite: str) -> Callable[..., ExitCode]:
    """Return the command of one of SUITES."""

    @grouped
    def command(
        *,
        data: shared.DataOption,
        model: shared.ModelsOption = ["mini"],  # noqa: B006 - Typer wants a list
        only: shared.OnlyOption = None,
        scale: shared.RangeOption = None,
        limit: shared.LimitOption = None,
        report: shared.ReportOptions,
        power: shared.PowerOption = False,
        how: shared.ModelOptions,
        batch_size: options.BatchSizeOption = None,
        workers: options.WorkersOption = None,
    ) -> ExitCode:
        from aescli.benchmarking.labelled import labelled_items, list_unknown, read_names
        from aescli.benchmarking.power import correlation_power
        from aescli.cli.bench_reporting import show_records_of
        from aescli.cli.bench_running import Run, run_scorers
        from aescli.labels.reading import read_labels
        from aescli.labels.scale import WITHOUT, refuse_outside

        run = Run(models=model, options=how, report=report, batch_size=batch_size, workers=workers)
        run.check()
        stated = options.parse_range(scale) if scale else _KNOWN_RANGES.get(suite)
        found = read_labels(data)
        if found.compares:
            raise UsageError(f"{escape(found.name)} holds comparisons, not scores", hint="aes bench pairs --data FILE")
        if stated:
            hint = _HINT if suite in _KNOWN_RANGES else WITHOUT
            refuse_outside(found.pictures, found.dimensions[:1], stated, hint=hint)
        wanted = read_names(only) if only else frozenset()
        items = labelled_items(
            found,
            suite,
            scale=(stated.low, stated.high) if stated else None,
            only=wanted,
        )[:limit]
        tell_of(found)
        _tell_unknown(list_unknown(found, wanted))
        if power:
            return show_records_of(correlation_power(suite, found.name, len(items)), report)
        return run_scorers(run, items, found.dimensions)

    return command


def _tell_unknown(names: Sequence[str]) -> None:
    if names:
        console.print_note(f"no labelled picture for {len(names)} of the names of --only, such as {escape(names[0])}")


def tell_of(found: "LabelledSet") -> None:
    """Say what of a set is not tested, and the most that its noise allows."""
    from aescli.benchmarking.labelled import ceiling

    for note in found.notes:
        console.print_note(f"note: {note}")
    bad = [f"{each.source}: {why}" for each in found.pictures for why in each.bad.values()]
    lost = [f"could not be used: {line}" for line in (*map(str, found.problems), *bad)]
    lost += [f"is labelled and not there: {each.source}: {escape(each.path)}" for each in found.missing]
    console.print_notes(lost, "more; aes data check --json lists all", before="note: ")
    most = ceiling(found.pictures, found.lowest_level)
    if most is not None:
        console.print_note(f"note: noise in the votes of {found.name} allows no plcc above {most:.3f}")
