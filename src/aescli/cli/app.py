"""The door: every command is registered here, and errors become one line and an exit code here and nowhere else."""

import errno
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb
from typing import Annotated

import typer
from typer.core import TyperGroup

from aescli import __version__
from aescli.cli import (
    bench,
    completion,
    config,
    critique,
    cull,
    data,
    doctor,
    filter,
    merge,
    models,
    report,
    score,
    tag,
    train,
)
from aescli.cli.console import print_error, print_note, print_text
from aescli.errors import AesError, ExitCode, ReaderGone, Stopped
from aescli.names import escape

_SHOWN = 60  # characters of a name that is too long
_get_command = functools.cache(typer.main.get_command)  # signatures are read once, not for every call of `main`
_EPILOG = (
    "Exit codes: 0 all scored, 1 nothing usable, 2 usage, 3 some inputs failed, 4 nothing matched, "
    "5 weights unavailable, 11 output locked, 129/130/143 stopped by a signal; running again continues."
)

app = typer.Typer(
    name="aes",
    help="Judge the beauty of pictures: scores, critiques, training and benchmarks.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score.score)
app.command("merge")(merge.merge)
app.command("critique")(critique.critique)
app.command("filter")(filter.filter_)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("tag")(tag.tag)
app.command("cull")(cull.cull)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.doctor)
app.command("completion")(completion.completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a bug of ours leaves with its traceback."""
    # A stream that the caller has closed is None; what would go there goes nowhere.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we run
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        return int(_get_command(app).main(args=argv, prog_name="aes", standalone_mode=False) or ExitCode.OK)
    except typer.TyperException as error:
        print_error(error.format_message(), hint="aes --help")
        return int(getattr(error, "exit_code", ExitCode.USAGE))
    except AesError as error:
        print_error(error.message, hint=error.hint)
        return int(error.exit_code)
    except Stopped as stop:
        print_note(f"stopped; {stop.advice}")
        return int(stop.exit_code)
    except ReaderGone as gone:
        _drop_standard_output()
        return int(gone.exit_code)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and error.filename:  # of a path that was named
            print_error(f"{escape(os.fsdecode(error.filename)[:_SHOWN])}... has a name that is too long")
            return int(ExitCode.USAGE)
        if not _is_of_help(error):
            raise
        print_error(f"standard output cannot be written: {error.strerror}")
        _drop_standard_output()
        return int(ExitCode.ERROR)


def _is_of_help(error: OSError) -> bool:
    """Tell whether it was a page of help that could not be written: such an error names no file."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith(("rich.", "typer."))


def _drop_standard_output() -> None:
    """Send what is left to nowhere: Python flushes once more at exit, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(wanted: bool) -> None:
    if wanted:
        print_text(f"aes {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    commands = context.command
    invoked = context.invoked_subcommand
    if isinstance(commands, TyperGroup) and invoked and config.has_settings(commands.commands[invoked]):
        context.default_map = config.read_defaults(commands)
