"""`aes doctor`: what is installed, what runs where, and the line that mends what is broken."""

import json
from typing import Any, cast

import typer
from typer.core import TyperGroup

from aescli.cli import console, options
from aescli.cli.diagnosis import diagnose
from aescli.errors import ExitCode


def doctor(context: typer.Context, as_json: options.JsonOption = False) -> ExitCode:
    """Check the installation: versions, devices, decoders, extras, folders; exits 1 when something is broken."""
    findings = diagnose(cast("TyperGroup", context.find_root().command))
    if as_json:
        console.print_text(json.dumps(findings, indent=2))
    else:
        for section, values in findings.items():
            _print_section(section, values)
    return ExitCode.ERROR if findings["problems"] else ExitCode.OK


def _print_section(section: str, values: Any) -> None:
    console.print_text(section)
    match values:
        case dict():
            for name, value in values.items():
                console.print_text(f"  {name:<22} {_shown(value)}")
        case []:
            console.print_text("  none")
        case _:
            for value in values:
                console.print_text(f"  {value['what']}\n    mend: {value['mend']}")


def _shown(value: object) -> str:
    match value:
        case True:
            return "yes"
        case None | False:
            return "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
