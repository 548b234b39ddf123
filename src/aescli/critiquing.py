"""Critiques: a picture to an object of words, whether the model writes JSON or only answers questions."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from aescli.errors import ErrorCode, PictureError, first_line
from aescli.images.find import Found
from aescli.images.opening import Opener
from aescli.images.picture import Decoding
from aescli.images.source import Identity, flag
from aescli.models.base import Critic, CutShort
from aescli.models.crew import Crew, Job
from aescli.results import Critique, Failure, Rating
from aescli.store import Store
from aescli.templates import Template
from aescli.words import clean

LISTS = ("strengths", "weaknesses", "suggestions")
DISAGREES = "words_disagree"
CUT_SHORT = "cut_short"

_HIGH, _LOW = 7.0, 3.0  # out of ten: where words that say only the opposite are worth a flag
_MOST_ITEMS, _MOST_LETTERS = 20, 4_000
_DISMISSAL_SECONDS = 3.0  # a signal must end the run within five


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of each picture.

    Args:
        template: the questions.
        dims: dimensions that are described beside the rest.
        ask: a question of the user's own; it replaces the rest.
        most_tokens: of one answer.
        fresh: stored critiques are not looked up; they are replaced.
        opener: decodes pictures.

    """

    template: Template
    dims: tuple[str, ...] = ()
    ask: str | None = None
    most_tokens: int = 512
    fresh: bool = False
    opener: Opener = field(default_factory=Opener)


def fingerprint(critic: Critic, request: Request, decoding: Decoding) -> dict[str, Any]:
    """Return everything that a critique depends on beside the picture, as JSON values."""
    return {
        "critique": 1,
        "model": critic.card.id,
        "revision": critic.card.revision,
        "writes_json": critic.card.writes_json,
        "decoding": "exact" if decoding.exact else "draft2x",
        "template": asdict(request.template),
        "dims": list(request.dims),
        "ask": request.ask,
        "most_tokens": request.most_tokens,
        **critic.fingerprint,
    }


def critique_all(
    inputs: Iterable[Found],
    critic: Critic,
    request: Request,
    store: Store | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Critique | Failure]:
    """Yield one critique or failure for each input, in order; stored ones are taken, new ones are kept.

    A critic with several lanes, one for each device, works on as many batches side by side.

    Args:
        inputs: what `find` yields.
        critic: a loaded model.
        request: what is wanted.
        store: of this request's fingerprint.
        tell: is given the words of a picture that is alone in its batch, as they come.

    """
    if critic.lanes == 1 or tell:
        for batch in _batched(inputs, critic.batch_size):
            yield from _critique(batch, critic, request, store, tell)
        return
    crew, window = Crew(critic.lanes, "aes-critique"), deque[Job]()
    try:
        for batch in _batched(inputs, critic.batch_size):
            window.append(crew.start(_critique, batch, critic, request, store, None))
            if len(window) > critic.lanes:  # one more than there are lanes: none waits for the one that is slow
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()
    finally:
        crew.dismiss(_DISMISSAL_SECONDS)


def _batched(inputs: Iterable[Found], size: int) -> Iterator[list[Found]]:
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch


def _critique(
    batch: Sequence[Found],
    critic: Critic,
    request: Request,
    store: Store | None,
    tell: Callable[[str], None] | None,
) -> list[Critique | Failure]:
    done: dict[int, Critique | Failure] = {}
    waiting: dict[int, _Prepared] = {}
    for at, found in enumerate(batch):
        kept = None if request.fresh else _find(found, store)
        if kept is not None:
            done[at] = kept
            continue
        try:
            waiting[at] = _prepare(found, critic, request)
        except PictureError as error:
            done[at] = _failed(found.path, error, critic)
    if waiting:
        answers = _answer([each.picture for each in waiting.values()], critic, request, tell)
        for (at, prepared), said in zip(waiting.items(), answers, strict=True):
            done[at] = _finished(batch[at].path, said, critic, prepared.flags)
            _keep(prepared.identity, done[at], store)
    return [done[at] for at in range(len(batch))]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the critic keeps of a picture, the state of the file that it was read from, and what there is to know."""

    picture: Any
    identity: Identity
    flags: tuple[str, ...]


def _prepare(found: Found, critic: Critic, request: Request) -> _Prepared:
    file = found.read()
    with request.opener.open(file.data, found.path) as view:
        picture = critic.prepare(view)  # flags are complete after it
        return _Prepared(picture, file.identity, flag(found.path, file, view.flags))


def _answer(
    pictures: Sequence[Any], critic: Critic, request: Request, tell: Callable[[str], None] | None
) -> list[dict[str, Any] | PictureError]:
    """Return the fields of each picture's critique."""
    if request.ask is not None:
        said = critic.answer([(each, request.ask) for each in pictures], request.most_tokens, tell)
        return [_answered(each) for each in said]
    write = _write_json if critic.card.writes_json else _ask_each
    found = write(pictures, critic, request, tell)
    ratings = critic.read_levels(pictures)
    for at, (fields, rating) in enumerate(zip(found, ratings or [], strict=False)):
        if isinstance(fields, dict) and isinstance(rating, Rating):
            found[at] = {**fields, "overall": critic.card.scale.out_of_ten(rating.raw), "read_out": "levels"}
    return found


