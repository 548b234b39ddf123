"""What a level read-out asks, and what each level is worth; no inference library is needed to know it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChoices:
    """What is asked, and what the answers are worth, in the native range of 0 to 1.

    Defaults are those of Q-ReAlign; its scorer puts a blank before the stem.
    """

    question: str = "How would you rate the aesthetics of this image?"
    stem: str = "The aesthetics of the image is"
    words: tuple[str, ...] = ("excellent", "good", "fair", "poor", "bad")
    weights: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25, 0.0)

    def __post_init__(self) -> None:
        texts = (self.question, self.stem, *self.words)
        if not all(isinstance(each, str) for each in texts) or not isinstance(self.words, tuple):
            raise TypeError("a question, a stem and words are texts")
        if self.weights and not (
            len(self.weights) == len(self.words) and all(isinstance(each, int | float) for each in self.weights)
        ):
            raise TypeError("each word has a weight, which is a number")
