"""`aes completion`: the script that teaches a shell to complete models, dimensions and options."""

from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from aescli.cli import console
from aescli.errors import ExitCode, UsageError

SHELLS = ("bash", "zsh", "fish")


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")]) -> ExitCode:
    """Print a shell's completion script.

    aes completion bash >> ~/.bashrc
    """
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for '{shell}'", hint=f"aes completion {'|'.join(SHELLS)}")
    console.print_text(get_completion_script(prog_name="aes", complete_var="_AES_COMPLETE", shell=shell))
    return ExitCode.OK
