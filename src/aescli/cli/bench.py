"""`aes bench`: the published comparison with GPT-4V, suites, and reports from their lines."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from aescli.cli import bench_copies, bench_labelled, bench_questions, console
from aescli.cli import bench_options as shared
from aescli.cli.option_groups import grouped
from aescli.errors import ExitCode, UsageError
from aescli.registry import nearest

app = typer.Typer(invoke_without_command=True)
for _name, _help in bench_labelled.SUITES.items():
    app.command(_name, help=_help)(bench_labelled.labelled(_name))
for _name, _help in bench_questions.SUITES.items():
    app.command(_name, help=_help)(bench_questions.asked(_name))
app.command("aesbench")(bench_questions.aesbench)
app.command("pairs")(bench_copies.pairs)
app.command("robust")(bench_copies.robust)


@app.callback(invoke_without_command=True)
def bench(context: typer.Context, format: shared.BenchFormatOption = "auto") -> ExitCode:
    """Compare models, with GPT-4V beside them; alone, the published comparison.

    aes bench scores --data labels.csv -m mini -m ./my-taste      interval, paired differences, baselines

    aes bench report runs/*.jsonl -o report.html                  lines from before, as a page
    """
    if context.invoked_subcommand:
        return ExitCode.OK
    from aescli.benchmarking.published import versus_gpt4v
    from aescli.cli.bench_reporting import show_records_of
    from aescli.writers.benchmarks import choose_bench_format

    found = versus_gpt4v()
    if choose_bench_format(format, None, on_terminal=sys.stdout.isatty()) == "table":
        from aescli.writers.headlines import show_headlines

        with console.standard_output() as stream:
            stream.write(show_headlines(found))
    else:
        show_records_of(found, shared.ReportOptions(format=format))
    for line in _CAN_BE_RUN:
        console.print_note(line)
    return ExitCode.OK


@app.command("published")
def list_published(
    suites: Annotated[list[str] | None, typer.Argument(metavar="SUITE", help="Such as aesbench, uniaa, AVA, PARA; all otherwise.")] = None,
    format: shared.BenchFormatOption = "auto",
    output: shared.OutputOption = None,
) -> ExitCode:  # fmt: skip
    """Print published numbers, each with its source and what must be known beside it."""
    from aescli.benchmarking.published import published
    from aescli.cli.bench_reporting import show_records_of

    for name in suites or ():
        if not published([name]):
            known = sorted({record.suite for record in published()})
            close = nearest(name, [each.lower() for each in known])
            raise UsageError(f"no numbers of '{name}'", hint=f"did you mean '{close}'?" if close else ", ".join(known))
    return show_records_of(published(suites or ()), shared.ReportOptions(format=format, output=output))


@app.command("report")
@grouped
def make_report(
    lines: Annotated[list[Path], typer.Argument(metavar="FILE", help="Lines of earlier runs.")],
    report: shared.ReportOptions,
) -> ExitCode:
    """Evaluate lines of earlier runs together; asks no model, so it can be repeated for nothing."""
    from aescli.cli import bench_reporting

    bench_reporting.check(report)
    return bench_reporting.report(report, lines)


_CAN_BE_RUN = (
    "to run here: aes bench scores --data LABELS -m mini        any set with labels: CSV, Parquet, JSON lines, AVA.txt",
    "             aes bench robust ./photos -m mini             no labels: spoilt, turned, re-encoded copies",
    "             aes bench pairs --data PAIRS -m mini          a table of winner and loser",
    "             aes bench aesbench --data FOLDER -m MODEL     also uniaa, unipercept, humanbeauty, ava; MODEL may be",
    "             aesexpert-7b, hf:OWNER/NAME or endpoint:NAME; --baseline published puts these numbers beside it",
    "every published number with its source: aes bench published; GPT-4V itself can no longer be called",
)
