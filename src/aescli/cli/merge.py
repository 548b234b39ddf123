"""`aes merge`: the outputs of shards become one."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.errors import ExitCode, NothingMatched, UsageError
from aescli.images.find import Found, Selection
from aescli.images.remote import RemoteFile
from aescli.inputs import Inputs
from aescli.merging import Merged, join, missing_inputs, missing_shards
from aescli.names import escape
from aescli.output import replace_target
from aescli.parts import Format, Part, find_format
from aescli.remote import fetched
from aescli.writers.opening import choose_format, format_of

_SHOWN = 5  # missing pictures that are named


def merge(
    parts: Annotated[list[str], typer.Argument(metavar="FILE", help="Outputs of aes score, or folders of them.")],
    *,
    output: options.OutputOption = None,
    format: Annotated[str, typer.Option(rich_help_panel=options.OUTPUT, metavar="FORMAT", help="That of the outputs, which is what auto means: joining changes none.")] = "auto",
    inputs: Annotated[list[str] | None, typer.Option("--inputs", metavar="PATH", rich_help_panel=options.INPUTS, help="What was to be scored: say which pictures have no row.")] = None,
    files_from: options.FilesFromOption = None,
    column: options.ColumnOption = None,
    include: options.IncludeOption = None,
    exclude: options.ExcludeOption = None,
    all_files: options.AllFilesOption = False,
    follow: options.FollowOption = False,
    missing: Annotated[str | None, typer.Option(callback=options.keep_pictures, metavar="FILE", rich_help_panel=options.OUTPUT, help="Write the pictures without a row there, NUL behind each: what aes score --files-from takes.")] = None,
) -> ExitCode:  # fmt: skip
    """Join the outputs of shards, row for row, and say what is missing.

    aes merge scores-*.parquet -o scores.parquet

    aes merge scores-*.csv -o scores.csv --inputs ./photos --missing rest.txt
    """
    expected = None
    if inputs or files_from:
        selection = Selection(tuple(include or ()), tuple(exclude or ()), all_files, follow, column=column)
        expected = Inputs(tuple(inputs or ()), selection, tuple(files_from or ()))
        expected.check()
    named = Inputs(tuple(parts), Selection(all_files=True))
    named.check()
    with stopping(), ExitStack() as stack:
        found = [_fetch(each, stack) for each in named.find_files()]
        if not found:
            raise NothingMatched(f"no output in {', '.join(map(escape, parts))}")
        target = None if output == "-" else output
        name = choose_format(format, Path(found[0].name if target is None else target), on_terminal=False)
        _refuse_others(found, name)
        shards = missing_shards(found)
        reader = find_format(name)
        stream = stack.enter_context(replace_target(target) if target else console.standard_output())
        merged = join(found, reader, stream)
    absent = _name_missing(expected, merged, reader, missing) if expected else 0
    console.print_note(_sentence(merged, len(found), target))
    if shards:
        console.print_note(f"missing: shards {', '.join(shards)}")
    return ExitCode.SOME_FAILED if shards or absent else ExitCode.OK


def _refuse_others(parts: list[Part], name: str) -> None:
    for part in parts:
        if format_of(part.name) not in (None, name):
            raise UsageError(
                f"{escape(part.name)} is {format_of(part.name)}, and {name} is to be written: both have one format",
                hint=f"-o FILE{Path(part.name).suffix}",
            )


def _fetch(found: Found, stack: ExitStack) -> Part:
    if isinstance(found.source, RemoteFile):
        return Part(found.path, stack.enter_context(fetched(found.source.address)))
    return Part(found.path, Path(found.path))


def _name_missing(expected: Inputs, merged: Merged, format: Format, file: str | None) -> int:
    """Say which inputs have no row, and return how many."""
    count = 0
    with ExitStack() as stack:
        stream = stack.enter_context(replace_target(file)) if file else None
        for path in missing_inputs(expected.find(), merged, format):
            count += 1
            if count <= _SHOWN:
                console.print_note(f"missing: {path}")
            if stream:
                stream.write(os.fsencode(path) + b"\0")
    if count > _SHOWN:
        console.print_note(f"missing: {count - _SHOWN} more{'' if file else '; --missing FILE writes them all'}")
    return count


def _sentence(merged: Merged, parts: int, target: str | None) -> str:
    failed = f", {merged.failed} of them failed" if merged.failed else ""
    twice = f", {merged.twice} left out that stand in two files" if merged.twice else ""
    return f"{merged.rows} rows of {parts} files{failed}{twice}{f'; written to {target}' if target else ''}"
