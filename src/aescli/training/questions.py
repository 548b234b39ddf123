"""What HumanAesExpert is asked and made to answer while it is trained, word by word as its repository has it.

Source: KwaiVGI/HumanAesExpert, HumanAesExpert_register.py and prepare_data_for_swift.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aescli.errors import WeightsUnavailable
from aescli.models.prompts import IMAGE, PromptChoices, dialogue
from aescli.training.samples import Rated, level_of

QUESTIONS = (
    "Can you evaluate the aesthetics of the human image?",
    "Rate the aesthetics of this human picture.",
    "How is the aesthetics of this human image?",
    "Can you rate the aesthetics of this human picture?",
    "Please evaluate the aesthetics of the human image.",
)
# In the order of the Expert head's outputs.
NAMES = (
    "Facial Brightness", "Facial Feature Clarity", "Facial Skin Tone", "Facial Structure", "Facial Contour Clarity",
    "Facial Aesthetic Score", "Outfit", "Body Shape", "Looks", "Environment", "General Appearance Aesthetic Score",
    "Comprehensive Aesthetic Score",
)  # fmt: skip
_END = "<|im_end|>"


def ask(sample: Rated, choices: PromptChoices, chance: np.random.Generator | None) -> str:
    """Return a sample's question: one of the five by chance, or that of the prompt without it."""
    if chance is None:
        return choices.expert if sample.is_expert else choices.plain
    question = QUESTIONS[int(chance.integers(len(QUESTIONS)))]
    return f"{question[:-1]} from 12 different dimensions{question[-1]}" if sample.is_expert else question


def answer(sample: Rated, choices: PromptChoices) -> str:
    """Return what is to be said: the level of the whole, or of each of twelve dimensions."""
    if not sample.is_expert:
        return f"{choices.stem} {sample.level}"
    levels = [level_of(score) for score in sample.scores]
    return "\n".join(f"{at}. {name} : {level}" for at, (name, level) in enumerate(zip(NAMES, levels, strict=True), 1))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A question and its answer as tokens.

    Args:
        before: up to the image, which is left out.
        after: from the image to the answer.
        answer: with the mark that ends it.
        level_at: where in the answer its level stands.

    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    answer: tuple[int, ...]
    level_at: int


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Turns questions and answers into tokens.

    Args:
        tokenizer: of the checkpoint.
        choices: the template, the system message, and the answer's beginning.
        name: of the checkpoint, for messages.

    """

    tokenizer: Any
    choices: PromptChoices
    name: str

    def encode(self, sample: Rated, chance: np.random.Generator | None = None) -> Dialogue:
        """Return a sample's dialogue.

        Raises:
            WeightsUnavailable: the tokenizer joins the answer to the question, or has no token for the image.

        """
        text = dialogue(self.choices, ask(sample, self.choices, chance))
        said = answer(sample, self.choices)
        asked, whole = self._tokens(text), self._tokens(f"{text}{said}{_END}")
        image = self.tokenizer.token_to_id(IMAGE)
        if asked.count(image) != 1 or whole[: len(asked)] != asked:
            raise WeightsUnavailable(f"{self.name}: its tokenizer joins the answer to the question")
        stem = self._tokens(f"{text}{self.choices.stem}")
        level_at = 0 if sample.is_expert else len(stem) - len(asked)
        at = asked.index(image)
        return Dialogue(tuple(asked[:at]), tuple(asked[at + 1 :]), tuple(whole[len(asked) :]), level_at)

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
