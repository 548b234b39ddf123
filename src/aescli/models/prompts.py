"""What an InternVL model is asked, as tokens: conversation templates, questions, and the words of the levels.

Templates: OpenGVLab/InternVL, conversation.py. Questions and the answer's beginning: KwaiVGI/HumanAesExpert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aescli.errors import WeightsUnavailable

IMAGE, IMAGE_START, IMAGE_END = "<IMG_CONTEXT>", "<img>", "</img>"
SYSTEM = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, "  # noqa: RUF001 - as published
    "是一个有用无害的人工智能助手。"
)

# The same words in both; InternLM2's tokenizer puts its <s> before them.
_TEMPLATES = {"Hermes-2": "", "internlm2-chat": "<s>"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChoices:
    """What a checkpoint is asked.

    Args:
        template: `Hermes-2` or `internlm2-chat`.
        system: the system message.
        plain: the question for the Regression and the language-model head.
        expert: the question for the Expert head.
        stem: the beginning of the answer, behind which the level stands.

    """

    template: str = "Hermes-2"
    system: str = SYSTEM
    plain: str = "Rate the aesthetics of this human picture."
    expert: str = "Rate the aesthetics of this human picture from 12 different dimensions."
    stem: str = "The aesthetics of the human image is"

    @classmethod
    def read(cls, fields: Mapping[str, Any], where: str) -> "PromptChoices":
        """Read a card's `prompt`; every choice must be there.

        Raises:
            WeightsUnavailable: one is missing or unknown.

        """
        names = set(cls.__dataclass_fields__)
        if not isinstance(fields, Mapping) or set(fields) != names or fields["template"] not in _TEMPLATES:
            raise WeightsUnavailable(
                f"{where}: the card's prompt must have {', '.join(sorted(names))}",
                hint=f"template is one of {', '.join(_TEMPLATES)}",
            )
        return cls(**{name: str(value) for name, value in fields.items()})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens of both questions over one prefix.

    Args:
        before: up to the image.
        image: the token of one visual feature.
        after: behind the image, as far as both questions agree.
        plain: the rest of the plain question, up to the answer.
        stem: the beginning of the answer to it.
        expert: the rest of the twelve-dimension question, up to the answer.
        levels: the first token of each level's word behind the stem.

    """

    before: tuple[int, ...]
    image: int
    after: tuple[int, ...]
    plain: tuple[int, ...]
    stem: tuple[int, ...]
    expert: tuple[int, ...]
    levels: tuple[int, ...]

    def prefix(self, image_tokens: int) -> list[int]:
        """Return the tokens that both questions share, for a picture of so many visual features."""
        return [*self.before, *[self.image] * image_tokens, *self.after]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def build_prompt(folder: Path, choices: PromptChoices, levels: Sequence[str]) -> Prompt:
    """Turn the questions into tokens with a folder's own tokenizer.

    Raises:
        WeightsUnavailable: there is no tokenizer, it has no token for images, or two levels begin with the same token.

    """
    tokenizer = load_tokenizer(folder)
    image = tokenizer.token_to_id(IMAGE)
    if image is None:
        raise WeightsUnavailable(f"{folder}: its tokenizer has no {IMAGE}")

    def tokens(question: str, answer: str = "") -> list[int]:
        encoded = tokenizer.encode(dialogue(choices, question) + answer, add_special_tokens=False)
        return list(encoded.ids)

    plain, expert = tokens(choices.plain), tokens(choices.expert)
    if plain.count(image) != 1 or expert.count(image) != 1:
        raise WeightsUnavailable(f"{folder}: its prompt must have {IMAGE} once, as one token")
    at = plain.index(image)
    shared = _common(plain, expert)
    stem = tokens(choices.plain, choices.stem)
    # A stem may melt into the last token before it: then its beginning is not where the heads read.
    if stem[: len(plain)] != plain or shared <= at:
        raise WeightsUnavailable(f"{folder}: its tokenizer joins the answer to the question")
    first = [_first_token(tokens(choices.plain, f"{choices.stem} {word}"), stem) for word in levels]
    if None in first or len(set(first)) < len(first):
        pairs = ", ".join(f"{word} {token}" for word, token in zip(levels, first, strict=True))
        raise WeightsUnavailable(
            f"{folder}: its tokenizer does not tell the levels apart by their first token: {pairs}"
        )
    return Prompt(
        before=tuple(plain[:at]),
        image=image,
        after=tuple(plain[at + 1 : shared]),
        plain=tuple(plain[shared:]),
        stem=tuple(stem[len(plain) :]),
        expert=tuple(expert[shared:]),
        levels=tuple(token for token in first if token is not None),
    )


def load_tokenizer(folder: Path) -> Any:
    """Return a `tokenizers.Tokenizer` of `tokenizer.json`, of `vocab.json` and `merges.txt`, or of `tokenizer.model`.

    Raises:
        WeightsUnavailable: none is there, or it cannot be read.

    """
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        try:
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            raise WeightsUnavailable(f"{folder}/tokenizer.json cannot be read: {error}") from error
    if not (folder / "vocab.json").is_file() and not (folder / "tokenizer.model").is_file():
        raise WeightsUnavailable(f"{folder} has no tokenizer")
    return _converted(folder)


def _converted(folder: Path) -> Any:
    """Let transformers build the tokenizer: Qwen2's from its vocabulary, InternLM2's as the Llama one that it is."""
    from transformers import LlamaTokenizer, Qwen2Tokenizer

    kind = Qwen2Tokenizer if (folder / "vocab.json").is_file() else LlamaTokenizer
    try:
        return kind.from_pretrained(str(folder), local_files_only=True).backend_tokenizer
    except Exception as error:
        raise WeightsUnavailable(f"{folder}: its tokenizer cannot be read: {error}") from error


def dialogue(choices: PromptChoices, question: str) -> str:
    """Return the text up to the answer, one image token in the place of all."""
    return (
        f"{_TEMPLATES[choices.template]}<|im_start|>system\n{choices.system}<|im_end|><|im_start|>user\n"
        f"{IMAGE_START}{IMAGE}{IMAGE_END}\n{question}<|im_end|><|im_start|>assistant\n"
    )


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens two rows share; at least one is left of each."""
    shortest = min(len(one), len(other)) - 1
    return next((at for at in range(shortest) if one[at] != other[at]), shortest)


def _first_token(row: Sequence[int], stem: Sequence[int]) -> int | None:
    return row[len(stem)] if list(row[: len(stem)]) == list(stem) and len(row) > len(stem) else None
