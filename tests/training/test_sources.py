import json
import re
from pathlib import Path

import pytest

from aescli.errors import NothingMatched, UsageError
from aescli.training.samples import LEVELS, Rated, Talk, level_of
from aescli.training.sources import find_data, read_conversations, read_rated
from tests.conftest import Aes
from tests.training.tiny import humanbeauty, portrait


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for at in range(3):
        portrait(at).save(tmp_path / "images" / f"{at}.png")
    return tmp_path


def write(file: Path, *records: object) -> Path:
    file.write_text("\n".join(map(json.dumps, records)))
    return file


@pytest.mark.parametrize(("score", "level"), [(0, 0), (0.2, 1), (0.399, 1), (0.4, 2), (0.6, 3), (0.8, 4), (1, 4)])
def test_a_bound_belongs_to_the_upper_level(score: float, level: int) -> None:
    assert level_of(score) == LEVELS[level]


@pytest.mark.parametrize("name", ["humanbeauty", "aesmmit"])
def test_data_that_are_not_there_are_said_with_their_layout(aes: Aes, home: Path, tmp_path: Path, name: str) -> None:
    recipe = {"humanbeauty": "multihead", "aesmmit": "instruct"}[name]
    done = aes("train", "--data", name, "--model", "internvl2-1b", "--recipe", recipe, "--out", tmp_path / "o")
    assert done.code == 4
    assert str(home / "data" / name) in done.err
    assert re.search(r"^aes:  .*images/", done.err, re.MULTILINE)  # a line of the layout


def test_a_name_may_have_a_place(tmp_path: Path) -> None:
    assert find_data(f"humanbeauty={tmp_path}") == ("humanbeauty", tmp_path)
    with pytest.raises(NothingMatched, match="nowhere"):
        find_data(str(tmp_path / "nowhere"))


def test_both_subsets_are_read_and_scores_out_of_range_are_not(tmp_path: Path) -> None:
    data = read_rated(f"humanbeauty={humanbeauty(tmp_path / 'd', [0.1, 0.9, 1.5], [0.5])}")
    samples = [each for each in data.samples if isinstance(each, Rated)]
    assert [(each.level, each.is_expert) for each in samples] == [("bad", False), ("excellent", False), ("fair", True)]
    assert [each.group for each in samples] == ["TAD66K", "AVA", "TAD66K"]
    assert ["1.5" in problem.message for problem in data.problems] == [True]


def test_the_authors_split_is_kept_and_its_test_never_trained_on(tmp_path: Path) -> None:
    folder = humanbeauty(tmp_path / "d", [0.1, 0.5, 0.9], [])
    lines = [
        {"image_name": f"HumanBeauty-58K/images/{at}.png", "source": "AVA", "score": 0.5, "text_level": "fair"}
        for at in range(3)
    ]
    write(folder / "train_label.jsonl", *lines)
    write(folder / "test_label.jsonl", lines[2])
    data = read_rated(f"humanbeauty={folder}")
    assert [Path(each.picture).stem for each in data.samples] == ["0", "1"]
    assert [Path(each.picture).stem for each in data.test] == ["2"]


def test_a_table_of_ones_own_is_mapped_from_its_range(pictures: Path) -> None:
    (pictures / "labels.csv").write_text("image,score\n0.png,2\n1.png,4\n2.png,6\n")
    assert [each.scores for each in read_rated(str(pictures / "labels.csv")).samples if isinstance(each, Rated)] == [
        (0.0,), (0.5,), (1.0,),
    ]  # fmt: skip
    data = read_rated(str(pictures / "labels.csv"), (0.0, 8.0))
    assert [each.scores[0] for each in data.samples if isinstance(each, Rated)] == [0.25, 0.5, 0.75]


def test_lines_that_were_prepared_for_swift_are_understood(pictures: Path) -> None:
    image = str(pictures / "images" / "0.png")
    file = write(
        pictures / "swift.jsonl",
        {"query": "", "response": "x", "images": [image], "scores": [0.0] * 11 + [0.7], "is_expert": 0},
        {"query": "", "response": "x", "images": [image], "scores": [0.3] * 12, "is_expert": 1},
        {"query": "", "response": "x", "images": [image], "scores": [3] * 12, "is_expert": 1},
    )
    data = read_rated(str(file))
    assert [each.scores for each in data.samples if isinstance(each, Rated)] == [(0.7,), (0.3,) * 12]
    assert "outside" in data.problems[0].message


def test_conversations_of_llava_and_of_swift_say_the_same(pictures: Path) -> None:
    llava = {
        "image": "0.png",
        "conversations": [{"from": "human", "value": "<image>\nWhy?"}, {"from": "gpt", "value": "Light."}],
    }
    (pictures / "a.json").write_text(json.dumps([llava]))
    messages = [{"role": "user", "content": "<image>Why?"}, {"role": "assistant", "content": "Light."}]
    file = write(
        pictures / "b.jsonl",
        {"messages": messages, "images": ["0.png"]},
        {"query": "Why?", "response": "Light.", "images": ["0.png"], "history": []},
    )
    wanted = (("Why?", "Light."),)
    for each in (*read_conversations(str(pictures / "a.json")).samples, *read_conversations(str(file)).samples):
        assert isinstance(each, Talk)
        assert each.turns == wanted


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"conversations": [{"from": "human", "value": "Why?"}]}, "names no picture"),
        ({"image": "0.png", "conversations": [{"from": "human", "value": "Why?"}]}, "in turn"),
        (
            {"image": "0.png", "conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]},
            "turns",
        ),
        ({"image": ["0.png", "1.png"], "conversations": []}, "2 pictures"),
        ({"image": "0.png", "query": "Why?", "response": ""}, "empty"),
        ("text", "no JSON object"),
    ],
)
def test_a_record_that_says_nothing_usable_is_a_problem(pictures: Path, record: object, why: str) -> None:
    good = {"image": "0.png", "query": "Why?", "response": "Light."}
    data = read_conversations(str(write(pictures / "c.jsonl", good, record)))
    assert len(data.samples) == 1
    assert why in data.problems[0].message
    assert data.problems[0].source == "c.jsonl:2"


def test_pairs_are_for_another_recipe(pictures: Path) -> None:
    (pictures / "pairs.csv").write_text("winner,loser\nimages/0.png,images/1.png\n")
    with pytest.raises(UsageError, match="comparisons"):
        read_rated(str(pictures / "pairs.csv"))
