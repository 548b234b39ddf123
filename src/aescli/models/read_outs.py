"""Which of HumanAesExpert's heads becomes `overall`, and which questions that takes."""

from collections.abc import Mapping

from aescli.cards import ModelCard
from aescli.errors import UsageError

PLAIN, EXPERT = "plain", "expert"
READ_OUTS = ("metavoter", "regression", "expert", "lm")

_QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "metavoter": (PLAIN, EXPERT),
    "regression": (PLAIN,),
    "expert": (EXPERT,),
    "lm": (PLAIN,),
}


def choose_read_out(card: ModelCard, wanted: str | None) -> str:
    """Return which read-out becomes `overall`.

    Raises:
        UsageError: there is no such read-out.

    """
    chosen = wanted or card.read_out
    if chosen not in READ_OUTS:
        raise UsageError(f"{card.id} has no read-out '{chosen}'", hint=f"--read-out {'|'.join(READ_OUTS)}")
    return chosen


def choose_questions(read_out: str, *, dimensions: bool) -> tuple[str, ...]:
    """Return what must be asked for a read-out, and for the twelve dimensions beside it."""
    questions = _QUESTIONS[read_out]
    return questions if not dimensions or EXPERT in questions else (*questions, EXPERT)
