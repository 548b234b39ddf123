from pathlib import Path

import pytest

from aescli.errors import UsageError
from aescli.training.choosing import change, list_choices
from aescli.training.loop import LoopChoices
from aescli.training.recipes import first_choices

PAGE = Path(__file__).parents[2] / "docs" / "finetune.md"


@pytest.mark.parametrize("recipe", ["multihead", "instruct"])
def test_the_page_lists_every_choice(recipe: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, _, _ in list_choices(first_choices(recipe)):
        assert f"`{name}`" in page


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("rate=3e-5", 3e-5),
        ("head_rate=1e-3", 1e-3),
        ("head_rate=none", None),
        ("betas=0.8,0.9", (0.8, 0.9)),
        ("trackers=tensorboard,wandb", ("tensorboard", "wandb")),
        ("checkpointing=true", True),
        ("batches.samples=4", 4),
    ],
)
def test_a_choice_is_set_by_its_name(word: str, value: object) -> None:
    name = word.partition("=")[0]
    changed = change(LoopChoices(), word)
    assert {each: held for each, _, held in list_choices(changed)}[name] == value


@pytest.mark.parametrize("word", [
    "rate=fast", "checkpointing=yes", "rates=1", "rate", "rate=-1", "batches.samples=0", "rate=1e38", "rate=nan",
    "betas=0.9", "betas=1,1", "betas=0.9,0.9,0.9", "decay=inf", "clip=0", "warm_up=1", "save_every=0", "head_rate=0",
    "warm_up=-0.1", "batches.seed=-1", "precision=fp99",
])  # fmt: skip
def test_what_is_no_choice_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        change(LoopChoices(), word)


@pytest.mark.parametrize("word", [
    "lora.rank=0", "lora.rank=-3", "lora.dropout=1.5", "lora.alpha=-1", "splits.test=nan", "splits.seed=-1",
    "losses.text=-1", "voter.rate=0", "voter.steps=-5", "voter.decay=-1", "max_tiles=0",
])  # fmt: skip
def test_what_no_layer_and_no_split_can_have_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        change(first_choices("multihead"), word)


def test_a_conversation_has_tokens() -> None:
    with pytest.raises(UsageError, match="most_tokens is 1 or more"):
        change(first_choices("instruct"), "most_tokens=0")
