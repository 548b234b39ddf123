import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aescli.benchmarking.lines import appending, digest, file_name, latest, read_lines
from aescli.errors import AesError, OutputLocked
from tests.benchmarking.lines import replied


def _write(file: Path, *replies: str | None) -> None:
    with appending(file) as lines:
        for at, reply in enumerate(replies):
            lines.add(replied(at, reply, error_code="" if reply is not None else "endpoint_error"))


def test_lines_come_back_as_they_went(tmp_path: Path) -> None:
    file = tmp_path / "a" / "run.jsonl"
    _write(file, "A", "Unbalanced\n\u2028", None)
    assert [line.reply for line in read_lines([file])] == ["A", "Unbalanced\n\u2028", None]
    assert next(read_lines([file])) == replied(0, "A")
    assert file.read_bytes().count(b"\n") == 3


@settings(deadline=None)
@given(st.integers(0, 400))
def test_a_cut_anywhere_costs_the_last_line_at_most(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.jsonl"
        _write(file, "A", "B", "A")
        whole = file.read_bytes()
        kept = whole[: max(0, len(whole) - cut)]
        file.write_bytes(kept)
        with appending(file) as lines:
            assert set(lines.kept) == {str(at) for at in range(kept.count(b"\n"))}
            for at in range(3):
                if str(at) not in lines.kept:
                    lines.add(replied(at, "A"))
        assert [line.item for line in read_lines([file])] == ["0", "1", "2"]


def test_what_may_pass_is_tried_again_and_a_refusal_is_not(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with appending(file) as lines:
        lines.add(replied(0, None, error_code="budget"))
        lines.add(replied(1, None, error_code="refused"))
        lines.add(replied(2, None, error_code="bad_answer"))
    with appending(file) as lines:
        assert set(lines.kept) == {"1", "2"}
        lines.add(replied(0, "A"))
    assert [line.item for line in latest(read_lines([file])) if line.is_done()] == ["0", "1", "2"]
    with appending(file, fresh=True) as lines:
        assert not lines.kept
    assert file.read_bytes() == b""


def test_one_run_at_a_time_writes_a_file(tmp_path: Path) -> None:
    with appending(tmp_path / "run.jsonl"), pytest.raises(OutputLocked), appending(tmp_path / "run.jsonl"):
        pass


@pytest.mark.parametrize(
    "text", ['{"suite": 1}', "[]", "no json", '{"format": 2}', '{"suite": "a", "split": "b", "item": 3, "model": "m"}',
             '{"suite": "a", "split": "b", "item": "c", "model": "m", "labels": {"x": NaN}}']
)  # fmt: skip
def test_what_is_no_line_is_named_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text(f"\n{text}\n")
    with pytest.raises(AesError, match=r"run\.jsonl, line 2"):
        list(read_lines([file]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"answer": "a", "options": {"A": "Balanced"}}, "none of the options"), ({"options": {"A": 3}}, "options"),
        ({"options": ["A"]}, "values"), ({"groups": None}, "values"), ({"groups": {"group": 3}}, "groups"),
        ({"label_range": [1]}, "label_range"), ({"label_range": [9, 1]}, "label_range"),
        ({"label_range": "ab"}, "label_range"), ({"leaks": None}, "lists"), ({"sources": "AVA"}, "lists"),
        ({"overall": 10**400}, "int too large"), ({"overall": 10.5}, "0 to 10"), ({"overall": -1}, "0 to 10"),
        ({"overall": True}, "0 to 10"), ({"dims": {"light": 11}}, "0 to 10"), ({"likely": {"A": 2}}, "0 to 1"),
        ({"labels": {"overall": True}}, "labels"), ({"setup": []}, "setup"), ({"format": 2}, "format"),
        ({"sha256": 3}, "name"), ({"reply": 3}, "reply"), ({"labels": []}, "objects"), ({"dims": None}, "objects"),
        ({"seen": None}, "true or false"), ({"seen": "no"}, "true or false"), ({"raw": "x"}, "numbers"),
        ({"cost": "a"}, "numbers"), ({"seconds": [1]}, "numbers"), ({"tokens_in": "5"}, "numbers"),
    ],
)  # fmt: skip
def test_what_a_line_says_wrongly_is_named(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text(json.dumps({"suite": "a", "split": "b", "item": "c", "model": "m", **fields}) + "\n")
    with pytest.raises(AesError, match=r"run\.jsonl, line 1: no line of aes bench: .*" + said):
        list(read_lines([file]))


def test_lines_of_another_program_may_lack_what_is_optional(tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    file.write_text(json.dumps({"suite": "scores", "split": "s", "item": "a", "model": "theirs", "overall": 5}))
    (line,) = read_lines([file])
    assert line.overall == 5


def test_names_of_files_differ_where_anything_differs() -> None:
    base = ("scores", "set", "m", {"side": 1})
    names = {
        file_name(*base), file_name("ava", "set", "m", {"side": 1}), file_name("scores", "set", "m", {"side": 2}),
        file_name("scores", "set", "./m", {"side": 1}), file_name("scores", "../set", "m", {"side": 1}),
    }  # fmt: skip
    assert len(names) == 5
    assert all("/" not in name for name in names)
    assert digest({"a": (1, 2)}) == digest({"a": [1, 2]})  # as it comes back from JSON


def test_the_last_line_of_each_model_and_item_counts() -> None:
    lines = [replied(0, "A"), replied(0, "B"), replace(replied(0, "A"), model="other")]
    assert [(line.model, line.reply) for line in latest(lines)] == [("m", "B"), ("other", "A")]