def _write_json(
    pictures: Sequence[Any], critic: Critic, request: Request, tell: Callable[[str], None] | None
) -> list[dict[str, Any] | PictureError]:
    """Ask for the object; what is none is asked for once more."""
    dims = ", ".join(f'"{name}": "one sentence"' for name in request.dims)
    question = request.template.json.replace("{dims}", f', "dims": {{{dims}}}' if dims else "")
    said = critic.answer([(each, question) for each in pictures], request.most_tokens, tell)
    found = [text if isinstance(text, PictureError) else read_object(text, request.dims) for text in said]
    again = [at for at, text in enumerate(said) if isinstance(text, str) and isinstance(found[at], PictureError)]
    if again:
        repair = f"{question}\n{request.template.repair}"
        repaired = critic.answer([(pictures[at], repair) for at in again], request.most_tokens)
        for at, text in zip(again, repaired, strict=True):
            found[at] = text if isinstance(text, PictureError) else read_object(text, request.dims)
        lost = [pictures[at] for at in again if isinstance(found[at], PictureError)]
        critic.forget([(each, asked) for each in lost for asked in (question, repair)], request.most_tokens)
    return found


def _ask_each(
    pictures: Sequence[Any], critic: Critic, request: Request, tell: Callable[[str], None] | None
) -> list[dict[str, Any] | PictureError]:
    """Ask one question for each field, over one prefix where the model can, and put the object together."""
    template = request.template
    questions = {
        "summary": template.summary,
        **{name: getattr(template, name) for name in LISTS},
        **{f"dims.{name}": template.dimension.replace("{dimension}", name) for name in request.dims},
    }
    found: list[dict[str, Any] | PictureError] = []
    for picture in pictures:
        if tell:  # the summary is shown as it is said
            summary = critic.answer([(picture, questions["summary"])], request.most_tokens, tell)
            rest = critic.answer_all(picture, list(questions.values())[1:], request.most_tokens)
            answers = [*summary, *rest]
        else:
            answers = list(critic.answer_all(picture, list(questions.values()), request.most_tokens))
        said = dict(zip(questions, answers, strict=True))
        texts = {name: _sentence(text) for name, text in said.items() if isinstance(text, str)}
        failed = next((each for each in said.values() if isinstance(each, PictureError)), None)
        if failed or not texts["summary"]:
            found.append(failed or _empty(str(said["summary"])))
            continue
        found.append(
            {
                "summary": texts["summary"],
                **{name: _items(texts[name]) for name in LISTS},
                "dims": {name: texts[f"dims.{name}"] for name in request.dims},
                "flags": _flags(said.values()),
            }
        )
    return found


def list_questions(request: Request, *, writes_json: bool) -> list[str]:
    """Return what is asked about each picture, a repair not counted."""
    if request.ask is not None:
        return [request.ask]
    template = request.template
    if writes_json:
        return [template.json]
    dims = [template.dimension.replace("{dimension}", name) for name in request.dims]
    return [template.summary, *(getattr(template, name) for name in LISTS), *dims]


