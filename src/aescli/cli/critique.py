"""`aes critique`: what a model says of each picture."""

import re
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from aescli.cards import ModelCard
from aescli.cli import console, options
from aescli.cli.stopping import stopping
from aescli.cli.writing import named_file
from aescli.critiquing import Request, critique_all, fingerprint, list_questions
from aescli.errors import ExitCode, NothingMatched, UsageError, WeightsUnavailable, install_line
from aescli.home import aes_home
from aescli.images.find import Found, Selection
from aescli.images.isolation import Limits
from aescli.images.opening import Opener
from aescli.images.picture import MAX_PIXELS, Decoding, take_over_pillow
from aescli.inputs import Inputs
from aescli.models.base import Critic, EndpointOptions, LoadOptions
from aescli.models.loading import load_critic
from aescli.output import replace_file
from aescli.registry import find_card
from aescli.results import Critique, Failure
from aescli.store import Store
from aescli.templates import TEMPLATES, find_template, show_template
from aescli.words import clean
from aescli.writers.critiques import FORMATS, CritiqueWriter, choose_critique_format, set_in

_DIMENSION = re.compile(r"[a-z][a-z_ ]{0,30}")


def critique(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs.")] = None,
    *,
    model: options.CriticOption = "aesexpert-7b",
    ask: Annotated[str | None, typer.Option(metavar="QUESTION", help="Ask this instead.")] = None,
    dims: Annotated[str, typer.Option(metavar="NAMES", help="Describe these too: composition,light,color,focus,emotion...")] = "",
    template: Annotated[str, typer.Option(envvar="AES_TEMPLATE", metavar="NAME|FILE", help="The questions.")] = "default",
    list_templates: Annotated[bool, typer.Option("--list-templates", help="List the templates.")] = False,
    show_questions: Annotated[bool, typer.Option("--show-template", help="Show the questions, as a file to change.")] = False,
    format: Annotated[str, typer.Option(metavar="auto|" + "|".join(FORMATS), rich_help_panel=options.OUTPUT, help="Words for people, Markdown, or JSON; auto is words, the suffix with -o.")] = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", callback=options.keep_pictures, rich_help_panel=options.OUTPUT, help="Write to a file instead of stdout.")] = None,
    max_tokens: Annotated[int, typer.Option(envvar="AES_MAX_TOKENS", min=1, rich_help_panel=options.RUNNING, help="The most tokens of one answer.")] = 512,
    base_url: options.BaseUrlOption = None,
    image_side: Annotated[int, typer.Option(envvar="AES_IMAGE_SIDE", min=28, rich_help_panel=options.MODELS, help="The long side of what an endpoint is sent, in pixels.")] = EndpointOptions().side,
    detail: Annotated[str, typer.Option(envvar="AES_DETAIL", metavar="low|high|auto", rich_help_panel=options.MODELS, help="How closely an endpoint looks.")] = EndpointOptions().detail,
    estimate: Annotated[bool, typer.Option("--estimate", rich_help_panel=options.MODELS, help="Say what an endpoint would take, and ask nothing; needs no key.")] = False,
    price_in: options.PriceInOption = 0.0,
    price_out: options.PriceOutOption = 0.0,
    max_cost: options.MaxCostOption = None,
    device: options.DeviceOption = "auto",
    data_type: options.DataTypeOption = "auto",
    max_pixels: options.MaxPixelsOption = MAX_PIXELS,
    store: Annotated[Path | None, typer.Option(envvar="AES_STORE", rich_help_panel=options.KEEPING, help="Keep critiques in this file.")] = None,
    no_store: Annotated[bool, typer.Option("--no-store", envvar="AES_NO_STORE", rich_help_panel=options.KEEPING, help="Keep nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", rich_help_panel=options.KEEPING, help="Ask again about what is kept.")] = False,
) -> ExitCode:  # fmt: skip
    """Say in words what is good and what is not; the same picture has the same words.

    aes critique img.jpg        streamed as it is said

    aes critique img.jpg --ask "What would improve the light?"

    aes critique *.jpg --format jsonl -o critiques.jsonl
    """
    if list_templates or show_questions:
        return _show_templates(template, listed=list_templates)
    form = choose_critique_format(format, output)
    words = tuple(paths or ())
    if not words:
        raise UsageError("no pictures are named", hint="aes critique img.jpg")
    named = Inputs(words, Selection())
    named.check()
    request = Request(
        find_template(template), _dimensions(dims), ask, max_tokens, fresh,
        Opener(Decoding(exact=True, max_pixels=max_pixels), limits=Limits()),
    )  # fmt: skip
    inputs = list(named.find())
    if not inputs:
        raise NothingMatched(f"no picture in {', '.join(words)}")
    if detail not in ("low", "high", "auto"):
        raise UsageError(f"'{detail}' is no detail", hint="--detail low|high|auto")
    endpoint = EndpointOptions(
        base_url=base_url,
        side=image_side,
        detail=detail,
        price_in=price_in,
        price_out=price_out,
        max_cost=max_cost,
        fresh=fresh,
    )
    card, output = find_card(model), named_file(output)
    if estimate:
        return _estimate(card, len(inputs), request, endpoint)
    critic = _load(card, LoadOptions(device=device, data_type=data_type, endpoint=endpoint))
    take_over_pillow()
    tell = _teller(critic.card, inputs, request, form, output)
    with ExitStack() as stack:
        stack.enter_context(stopping())
        stack.enter_context(request.opener)
        stack.enter_context(closing(critic))
        key = fingerprint(critic, request, request.opener.decoding)
        file = None if no_store else store or aes_home() / "scores.db"
        keeper = stack.enter_context(Store(file, key)) if file else None
        rows = critique_all(inputs, critic, request, keeper, tell)
        stream = stack.enter_context(replace_file(output) if output else console.standard_output())
        writer = CritiqueWriter(stream, form, named=len(inputs) > 1, told=lambda: tell is not None and tell.told)
        failed = _show(rows, writer, stream, len(inputs), flush=output is None)
    kept = f"; {keeper.found} of them kept from before" if keeper and keeper.found else ""
    console.print_note(f"{len(inputs) - failed} critiques{kept}, {failed} failed")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _estimate(card: ModelCard, pictures: int, request: Request, endpoint: EndpointOptions) -> ExitCode:
    from aescli.models.endpoint import estimate

    if card.family != "endpoint":
        raise UsageError(f"{card.id} runs here and costs nothing")
    questions = list_questions(request, writes_json=card.writes_json)
    for name, value in estimate(pictures, questions, request.most_tokens, endpoint).items():
        console.print_text(f"{name.replace('_', ' '):<20} {value:g}")
    return ExitCode.OK


