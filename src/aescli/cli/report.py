"""`aes report`: scores as a page to look at."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.cli import console
from aescli.cli.stopping import stopping
from aescli.errors import ExitCode, UsageError
from aescli.names import escape
from aescli.output import replace_file

if TYPE_CHECKING:
    from aescli.labels.values import Problem
    from aescli.reporting.gallery import Shown


def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="What aes score or aes cull wrote; a folder stands for its Parquet parts.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page; thumbnails go into a folder beside it.")],
    title: Annotated[str | None, typer.Option(help="Of the page; the file's name otherwise.")] = None,
    thumbnails: Annotated[bool, typer.Option("--thumbnails/--no-thumbnails", help="Make small pictures; else the page shows the pictures themselves.")] = True,
) -> ExitCode:  # fmt: skip
    """Make one page of scores: a gallery that sorts, filters and groups in the browser, from disk, without network.

    aes score ./photos --dims all -o scores.csv && aes report scores.csv -o report.html

    aes cull ./photos -o cull.csv && aes report cull.csv -o cull.html
    """
    from aescli.reporting.gallery import lay_out, read_shown
    from aescli.score_files import find_files
    from aescli.writers.gallery_page import write_gallery

    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"'{escape(output.name)}' is no name of a page", hint="-o report.html")
    problems: list[Problem] = []
    with stopping():
        shown = read_shown(find_files(files), problems.append)
        folder = output.with_name(f"{output.stem}_files")
        small = _make_thumbnails(shown, folder) if thumbnails else [""] * len(shown)
        page = write_gallery(lay_out(shown, output, small, folder.name if thumbnails else "", title or files[0].stem))
        with replace_file(output) as stream:
            stream.write(page)
    for problem in problems:
        console.print_note(f"could not be read: {problem}")
    missing = f", {small.count('')} of them without a thumbnail" if thumbnails and "" in small else ""
    console.print_note(f"{len(shown)} pictures{missing}; written to {output}, {len(page) / 1e6:.1f} MB")
    return ExitCode.SOME_FAILED if problems else ExitCode.OK


def _make_thumbnails(shown: "list[Shown]", folder: Path) -> list[str]:
    from aescli.images.named import find_named
    from aescli.images.opening import Opener
    from aescli.images.picture import take_over_pillow
    from aescli.reporting.thumbnails import make_thumbnails

    take_over_pillow()
    names = []
    with (
        Opener() as opener,
        closing(make_thumbnails(find_named(each.place for each in shown), folder, opener)) as made,
        console.Bar(lambda: len(shown), "thumbnails") as bar,
    ):
        for name in made:
            bar.advance(name)
            names.append(name)
    return names