def read_object(text: str, dims: Sequence[str]) -> dict[str, Any] | PictureError:
    """Return the fields of an answer that should be one JSON object, made safe, or why it is none.

    A fence of backticks round the object is taken off; anything else beside it is an error.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        found = json.loads(bare)
        fields = _checked(found, dims)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        cut = "--max-tokens ended it: " if isinstance(text, CutShort) else ""
        problem = f"{cut}{first_line(error)}"
        return PictureError(ErrorCode.BAD_ANSWER, f"no such object ({problem}); it said: {clean(text)[:_MOST_LETTERS]}")
    return fields


def _checked(found: Any, dims: Sequence[str]) -> dict[str, Any]:
    wanted = {"summary", *LISTS, *(["dims"] if dims else [])}
    if not isinstance(found, Mapping) or set(found) != wanted:
        raise ValueError(f"its keys must be {', '.join(sorted(wanted))}")
    if not isinstance(found["summary"], str) or not clean(found["summary"]):
        raise ValueError("summary is no text")
    fields: dict[str, Any] = {"summary": clean(found["summary"])[:_MOST_LETTERS]}
    for name in LISTS:
        items = found[name]
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{name} is no list of texts")
        fields[name] = [clean(item)[:_MOST_LETTERS] for item in items[:_MOST_ITEMS] if clean(item)]
    if dims:
        described = found["dims"]
        if not isinstance(described, Mapping) or set(described) != set(dims):
            raise ValueError(f"dims must have the keys {', '.join(dims)}")
        if not all(isinstance(text, str) for text in described.values()):
            raise ValueError("dims holds more than texts")
        fields["dims"] = {name: clean(described[name])[:_MOST_LETTERS] for name in dims}
    return fields


def _finished(
    path: str, said: dict[str, Any] | PictureError, critic: Critic, flags: tuple[str, ...]
) -> Critique | Failure:
    if isinstance(said, PictureError):
        return _failed(path, said, critic)
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    critique = Critique(path, critic.card.id, critic.card.revision, critic.backend, **values)
    more = [DISAGREES] if disagrees(critique) else []
    return replace(critique, flags=tuple(sorted({*flags, *critique.flags, *more})))


def disagrees(critique: Critique) -> bool:
    """Tell whether words and score say the opposite: a high score with faults alone, a low one with praise alone."""
    if critique.overall is None or critique.answer:
        return False
    praise, blame = len(critique.strengths), len(critique.weaknesses)
    if critique.overall >= _HIGH:
        return blame > 0 and praise == 0
    return critique.overall <= _LOW and praise > 0 and blame == 0


def _answered(said: str | PictureError) -> dict[str, Any] | PictureError:
    if isinstance(said, PictureError):
        return said
    text = _sentence(said)
    return {"answer": text, "flags": _flags([said])} if text else _empty(said)


def _flags(answers: Iterable[str | PictureError]) -> tuple[str, ...]:
    return (CUT_SHORT,) if any(isinstance(each, CutShort) for each in answers) else ()


def _sentence(text: str) -> str:
    """Return an answer made safe; some models begin with a stop."""
    return clean(text).lstrip(".,;: \n")[:_MOST_LETTERS]


def _items(text: str) -> list[str]:
    """Return the points of an answer in free text: its lines, without their marks, or its sentences."""
    lines = [line.strip().lstrip("-*\u2022 ").strip() for line in text.splitlines() if line.strip()]
    points = lines if len(lines) > 1 else [part.strip() for part in text.split(". ") if part.strip()]
    return [point for point in points if point][:_MOST_ITEMS]


def _empty(text: str) -> PictureError:
    return PictureError(ErrorCode.BAD_ANSWER, f"the answer holds no words; it said: {clean(text)[:80]!r}")


def _failed(path: str, error: PictureError, critic: Critic) -> Failure:
    return Failure(path, error.code, error.message, critic.card.id, critic.card.revision, critic.backend, "words")


def _find(found: Found, store: Store | None) -> Critique | None:
    identity = found.identify() if store and not found.problem else None
    content = store.find_text(identity) if store and identity else None
    if content is None:
        return None
    fields = json.loads(content)
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return Critique(**{**values, "path": found.path})


def _keep(identity: Identity, critique: Critique | Failure, store: Store | None) -> None:
    if store and isinstance(critique, Critique):
        store.keep_text(
            identity, json.dumps({name: value for name, value in asdict(critique).items() if name != "path"})
        )
