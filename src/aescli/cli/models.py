"""`aes models`: what there is, what is known of it, and its files."""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from aescli import lock, weights
from aescli.cards import ModelCard
from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.errors import ExitCode, UsageError, WeightsUnavailable
from aescli.models.base import LoadOptions
from aescli.models.loading import SCORING_FAMILIES, check_folder, locate, locate_all
from aescli.names import escape
from aescli.registry import all_cards, find_card
from aescli.runtime import need_torch

app = typer.Typer(no_args_is_help=True, help="List models, show their cards, fetch and check their files.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", autocompletion=options.complete_model)]


@app.command("ls")
def list_models(as_json: options.JsonOption = False) -> ExitCode:
    """List every model that has a name: whether it is here, its size and its licence."""
    described = [describe(card) for card in all_cards()]
    if as_json:
        _print_json(described)
        return ExitCode.OK
    console.print_text(f"{'name':<18} {'here':<5} {'scores':<7} {'size':>9}  {'weights licence':<16} title")
    for one in described:
        size = f"{one['size_bytes'] / 1e9:.2f} GB" if one["size_bytes"] else "unknown"
        console.print_text(
            f"{one['name']:<18} {_yes(one['here']):<5} {_yes(one['scores']):<7} {size:>9}  "
            f"{one['weights_license'] or 'unknown':<16} {one['title']}"
        )
    return ExitCode.OK


@app.command()
def show(name: NameArgument, as_json: options.JsonOption = False) -> ExitCode:
    """Show one model's card: range, dimensions, licences, training data, leaks, preprocessing."""
    described = describe(find_card(name))
    if as_json:
        _print_json(described)
        return ExitCode.OK
    for key, value in described.items():
        match value:
            case [dict(), *_] if key == "dimensions":
                console.print_text("dimensions")
                for dimension in value:
                    console.print_text(escape(f"  {dimension['name']:<24} {dimension['meaning']}"))
            case _:
                console.print_text(escape(f"{key.replace('_', ' '):<24} {_shown(value)}"))
    return ExitCode.OK


@app.command()
def pull(
    name: NameArgument,
    accept_license: Annotated[bool, typer.Option("--accept-license", help="Agree to non-commercial terms.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Take the branch's newest commit, not the locked one.")] = False,
) -> ExitCode:  # fmt: skip
    """Fetch a model's files from the Hub; nothing else will ask the network for it."""
    _quiet_unless_terminal()
    card = find_card(name)
    pulled = weights.pull(card, accept_license=accept_license, update=update, tell=console.print_note)
    console.print_note(f"{card.id}: {pulled.size() / 1e9:.2f} GB are here, locked in {lock.lock_file()}")
    if card.family not in SCORING_FAMILIES:
        console.print_note(f"note: this version of aes has no code to score with the family '{card.family}' yet")
    return ExitCode.OK


@app.command("rm")
def remove(name: NameArgument) -> ExitCode:
    """Delete a model's files."""
    card = find_card(name)
    console.print_note(f"{card.id}: {weights.remove(card) / 1e9:.2f} GB freed")
    return ExitCode.OK


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", autocompletion=options.complete_model)
    ] = None,
) -> ExitCode:
    """Hash the files of models again; without a name, of all that were pulled and of the built-in one."""
    problems: list[str] = []
    hints: dict[str, None] = {}
    for name in names or ["mini", *lock.read_lock()]:
        try:
            found = _verify(find_card(name))
        except WeightsUnavailable as error:
            found = [error.message]
        problems += found
        if found:
            hints[_hint_to_repair(name)] = None
    if problems:
        raise WeightsUnavailable("; ".join(problems), hint="; ".join(hints))
    return ExitCode.OK