def _load(card: ModelCard, wanted: LoadOptions) -> Critic:
    """Load a critic; a model that is not here says all that it would take, and what is smaller."""
    try:
        return load_critic(card, wanted)
    except WeightsUnavailable as error:
        if not error.hint.startswith("aes models pull"):
            raise
        size = f"{card.size_bytes / 1e9:.1f} GB" if card.size_bytes else "of unknown size"
        terms = card.weights_license or f"no licence of its own; its base: {card.base_license or 'unknown'}"
        raise WeightsUnavailable(
            f"{card.id} is not on this machine: {size}, licence: {terms}; it needs {install_line('torch')}. Smaller and "
            f"under Apache-2.0: qwen3-vl-4b",
            hint=error.hint,
        ) from error


def _teller(
    card: ModelCard, inputs: list[Found], request: Request, format: str, output: Path | None
) -> "_Teller | None":
    """Return what prints words as they come: for people, one picture, and a model whose first answer is prose."""
    prose = request.ask is not None or not card.writes_json
    if format != "text" or output or len(inputs) > 1 or not prose or not sys.stdout.isatty():
        return None

    return _Teller()


class _Teller:
    """Prints words as they come.

    Attributes:
        told: it has; a critique that is kept from before comes without.

    """

    def __init__(self) -> None:
        self.told = False

    def __call__(self, text: str) -> None:
        begun = text.lstrip(".,;: \n") if not self.told else text  # as the kept words begin
        ended = " " if begun[-1:].isspace() else ""
        sys.stdout.write(set_in(clean(begun)) + ended)
        sys.stdout.flush()
        self.told = self.told or bool(begun)


def _show(
    rows: Iterable[Critique | Failure], writer: CritiqueWriter, stream: BinaryIO, total: int, *, flush: bool
) -> int:
    """Write critiques as they come, and return how many failed."""
    failed = 0
    with ExitStack() as stack:
        bar = stack.enter_context(console.Bar(lambda: total, "critiques")) if total > 1 else None
        for row in rows:
            failed += isinstance(row, Failure)
            with bar.hidden() if bar and sys.stdout.isatty() and flush else nullcontext():
                writer.write(row)
                if flush:
                    stream.flush()
            if bar:
                bar.advance(row)
    writer.finish()
    return failed


def _dimensions(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    for name in names:
        if not _DIMENSION.fullmatch(name):
            raise UsageError(f"'{name}' is no dimension", hint="--dims composition,light,color,focus,emotion")
    return names


def _show_templates(name: str, *, listed: bool) -> ExitCode:
    if listed:
        for known in TEMPLATES:
            console.print_text(known)
    else:
        console.print_text(show_template(find_template(name)))
    return ExitCode.OK
