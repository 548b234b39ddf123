"""`aes bench aesbench`, `uniaa` and `unipercept`: models that speak answer questions about pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import bench_options as shared
from aescli.cli import console
from aescli.cli.option_groups import grouped
from aescli.errors import ExitCode, NothingMatched, UsageError
from aescli.names import escape

if TYPE_CHECKING:
    from aescli.benchmarking.items import Item
    from aescli.benchmarking.lines import Line

SUITES = {
    "uniaa": "UNIAA-Bench's multiple choice, UNIAA_QA.json.",
    "unipercept": "A multiple-choice file of UniPercept-Bench, UniPercept-Bench-IAA.json.",
}


def asked(suite: str) -> Callable[..., ExitCode]:
    """Return the command of one of SUITES."""

    @grouped
    def command(
        *,
        data: shared.DataOption,
        model: shared.ModelsOption,
        limit: shared.LimitOption = None,
        report: shared.ReportOptions,
        power: shared.PowerOption = False,
        how: shared.ModelOptions,
        max_tokens: shared.TokensOption = 1024,
    ) -> ExitCode:
        from aescli.benchmarking import questions
        from aescli.benchmarking.power import accuracy_power
        from aescli.cli.bench_reporting import show_records_of
        from aescli.cli.bench_running import Run, run_critics

        run = Run(models=model, options=how, report=report, most_tokens=max_tokens)
        run.check()
        read = questions.read_uniaa if suite == "uniaa" else questions.read_unipercept
        items = _some(read(data)[:limit], data)
        if power:
            return show_records_of(accuracy_power(suite, items[0].split, len(items)), report)
        return run_critics(run, items)[0]

    return command


@grouped
def aesbench(
    *,
    data: shared.DataOption,
    model: shared.ModelsOption,
    abilities: Annotated[str, typer.Option(rich_help_panel=shared.DATA, metavar="NAMES", help="AesP, AesE, AesA1, AesI with commas between them; all otherwise.")] = "all",
    prompt: Annotated[str, typer.Option(rich_help_panel=shared.DATA, metavar="aesbench|vlmevalkit", help="The authors' words, or VLMEvalKit's.")] = "aesbench",
    limit: shared.LimitOption = None,
    answers: Annotated[Path | None, typer.Option(rich_help_panel=shared.REPORT, metavar="FOLDER", help="Write the four files that are mailed to the authors, in a folder for each model.")] = None,
    report: shared.ReportOptions,
    power: shared.PowerOption = False,
    how: shared.ModelOptions,
    max_tokens: shared.TokensOption = 512,
) -> ExitCode:  # fmt: skip
    """AesBench: perception, empathy, assessment by choice, interpretation in words; its authors hold the answers.

    aes bench aesbench --data ./AesBench -m aesexpert-7b --answers ./to-mail --baseline published
    """
    from aescli.benchmarking import aesbench as aesbench_set
    from aescli.benchmarking.power import accuracy_power
    from aescli.cli.bench_reporting import show_records_of
    from aescli.cli.bench_running import Run, run_critics

    chosen = _choose_abilities(abilities)
    if prompt not in aesbench_set.PROMPTS:
        raise UsageError(f"'{prompt}' is no prompt", hint="|".join(aesbench_set.PROMPTS))
    run = Run(models=model, options=how, report=report, most_tokens=max_tokens)
    run.check()
    items = _some(aesbench_set.read_items(data, chosen, prompt)[:limit], data)
    if power:
        return show_records_of(accuracy_power("aesbench", "test", len(items) // len(chosen)), report)
    code, lines = run_critics(run, items)
    for name, said in lines.items() if answers else ():
        _write_answers(said, name, answers or Path())
    return code


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


def _some(items: list["Item"], data: Path) -> list["Item"]:
    if not items:
        raise NothingMatched(f"{escape(str(data))} has no such questions")
    return items