@app.command()
def setup(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> ExitCode:
    """Install the old libraries that a checkpoint's own code needs, beside the torch that is here."""
    from aescli.models import side_environment

    card = find_card(name)
    if card.family != "internvl":
        raise UsageError(f"{card.id} needs no side environment")
    if side_environment.is_installed():
        console.print_note(f"it is there: {side_environment.side_folder()}")
        return ExitCode.OK
    python = side_environment.find_python()
    console.print_note("this will run:")
    console.print_note(" ".join(side_environment.installation(python)))
    if not yes and not console.confirm("Install?"):
        raise UsageError("nothing was installed", hint="--yes agrees without a question")
    folder = side_environment.install(python, console.print_note)
    console.print_note(f"installed in {folder}")
    return ExitCode.OK


@app.command()
def compare(
    name: NameArgument,
    pictures: Annotated[list[Path] | None, typer.Argument(metavar="[PICTURE...]")] = None,
    device: options.DeviceOption = "auto",
    trust_remote_code: options.TrustOption = False,
    as_json: options.JsonOption = False,
) -> ExitCode:
    """Run a checkpoint's own code beside ours; where both say the same, ours scores from then on."""
    from aescli.comparing import TOLERANCE
    from aescli.comparing import compare as compare_codes
    from aescli.images.picture import take_over_pillow

    take_over_pillow()
    card = find_card(name)
    wanted = LoadOptions(device=device, data_type="fp32", trust_remote_code=trust_remote_code)
    found = compare_codes(card, locate(card), pictures or (), wanted, tell=console.print_note)
    if as_json:
        _print_json(asdict(found))
    else:
        for head, difference in found.differences.items():
            mark = "" if difference <= TOLERANCE else f"   more than {TOLERANCE:g}"
            console.print_text(f"{head:<24} {difference:.2e}{mark}")
    verdict = (
        "both say the same: ours scores from now on" if found.same else "they differ: its own code goes on scoring"
    )
    console.print_note(f"{found.pictures} pictures; {verdict}")
    return ExitCode.OK if found.same else ExitCode.ERROR


@app.command()
def export(
    name: NameArgument,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Parity is measured on them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new model's folder.")],
    to: Annotated[str, typer.Option(metavar="onnx")] = "onnx",
    data_type: Annotated[str, typer.Option("--dtype", metavar="fp32|fp16")] = "fp32",
) -> ExitCode:
    """Write a model as ONNX: scores without torch. Refused where the graph does not say what the model says."""
    from aescli.exporting import export_onnx
    from aescli.images.picture import take_over_pillow

    take_over_pillow()
    if to != "onnx":
        raise UsageError(f"'{to}' is no format of an export", hint="--to onnx")
    card = find_card(name)
    with stopping():
        report = export_onnx(card, locate_all(card), output, pictures, data_type=data_type, tell=console.print_note)
    for read_out, difference in report.differences.items():
        console.print_note(f"{read_out:<12} differs by {difference:.1e} at most")
    console.print_note(
        f"{escape(str(report.folder))}: {report.size / 1e6:.1f} MB, the same on {report.pictures} pictures"
    )
    return ExitCode.OK


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A head on CLIP: .pth, .pt or .safetensors.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new model's folder.")],
    activation: Annotated[str | None, typer.Option(metavar="none|relu", help="What stands between its layers.")] = None,
    scale: Annotated[str, typer.Option("--range", metavar="LO:HI", help="Its native range.")] = "1:10",
) -> ExitCode:
    """Write a head on CLIP embeddings, such as LAION's, as a model folder; a pickle is read as tensors and nothing else."""
    from aescli.models.clip_head import ACTIVATIONS, import_head

    if activation not in (None, *ACTIVATIONS):
        raise UsageError(f"'{activation}' is no activation", hint=f"--activation {'|'.join(ACTIVATIONS)}")
    native = options.parse_range(scale)
    head = import_head(file, output, activation, (native.low, native.high))
    console.print_note(f"{escape(str(output))}: a head on embeddings of {head.width} numbers")
    return ExitCode.OK


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="In a released layout, with expected.safetensors.")],
    as_json: options.JsonOption = False,
) -> ExitCode:
    """Run a checkpoint's recorded inputs and compare with the original implementation's outputs."""
    need_torch()
    from aescli.models.checking import TOLERANCE
    from aescli.models.checking import check_folder as check_outputs

    differences = check_outputs(folder)
    if as_json:
        _print_json({name: value if math.isfinite(value) else None for name, value in differences.items()})
    else:
        for name, difference in differences.items():
            console.print_text(f"{difference:12.3e}  {escape(name)}")
    wrong = [name for name, difference in differences.items() if not difference <= TOLERANCE]  # a NaN is none
    for name in wrong:
        console.print_note(f"{escape(name)} differs by {differences[name]:.3e}, more than {TOLERANCE:g}")
    return ExitCode.ERROR if wrong else ExitCode.OK


def describe(card: ModelCard) -> dict[str, Any]:
    """Return a card as JSON values; None stands for what is not known."""
    return {
        "name": card.id,
        "title": card.title,
        "family": card.family,
        "here": _is_here(card),
        "scores": card.family in SCORING_FAMILIES and not card.trains_only,
        "native_range": [card.scale.low, card.scale.high],
        "read_out": card.read_out,
        "dimensions": [{"name": each.name, "meaning": each.meaning} for each in card.dimensions],
        "preprocessing": card.preprocessing,
        "size_bytes": card.size_bytes,
        "code_license": card.code_license,
        "weights_license": card.weights_license,
        "base_license": card.base_license,
        "non_commercial": card.non_commercial,
        "trained_on": list(card.trained_on),
        "leaks_into": list(card.leaks),
        "sources": [f"{source.repo}@{source.revision or 'resolved by pull'}" for source in card.sources]
        or ([str(card.folder)] if card.folder else []),
        "revision": card.revision or None,
        "needs_extra": card.needs or "none",
        "note": card.note or None,
        "warning": card.warning or None,
    }


def _verify(card: ModelCard) -> list[str]:
    if card.folder:
        if not check_folder(card):
            console.print_note(
                f"note: {escape(card.id)} does not say what its files must be: they were opened, no more"
            )
        return []
    if not card.sources:
        raise UsageError(f"{card.id} has no files to verify")
    weights.locate(card)
    return weights.verify(card)


def _hint_to_repair(name: str) -> str:
    if name == "mini":
        return "reinstall the package"
    if not name.startswith("hf:") and Path(name).is_dir():  # nothing can fetch it
        return f"copy the whole folder {name} again, or train it again"
    if name.startswith((".", "/")):
        return "aes models ls   lists the models that have a name"
    return f"aes models pull {name}   fetches it again"


def _is_here(card: ModelCard) -> bool:
    if card.folder:
        return True
    try:
        return bool(weights.locate(card))
    except WeightsUnavailable:
        return False


def _shown(value: object) -> str:
    match value:
        case None | []:
            return "unknown"
        case bool():
            return _yes(value)
        case [int() | float() as low, int() | float() as high]:
            return f"{low:g} to {high:g}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _print_json(value: object) -> None:
    console.print_text(json.dumps(value, indent=2))


def _quiet_unless_terminal() -> None:
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()
