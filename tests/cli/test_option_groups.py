"""A command whose options come from a dataclass is the command that lists them itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from aescli.cli.option_groups import grouped
from aescli.errors import ExitCode

_Lens = Annotated[str, typer.Option("--lens", "-l", help="Which lens.")]


@dataclass(frozen=True, kw_only=True)
class Camera:
    lens: _Lens
    iso: Annotated[int, typer.Option(min=50)] = 100


def run(*words: str) -> tuple[str, Camera, int]:
    seen: list[tuple[str, Camera, int]] = []
    app = typer.Typer()

    @app.command()
    @grouped
    def shoot(
        *, name: Annotated[Path, typer.Argument()], camera: Camera, frames: Annotated[int, typer.Option()] = 1
    ) -> ExitCode:
        """Take pictures."""
        seen.append((str(name), camera, frames))
        return ExitCode.OK

    app(args=list(words), standalone_mode=False)
    return seen[0]


def test_fields_are_options_and_come_back_as_one_value() -> None:
    assert run("a", "-l", "50mm", "--frames", "3") == ("a", Camera(lens="50mm"), 3)
    assert run("a", "--lens", "35mm", "--iso", "400") == ("a", Camera(lens="35mm", iso=400), 1)


@pytest.mark.parametrize(
    ("words", "what"), [(("a",), "lens"), (("a", "-l", "50mm", "--iso", "10"), "greater than or equal to 50")]
)
def test_a_field_keeps_what_its_option_asks_for(words: tuple[str, ...], what: str) -> None:
    with pytest.raises(typer.TyperException, match=what):
        run(*words)
