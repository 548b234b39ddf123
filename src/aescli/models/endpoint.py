"""Any OpenAI-compatible server: critiques, and scores from level words.

The key comes from OPENAI_API_KEY alone and leaves in one header to one host; it stands in no row, no file and no
message, whatever a server echoes. Each answer is kept by everything that it depends on, so that none is paid for twice.
"""

import base64
import hashlib
import io
import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aescli.cards import ModelCard
from aescli.errors import ErrorCode, MissingExtra, PictureError, UsageError
from aescli.home import aes_home
from aescli.images.view import View
from aescli.models.base import CutShort, EndpointOptions
from aescli.models.crew import Crew
from aescli.models.level_choices import LevelChoices
from aescli.models.responses import Responses
from aescli.results import Exchange, Rating
from aescli.words import clean

KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
JPEG_QUALITY = 90
NO_LOGPROBS = "no_logprobs"

_HIDDEN = "[key]"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LEVEL_QUESTION = "{question} Answer with exactly one of these words and nothing else: {words}."
LEVEL_TOKENS = 4  # of a reply that is one of them
_TOKENS_OF_A_PICTURE = 1_105  # of 1024 x 1024 at detail high, in OpenAI's published way of counting
_SHORTEST_KEY = 12  # characters of a secret
_LETTERS_OF_A_TOKEN = 4
_ROUNDED = 1e-3  # what a log-probability is above 0 by rounding alone
_DISMISSAL_SECONDS = 1.0  # a signal must end the run within five, and others wait as well


@dataclass(slots=True)
class Spent:
    """Tokens and money so far, of all threads."""

    options: EndpointOptions
    asked: int = 0
    said: int = 0
    requests: int = 0
    uncounted: float = 0.0  # money for answers whose tokens the server did not count, at the most
    _reserved: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, most: float) -> bool:
        """Set money aside for a request; False when what is spent and what is under way leave no room for it."""
        limit = self.options.max_cost
        with self._lock:
            if limit is not None and self.cost() + self._reserved + most > limit:
                return False
            self._reserved += most
            return True

    def release(self, most: float) -> None:
        """Give back what was set aside; what the request took is added by itself."""
        with self._lock:
            self._reserved -= most

    def add(self, tokens: list[int] | None, most: float) -> None:
        """Count an answer's tokens, asked and said; what nobody counted costs what was set aside for it."""
        with self._lock:
            self.requests += 1
            if tokens is None:
                self.uncounted += most
            else:
                self.asked += tokens[0]
                self.said += tokens[1]

    def cost(self) -> float:
        return (self.asked * self.options.price_in + self.said * self.options.price_out) / 1e6 + self.uncounted


class Endpoint:
    """A server's model as a critic and a scorer."""

    def __init__(
        self, card: ModelCard, options: EndpointOptions, client: Any, base_url: str, responses: Responses
    ) -> None:
        self.card = card
        self.dimensions: tuple[str, ...] = ()
        self.backend = f"endpoint {urlsplit(base_url).hostname}"
        self.batch_size = options.concurrency
        self.lanes = 1  # requests of a batch go side by side by themselves
        self.spent = Spent(options)
        self.fingerprint: dict[str, Any] = {
            "runtime": "endpoint",
            "base_url": base_url,
            "side": options.side,
            "quality": JPEG_QUALITY,
            "detail": options.detail,
        }
        self._model = card.id.removeprefix("endpoint:")
        self._options = options
        self._client = client
        self._base_url = base_url
        self._responses = responses
        self._crew = Crew(options.concurrency, "aes-endpoint")
        self._levels = LevelChoices()

    def prepare(self, picture: View) -> bytes:
        """Return the picture as a JPEG file's bytes, its long side reduced.

        Raises:
            StoreFailed: answers cannot be kept any more, so that this picture is not asked about.

        """
        from PIL import Image

        self._responses.check()
        file = io.BytesIO()
        Image.fromarray(picture.whole(self._options.side)).save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()

    def answer(
        self, asked: Sequence[tuple[bytes, str]], most_tokens: int, tell: Callable[[str], None] | None = None
    ) -> list[str | PictureError]:
        """Ask side by side; `tell` is given a single answer when it is whole."""
        found = self._crew.call(self._safely, [(self._say, *each, most_tokens) for each in asked])
        if tell and len(found) == 1 and isinstance(found[0], str):
            tell(found[0])
        return found

    def answer_all(self, picture: bytes, questions: Sequence[str], most_tokens: int) -> list[str | PictureError]:
        return self.answer([(picture, question) for question in questions], most_tokens)

    def forget(self, asked: Sequence[tuple[bytes, str]], most_tokens: int) -> None:
        for picture, question in asked:
            self._responses.drop(self._key(picture, question, _limits(most_tokens)))

    def count_tokens(self, picture: bytes, question: str, reply: str, most_tokens: int) -> tuple[int, int] | None:  # noqa: ARG002
        """Return what the server counted for the answer that is kept."""
        kept = self._responses.find(self._key(picture, question, _limits(most_tokens)))
        found = (kept or {}).get("tokens")
        return (int(found[0]), int(found[1])) if found else None

    def read_levels(self, prepared: Sequence[bytes]) -> Sequence[Rating | PictureError] | None:  # noqa: ARG002
        """None: a score would be another request for each picture, which nobody asked to pay for."""
        return None

    def read_words(self, asked: Sequence[tuple[bytes, str]], words: Sequence[str]) -> None:
        """None: it would be another request, and a server tells no more than its twenty likeliest tokens."""

    def rate(self, prepared: Sequence[bytes]) -> list[Rating | PictureError]:
        return self._crew.call(self._safely, [(self._rate, each) for each in prepared])

    def close(self) -> None:
        """Begin no more requests, and wait a moment for those under way, which are paid for.

        Raises:
            StoreFailed: answers could not be kept, and nobody was told yet.

        """
        self._crew.dismiss(_DISMISSAL_SECONDS)
        self._client.close()
        self._responses.close()

    def _safely(self, ask: Callable[..., Any], *words: Any) -> Any:
        """Return an error where a request fails: nothing of what the server said about the key is kept."""
        import openai

        try:
            return ask(*words)
        except PictureError as error:
            return error
        except openai.APIStatusError as error:
            message = f"the server answered {error.status_code}: {_short(str(error.message))}"
        except openai.APITimeoutError:
            message = f"the server took more than {self._options.seconds:g} seconds"
        except openai.APIError as error:
            message = f"the request failed: {_short(str(error.message))}"
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            message = f"the server's reply is none of this protocol: {type(error).__name__}"
        return PictureError(ErrorCode.ENDPOINT_ERROR, message)

    def _say(self, picture: bytes, question: str, most_tokens: int) -> str:
        reply = self._ask(picture, question, _limits(most_tokens))
        if reply.get("refusal"):
            raise PictureError(ErrorCode.REFUSED, f"the model declined: {_short(str(reply['refusal']))}")
        text = str(reply["text"] or "")
        return CutShort(text) if reply.get("cut") else text

    def _rate(self, picture: bytes) -> Rating:
        """Ask for a level word; where the reply carries log-probabilities they are weighted, else the word stands."""
        question = ask_for_level(self._levels)
        limits = {"max_tokens": LEVEL_TOKENS, "temperature": 0, "seed": 0, "logprobs": True, "top_logprobs": 20}
        reply = self._ask(picture, question, limits)
        exchange = Exchange(question, str(reply["text"]), *(reply.get("tokens") or (None, None)))
        worth = dict(zip(self._levels.words, self._levels.weights, strict=True))
        word = _word(str(reply["text"]))
        levels = self._weigh(reply.get("logprobs") or [])
        total = sum(levels.values())
        # A word of several tokens tells its probability nowhere: then the reply must be taken as it is.
        if word in worth and _word(reply.get("chosen", "")) == word and levels[word] > 0:
            shares = {name: value / total for name, value in levels.items()}
            return Rating(sum(worth[name] * share for name, share in shares.items()), levels=shares, exchange=exchange)
        if word not in worth:
            self._responses.drop(self._key(picture, question, limits))
            raise PictureError(ErrorCode.BAD_ANSWER, f"no level word; it said: {_short(str(reply['text']))}")
        return Rating(worth[word], flags=(NO_LOGPROBS,), exchange=exchange)

    def _weigh(self, logprobs: Sequence[tuple[str, float]]) -> dict[str, float]:
        """Return the probability of each level word; all are 0 where one of a reply's numbers cannot be one."""
        levels = dict.fromkeys(self._levels.words, 0.0)
        for token, value in logprobs:
            if not value <= _ROUNDED:  # NaN as well
                return dict.fromkeys(levels, 0.0)
            if (level := _level(token, self._levels.words)) is not None:
                levels[level] += math.exp(min(value, 0.0))  # with and without a blank, or a capital
        return levels

    def _ask(self, picture: bytes, question: str, limits: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reply's words and log-probabilities, from before where it was asked before."""
        key = self._key(picture, question, limits)
        kept = None if self._options.fresh else self._responses.find(key)
        if kept is not None:
            return kept
        most = self._cost_at_most(question, limits)
        if not self.spent.reserve(most):
            raise PictureError(ErrorCode.BUDGET, f"not asked: {self.spent.cost():.4f} of --max-cost are spent")
        try:
            return self._send(picture, question, limits, key)
        finally:
            self.spent.release(most)

    def _key(self, picture: bytes, question: str, limits: Mapping[str, Any]) -> str:
        """Return what stands for everything that an answer depends on."""
        digest = hashlib.sha256(picture).hexdigest()
        what = [self._model, self._base_url, question, self._options.detail, dict(limits), digest]
        if _is_placeholder(os.environ.get(KEY, "")):  # answers from before lack what was taken for a key
            what.append("as it was said")
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _cost_at_most(self, question: str, limits: Mapping[str, Any]) -> float:
        asked = _TOKENS_OF_A_PICTURE + len(question) // _LETTERS_OF_A_TOKEN
        return (asked * self._options.price_in + int(limits["max_tokens"]) * self._options.price_out) / 1e6

    def _send(self, picture: bytes, question: str, limits: Mapping[str, Any], key: str) -> dict[str, Any]:
        url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
        content = [
            {"type": "text", "text": question},
            {"type": "image_url", "image_url": {"url": url, "detail": self._options.detail}},
        ]
        reply = self._client.chat.completions.create(
            model=self._model, messages=[{"role": "user", "content": content}], **limits
        )
        tokens = _tokens(reply.usage)
        self.spent.add(tokens, self._cost_at_most(question, limits))
        choice = reply.choices[0]
        first = choice.logprobs.content[0] if choice.logprobs and choice.logprobs.content else None
        found = {
            "text": _without_key(choice.message.content or ""),
            "refusal": _without_key(choice.message.refusal or ""),
            "chosen": first.token if first else "",
            "logprobs": [[each.token, each.logprob] for each in first.top_logprobs] if first else None,
            "tokens": tokens,
            "cut": choice.finish_reason == "length",
        }
        if choice.finish_reason == "content_filter":
            raise PictureError(ErrorCode.REFUSED, "the server's filter cut the answer off")
        if not found["text"] and not found["refusal"]:
            raise PictureError(ErrorCode.BAD_ANSWER, "the reply holds no words")
        self._responses.keep(key, found)
        return found


def open_endpoint(card: ModelCard, options: EndpointOptions) -> Endpoint:
    """Make a client of the official library; nothing is sent yet.

    Raises:
        MissingExtra: the library is not installed.
        UsageError: no key, or an address that would show it to a network.

    """
    try:
        import openai
    except ImportError:
        raise MissingExtra("an endpoint", "api") from None
    base_url = options.base_url or os.environ.get(BASE_URL) or "https://api.openai.com/v1"
    address = _address(base_url)
    if options.max_cost is not None and not options.price_in and not options.price_out:
        raise UsageError("--max-cost needs prices", hint="--price-in and --price-out, of a million tokens")
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
        raise UsageError(
            f"{clean(base_url)} would show key and pictures to the network", hint="https://, or http on this machine"
        )
    key = os.environ.get(KEY)
    if not key and address.hostname not in _LOOPBACK:
        raise UsageError(
            f"there is no key for {address.hostname}", hint=f"export {KEY}=...   it is read from nowhere else"
        )
    client = openai.OpenAI(
        api_key=key or "none", base_url=base_url, timeout=options.seconds, max_retries=options.retries
    )
    return Endpoint(card, options, client, base_url, Responses(aes_home() / "responses.db"))


def ask_for_level(levels: LevelChoices) -> str:
    """Return the question whose answer is one of the level words."""
    return _LEVEL_QUESTION.format(question=levels.question, words=", ".join(levels.words))


def _limits(most_tokens: int) -> dict[str, Any]:
    return {"max_tokens": most_tokens, "temperature": 0, "seed": 0}


def _tokens(usage: Any) -> list[int] | None:
    """Return how many tokens were asked and said; None where the server does not count them, or cannot."""
    counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    found = [count for count in counts if isinstance(count, int) and count >= 0]
    return found if len(found) == len(counts) else None


def _address(base_url: str) -> SplitResult:
    try:
        address = urlsplit(base_url)
        address.port  # noqa: B018 - it is read to be checked
    except ValueError as error:
        raise UsageError(f"{clean(base_url)} is no address: {error}") from None
    if not address.hostname:
        raise UsageError(f"{clean(base_url)} names no host")
    if address.username or address.password:
        raise UsageError("an address holds no user and no password", hint=f"export {KEY}=...")
    return address


def estimate(pictures: int, questions: Sequence[str], most_tokens: int, options: EndpointOptions) -> dict[str, float]:
    """Return what a run would take at most, in tokens and in money; no key is needed."""
    asked = pictures * sum(_TOKENS_OF_A_PICTURE + len(question) // _LETTERS_OF_A_TOKEN + 10 for question in questions)
    said = pictures * len(questions) * most_tokens
    cost = (asked * options.price_in + said * options.price_out) / 1e6
    return {"requests": pictures * len(questions), "tokens_in": asked, "tokens_out_at_most": said, "cost_at_most": cost}


def _word(token: str) -> str:
    return token.strip().strip(".,!\"'`*").lower()


def _level(token: str, levels: Sequence[str]) -> str | None:
    """Return the level that a first token is, or begins: `excellent` is `ex` and `cellent` to some models."""
    word = _word(token)
    if word in levels:
        return word
    begun = [level for level in levels if len(word) > 1 and level.startswith(word)]
    return begun[0] if len(begun) == 1 else None


def _short(text: str) -> str:
    """Return what a server said, made safe, without the key."""
    return " ".join(clean(_without_key(text)).split())[:300]


def _without_key(text: str) -> str:
    key = os.environ.get(KEY, "")
    if _is_placeholder(key):
        return text
    for secret in (key, base64.b64encode(key.encode()).decode()):
        text = text.replace(secret, _HIDDEN)
    return text


def _is_placeholder(key: str) -> bool:
    """Tell a word such as `none`, which servers without keys want all the same, from a secret: words hold words."""
    return len(key) < _SHORTEST_KEY
