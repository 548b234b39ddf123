"""`aes bench` end to end: real pictures, a tiny random model, and a server whose accuracy is known in advance."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from aescli.benchmarking.aesbench import ABILITIES, answer_files
from aescli.benchmarking.lines import read_lines
from aescli.errors import ExitCode
from aescli.models.seen import write_seen
from aescli.registry import BUILT_IN
from tests.conftest import Aes, Done, needs_posix, photograph
from tests.endpoint import serving
from tests.models.speakers import made

DATA = Path(os.environ.get("AES_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))

needs_data = pytest.mark.skipif(not (DATA / "oasis").is_dir(), reason=f"no labelled photographs in {DATA}")


def records(done: Done) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.out)))


def number(done: Done, metric: str, model: str) -> dict[str, str]:
    (found,) = [each for each in records(done) if (each["metric"], each["model"]) == (metric, model)]
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return tmp_path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    folder = tmp_path / "holidays"
    folder.mkdir()
    rows = ["image,score,sharpness"]
    for at in range(12):
        photograph(at, (160, 120)).save(folder / f"{at}.png")
        rows.append(f"{at}.png,{1 + at % 5},{at / 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def aesbench(tmp_path: Path) -> Path:
    """A made-up set in the published layout: four pictures, four abilities; what is right is withheld."""
    folder = tmp_path / "AesBench"
    (folder / "images").mkdir(parents=True)
    entries = {}
    for at in range(4):
        name = f"photo {at}.png"
        photograph(at, (64, 48)).save(folder / "images" / name)
        entries[name] = {
            "AesP_data": {"Question": f"Is picture {at} sharp?", "Options": "A) Yes B) No"},
            "AesE_data": {"Question": "Which feeling?", "Options": "A) Joy\nB) Calm\nC) Awe\nD) None"},
            "AesA1_data": {"Question": "How good is it?", "Options": "A) High B) Medium C) Low"},
            "AesI_data": {"Question": "This is an image with high aesthetics, please explain."},
        }
    (folder / "AesBench_evaluation.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def uniaa(tmp_path: Path) -> Path:
    folder = tmp_path / "uniaa"
    folder.mkdir()
    items = []
    for at in range(6):
        photograph(at, (64, 48)).save(folder / f"{at}.png")
        entry = {
            "img_path": f"{at}.png",
            "question": f"Is it balanced, {at}?",
            "candidates": ["Balanced", "Unbalanced"],
        }
        items.append(entry | {"correct_ans": "Balanced", "dimension": "Composition", "type": "yes-no"})
    (folder / "UNIAA_QA.json").write_text(json.dumps(items))
    return folder


def test_bare_it_prints_the_published_comparison_offline(aes: Aes) -> None:
    done = aes("bench")
    assert done.code == 0
    found = number(done, "AesP/overall/accuracy", "GPT-4V")
    assert float(found["value"]) == pytest.approx(0.7208)
    assert all(record["source"] for record in records(done))
    assert "aes bench scores" in done.err
    table = aes("bench", "--format", "table").out
    assert "AesExpert-7B" in table
    assert "(+13.88)" in table  # its empathy, in points above GPT-4V's
    assert "near zero: looks like a prompt or parse failure" in table


def test_published_numbers_are_listed_by_suite(aes: Aes) -> None:
    assert {record["suite"] for record in records(aes("bench", "published", "para"))} == {"PARA"}
    assert len(records(aes("bench", "published"))) > 2_000
    done = aes("bench", "published", "aesbenhc")
    assert done.code == ExitCode.USAGE
    assert "aesbench" in done.err


def test_scores_are_compared_with_labels_and_lines_are_kept(aes: Aes, labelled: Path) -> None:
    done = aes("bench", "scores", "--data", labelled, "-m", "mini")
    assert done.code == 0, done.err
    assert list(records(done)[0]) == [
        "suite",
        "split",
        "model",
        "metric",
        "value",
        "low",
        "high",
        "n",
        "source",
        "note",
    ]
    for metric in ("srcc", "plcc", "plcc_logistic", "krcc", "rmse", "mae", "level_accuracy", "sharpness/srcc"):
        found = number(done, metric, "mini")
        assert found["n"] == "12"
        assert float(found["low"]) <= float(found["value"]) + 1e-6
    assert number(done, "srcc", "baseline: random order")["value"] == "0.000000"
    (file,) = Path("runs").glob("*.jsonl")
    lines = list(read_lines([file]))
    assert len(lines) == 12
    assert lines[0].labels == {"overall": 1.0, "sharpness": 0.0}
    assert lines[0].revision
    before = file.read_bytes()
    again = aes("bench", "scores", "--data", labelled, "-m", "mini")
    assert again.out == done.out
    assert "12 of 12 are in" in again.err
    assert file.read_bytes() == before


def test_a_killed_run_goes_on_where_it_stopped(aes: Aes, labelled: Path) -> None:
    whole = aes("bench", "scores", "--data", labelled, "-m", "mini").out
    (file,) = Path("runs").glob("*.jsonl")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    done = aes("bench", "scores", "--data", labelled, "-m", "mini")
    assert done.out == whole
    assert len(list(read_lines([file]))) == 12


def test_a_trial_is_part_of_the_whole(aes: Aes, labelled: Path) -> None:
    assert number(aes("bench", "scores", "--data", labelled, "--limit", 5), "srcc", "mini")["n"] == "5"
    done = aes("bench", "scores", "--data", labelled)
    assert "5 of 12 are in" in done.err
    assert number(done, "srcc", "mini")["n"] == "12"
    assert number(aes("bench", "scores", "--data", labelled, "--limit", 5), "srcc", "mini")["n"] == "5"


def test_corrected_labels_count_without_scoring_again(aes: Aes, labelled: Path) -> None:
    first = aes("bench", "scores", "--data", labelled)
    table = labelled / "labels.csv"
    table.write_text(table.read_text().replace("0.png,1,", "0.png,5,"))
    done = aes("bench", "scores", "--data", labelled, "--range", "0:10")
    assert "12 of 12 are in" in done.err
    (file,) = Path("runs").glob("*.jsonl")
    last = {line.item: line for line in read_lines([file])}
    assert last["0.png"].labels["overall"] == 5
    assert {line.label_range for line in last.values()} == {(0.0, 10.0)}
    assert number(done, "srcc", "mini")["value"] != number(first, "srcc", "mini")["value"]
    assert aes("bench", "report", file).out == done.out


def test_a_question_that_was_changed_is_asked_again(aes: Aes, uniaa: Path) -> None:
    words = ("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m")
    file = uniaa / "UNIAA_QA.json"
    with serving(*["A"] * 7) as server:
        aes(*words, "--base-url", server.address)
        file.write_text(file.read_text().replace("balanced, 3?", "level, 3?"))
        done = aes(*words, "--base-url", server.address)
        assert len(server.requests) == 7
    assert "5 of 6 are in" in done.err
    assert number(done, "perception/overall/accuracy", "endpoint:m")["n"] == "6"


@needs_posix
def test_what_is_no_picture_file_ends_and_has_no_answer(aes: Aes, uniaa: Path) -> None:
    file = uniaa / "UNIAA_QA.json"
    items = json.loads(file.read_text())
    items[0]["img_path"], items[1]["img_path"] = "/dev/zero", "a\0b"
    items[5]["img_path"] = "x" * 300
    file.write_text(json.dumps(items))
    with serving(*["A"] * 3) as server:
        done = aes("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m", "--base-url", server.address)
        assert len(server.requests) == 3
    assert done.code == 3
    assert "3 items not answered" in number(done, "perception/overall/accuracy", "endpoint:m")["note"]
    items[2]["candidates"] = None
    file.write_text(json.dumps(items))
    done = aes("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m", "--base-url", server.address)
    assert "item 2: its 'candidates' are no list" in done.err


def test_labels_of_humanbeauty_are_from_0_to_1_unless_told(aes: Aes, labelled: Path) -> None:
    done = aes("bench", "humanbeauty", "--data", labelled)
    assert done.code == 2
    assert "outside of --range 0:1: labels.csv:3: overall 2" in done.err
    assert "--range LO:HI" in done.err
    done = aes("bench", "humanbeauty", "--data", labelled, "--range", "1:5")
    assert done.code == 0, done.err


def test_one_item_or_labels_all_alike_leave_numbers_undefined(aes: Aes, labelled: Path) -> None:
    (labelled / "labels.csv").write_text("image,score\n0.png,3\n")
    done = aes("bench", "scores", "--data", labelled)
    assert done.code == 0, done.err
    for metric in ("srcc", "plcc", "krcc", "plcc_logistic", "rmse", "mae", "level_accuracy"):
        assert number(done, metric, "mini")["value"] == ""
    assert "--range LO:HI" in number(done, "mae", "mini")["note"]
    (labelled / "labels.csv").write_text("image,score\n" + "".join(f"{at}.png,3\n" for at in range(6)))
    stated = aes("bench", "scores", "--data", labelled, "--range", "1:5")
    assert number(stated, "srcc", "mini")["value"] == ""
    assert float(number(stated, "mae", "baseline: mean label")["value"]) == 0
    assert number(stated, "mae", "mini")["low"]


def test_a_list_says_which_pictures_are_wanted(aes: Aes, labelled: Path) -> None:
    (labelled / "test.txt").write_text("3\n4.png some more words\n5\n6\n7\n")
    assert (
        number(aes("bench", "scores", "--data", labelled, "--only", labelled / "test.txt"), "srcc", "mini")["n"] == "5"
    )
    (labelled / "test.txt").write_text("0.png\n1.png\nelsewhere.png\n2\n3\n4.png\n")
    done = aes("bench", "scores", "--data", labelled, "--only", labelled / "test.txt")
    assert "no labelled picture for 1 of the names of --only, such as elsewhere.png" in done.err


def test_a_broken_picture_is_left_out_counted_and_tried_again(aes: Aes, labelled: Path) -> None:
    (labelled / "3.png").write_bytes(b"no picture")
    done = aes("bench", "scores", "--data", labelled)
    assert done.code == ExitCode.SOME_FAILED
    assert "1 items without a score left out" in number(done, "srcc", "mini")["note"]
    assert number(done, "srcc_strict", "mini")["n"] == "12"
    photograph(3, (160, 120)).save(labelled / "3.png")
    assert aes("bench", "scores", "--data", labelled).code == 0


def test_a_bad_cell_of_one_dimension_is_told_and_its_picture_counts(aes: Aes, labelled: Path) -> None:
    labels = (labelled / "labels.csv").read_text().replace("3.png,4,1.5", "3.png,4,blurred")
    (labelled / "labels.csv").write_text(labels)
    done = aes("bench", "scores", "--data", labelled)
    assert done.code == 0, done.err
    assert "note: could not be used: labels.csv:5: sharpness is no number but 'blurred'" in done.err
    assert number(done, "srcc", "mini")["n"] == "12"


def test_power_runs_nothing(aes: Aes, labelled: Path) -> None:
    done = aes("bench", "scores", "--data", labelled, "--power")
    assert done.code == 0
    assert {"srcc_interval", "srcc_difference", "items_needed"} <= {record["metric"] for record in records(done)}
    assert not Path("runs").exists()


@pytest.mark.parametrize("form", ["csv", "json", "md", "table"])
def test_every_format_carries_the_same_numbers(aes: Aes, labelled: Path, form: str) -> None:
    done = aes("bench", "scores", "--data", labelled, "--format", form)
    value = float(number(aes("bench", "scores", "--data", labelled), "srcc", "mini")["value"])
    assert f"{value:.4f}"[:-1] in done.out or f"{value:.3f}" in done.out
    if form == "json":
        assert {record["metric"] for record in json.loads(done.out)} >= {"srcc", "mae"}


def test_a_recorded_run_of_the_same_model_stands_beside_its_new_one(aes: Aes, labelled: Path) -> None:
    before = number(aes("bench", "scores", "--data", labelled), "srcc", "mini")
    (file,) = Path("runs").glob("*.jsonl")
    lines = [json.loads(line) | {"overall": at % 5} for at, line in enumerate(file.read_text().splitlines())]
    Path("old.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    done = aes("bench", "scores", "--data", labelled, "--baseline", "old.jsonl")
    assert number(done, "srcc", "mini") == before
    recorded = number(done, "srcc", "mini (old.jsonl)")
    assert recorded["source"] == "recorded: old.jsonl"
    assert recorded["value"] != before["value"]


def test_a_recorded_run_is_a_baseline(aes: Aes, labelled: Path) -> None:
    aes("bench", "scores", "--data", labelled)
    (file,) = Path("runs").glob("*.jsonl")
    lines = map(json.loads, file.read_text().splitlines())
    kept = ("suite", "split", "item")  # labels are the set's, whatever a recorded file says of them
    theirs = [
        {name: line[name] for name in kept} | {"model": "theirs", "overall": 5 + at % 3}
        for at, line in enumerate(lines)
    ]
    Path("theirs.jsonl").write_text("\n".join(map(json.dumps, theirs)) + "\n")
    done = aes("bench", "scores", "--data", labelled, "--baseline", "theirs.jsonl", "--baseline", "published")
    assert number(done, "srcc", "theirs")["source"] == "recorded: theirs.jsonl"
    assert not number(done, "srcc", "mini")["source"]
    assert number(done, "srcc_difference", "mini - theirs")["n"] == "12"
    assert "no published numbers of scores holidays" in done.err
    Path("theirs.jsonl").write_text('{"path": "0.png", "score": 3}\n')
    other = aes("bench", "scores", "--data", labelled, "--baseline", "theirs.jsonl")
    assert other.code == ExitCode.ERROR
    assert "theirs.jsonl, line 1: no line of aes bench: it has no suite, split, item, model" in other.err
    assert '"overall": 6.5' in other.err


def test_a_published_baseline_stands_beside_with_its_source(aes: Aes, uniaa: Path) -> None:
    with serving(*["A"] * 6) as server:
        done = aes("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m", "--base-url", server.address,
                   "--baseline", "published")  # fmt: skip
    assert float(number(done, "perception/overall/accuracy", "GPT-4V")["value"]) == pytest.approx(0.7474)
    assert number(done, "perception/overall/accuracy", "GPT-4V")["source"]
    assert float(number(done, "perception/overall/accuracy", "endpoint:m")["value"]) == 1


def test_planted_replies_of_a_server_give_the_counts_that_were_planted(aes: Aes, uniaa: Path) -> None:
    plan = ["A", "Unbalanced", "It is Balanced.", "I cannot say.", "A or B", "refuse"]
    words = ("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m", "--price-in", 1, "--price-out", 10)
    with serving(*plan) as server:  # all items have the same options, so that it does not matter who gets which reply
        done = aes(*words, "--base-url", server.address, "--image-side", 64, "--detail", "low")
        prompts = [request["messages"][0]["content"] for request in server.requests]
    assert done.code == 0, done.err
    assert number(done, "perception/overall/accuracy", "endpoint:m")["n"] == "6"
    assert number(done, "perception/overall/accuracy", "endpoint:m")["note"].startswith("2 of 6")
    assert number(done, "perception/overall/accuracy_answered", "endpoint:m")["note"].startswith("2 of 3")
    assert number(done, "perception/overall/valid_rate", "endpoint:m")["note"].startswith("3 of 6")
    assert number(done, "perception/composition/accuracy", "endpoint:m")["n"] == "6"
    assert all(parts[1]["image_url"]["detail"] == "low" for parts in prompts)
    asked = sorted(parts[0]["text"] for parts in prompts)
    assert asked[0] == "Is it balanced, 0?\nChoose between one of the options as follows:\nA. Balanced\nB. Unbalanced\n"
    lines = list(read_lines(Path("runs").glob("*.jsonl")))
    assert {line.error_code for line in lines} == {"", "refused"}
    said = [line for line in lines if line.reply]
    assert all((line.tokens_in, line.tokens_out) == (1000, 100) for line in said)
    assert all(line.cost == pytest.approx(0.002) for line in said)
    assert {(line.setup["side"], line.setup["detail"]) for line in lines} == {(64, "low")}
    with serving() as idle:
        again = aes(*words, "--base-url", server.address, "--image-side", 64, "--detail", "low")
        assert not idle.requests
    assert again.out == done.out


def test_a_budget_ends_a_run_and_running_again_goes_on(aes: Aes, uniaa: Path) -> None:
    words = ("bench", "uniaa", "--data", uniaa, "-m", "endpoint:m", "--price-in", 1000, "--max-tokens", 8)
    with serving(*["A"] * 6) as server:
        done = aes(*words, "--base-url", server.address, "--max-cost", 3.5)
        assert done.code == ExitCode.SOME_FAILED
        asked = len(server.requests)
        assert 0 < asked < 6
        assert "items not answered" in number(done, "perception/overall/accuracy", "endpoint:m")["note"]
        rest = aes(*words, "--base-url", server.address, "--max-cost", 100)
        assert rest.code == 0
        assert len(server.requests) == 6


def test_an_estimate_asks_nothing_and_needs_no_key(aes: Aes, uniaa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    done = aes("bench", "uniaa", "--data", uniaa, "-m", "endpoint:gpt-4o", "--estimate", "--price-in", 2.5)
    assert done.code == 0
    assert "requests             6" in done.out
    assert not Path("runs").exists()


def test_scores_of_a_server_keep_what_was_said_and_what_it_cost(aes: Aes, labelled: Path) -> None:
    words = ("bench", "scores", "--data", labelled, "-m", "endpoint:m", "--price-in", 1, "--price-out", 10)
    told = aes(*words, "--estimate")
    count = int(re.search(r"requests +(\d+)", told.out).group(1))  # type: ignore[union-attr]
    with serving(*["good"] * count) as server:
        done = aes(*words, "--base-url", server.address, "--image-side", 64, "--detail", "low")
        assert done.code == 0, done.err
        prompt = server.requests[0]["messages"][0]["content"][0]["text"]
    lines = list(read_lines(Path("runs").glob("*.jsonl")))
    assert len(lines) == count
    assert {(line.prompt, line.reply) for line in lines} == {(prompt, "good")}
    assert all(line.cost == pytest.approx(0.002) for line in lines)
    assert {(line.setup["side"], line.setup["detail"]) for line in lines} == {(64, "low")}


def test_aesbench_with_a_scripted_server_gives_four_files_to_mail(aes: Aes, aesbench: Path) -> None:
    with serving(*["B) Calm"] * 16) as server:
        done = aes("bench", "aesbench", "--data", aesbench, "-m", "endpoint:gpt-4o", "--base-url", server.address,
                   "--answers", "mail", "--baseline", "published")  # fmt: skip
        asked = {request["messages"][0]["content"][0]["text"] for request in server.requests}
    assert done.code == 0, done.err
    tail = "You should output a correct option without explanation."
    assert f"Is picture 0 sharp? Choose one from the following options:\nA) Yes B) No\n{tail}" in asked
    tail = "You should output a correct option."
    assert f"How good is it? Choose one from the following options:\nA) High B) Medium C) Low\n{tail}" in asked
    assert "This is an image with high aesthetics, please explain." in asked
    (folder,) = Path("mail").iterdir()
    for ability in ABILITIES:
        replies = json.loads((folder / f"test_{ability}.json").read_text())
        assert replies == {f"photo {at}.png": {f"{ability}_response": "B) Calm"} for at in range(4)}
    assert float(number(done, "AesP/overall/valid_rate", "endpoint:gpt-4o")["value"]) == 1
    assert float(number(done, "AesP/overall/accuracy", "GPT-4V")["value"]) == pytest.approx(0.7208)
    assert not [each for each in records(done) if each["model"] == "endpoint:gpt-4o" and "accuracy" in each["metric"]]


def test_aesbench_with_a_key_knows_the_accuracy(aes: Aes, aesbench: Path) -> None:
    file = aesbench / "AesBench_evaluation.json"
    entries = json.loads(file.read_text())
    for at, entry in enumerate(entries.values()):
        entry["AesA1_data"] |= {"Answer": "A) High" if at < 3 else "C", "Source": "Natural"}
    file.write_text(json.dumps(entries))
    with serving(*["High"] * 4) as server:
        done = aes("bench", "aesbench", "--data", file, "-m", "endpoint:m", "--base-url", server.address,
                   "--abilities", "AesA")  # fmt: skip
    assert float(number(done, "AesA/overall/accuracy", "endpoint:m")["value"]) == 0.75
    assert float(number(done, "AesA/overall/accuracy", "baseline: majority")["value"]) == 0.75
    assert float(number(done, "AesA/natural/accuracy", "endpoint:m")["value"]) == 0.75
    assert float(number(done, "AesA/overall/recall_high", "endpoint:m")["value"]) == 1


def test_aesbench_with_a_tiny_random_model(aes: Aes, aesbench: Path, tmp_path: Path) -> None:
    model = made(tmp_path / "models", "released")
    words = ("bench", "aesbench", "--data", aesbench, "-m", model, "--max-tokens", 6, "--answers", "mail")
    done = aes(*words)
    assert done.code == 0, done.err
    lines = list(read_lines(Path("runs").glob("*.jsonl")))
    assert len(lines) == 16
    assert all(line.tokens_out is not None and line.seconds is not None for line in lines)
    assert sum(len(entries) for name, entries in answer_files(lines).items() if "/" not in name) == 16
    assert number(done, "AesE/overall/valid_rate", str(model))["n"] == "4"
    assert aes(*words).out == done.out


def test_aesbench_reads_the_assessment_from_the_words_probabilities_too(
    aes: Aes, aesbench: Path, tmp_path: Path
) -> None:
    model = made(tmp_path / "models", "llava")
    done = aes("bench", "aesbench", "--data", aesbench, "-m", model, "--max-tokens", 1, "--answers", "mail")
    assert done.code == 0, done.err
    lines = list(read_lines(Path("runs").glob("*.jsonl")))
    assessed = [line for line in lines if line.likely]
    assert {line.groups["ability"] for line in assessed} == {"AesA1"}
    assert all(set(line.likely) == {"A", "B", "C"} and sum(line.likely.values()) < 1 for line in assessed)
    (mailed,) = Path("mail").glob("*/logits/test_AesA1.json")
    said = json.loads(mailed.read_text())["photo 0.png"]["AesA1_response"]
    assert said in ("A) High", "B) Medium", "C) Low")
    likeliest = sum(float(number(done, f"AesA/overall/share_{word}_logits", str(model))["value"])
                    for word in ("high", "medium", "low"))  # fmt: skip
    assert likeliest == pytest.approx(1)
    assert number(done, "AesA/overall/accuracy", "always-High baseline")["value"] == "0.446800"


def test_unipercept_reads_options_from_its_questions(aes: Aes, tmp_path: Path) -> None:
    photograph(0, (64, 48)).save(tmp_path / "a.png")
    entry = {
        "image": "a.png",
        "question": "Which is it?\nA. Warm\nB. Cold\nC. Neither\nD. Both",
        "answer": "C",
        "type": "Which",
    }
    (tmp_path / "VQA-IAA.json").write_text(json.dumps([entry]))
    with serving("C") as server:
        done = aes(
            "bench", "unipercept", "--data", tmp_path / "VQA-IAA.json", "-m", "endpoint:m", "--base-url", server.address
        )
        text = server.requests[0]["messages"][0]["content"][0]["text"]
    assert text.startswith(
        "Given the image and the following multiple-choice question, choose the best answer. Only reply"
    )
    assert float(number(done, "overall/accuracy", "endpoint:m")["value"]) == 1
    assert number(done, "type_which/accuracy", "endpoint:m")["n"] == "1"


def test_unipercept_in_the_layout_of_its_authors(aes: Aes, tmp_path: Path) -> None:
    """Their script runs above `benchmark`, so that pictures may be named from there."""
    folder = tmp_path / "UniPercept" / "benchmark" / "VQA" / "IAA"
    (folder / "images").mkdir(parents=True)
    for at, name in enumerate(("a.png", "b.png")):  # the same question on the same bytes is asked once, if not at once
        photograph(at, (64, 48)).save(folder / "images" / name)
    question = "Which is it?\nA. Warm\nB. Cold"
    entries = [
        {"image": "benchmark/VQA/IAA/images/a.png", "question": question, "answer": "A"},
        {"image": "b.png", "question": question, "answer": " b "},
    ]
    (folder / "UniPercept-Bench-IAA.json").write_text(json.dumps(entries))
    with serving("A", "A") as server:
        words = ("bench", "unipercept", "-m", "endpoint:m", "--base-url", server.address, "--baseline", "published")
        done = aes(*words, "--data", tmp_path / "UniPercept")
        assert done.code == 0, done.err
        assert number(done, "overall/accuracy", "endpoint:m")["note"].startswith("1 of 2")
        assert {record["split"] for record in records(done)} == {"VQA-IAA"}  # published ones of IQA stay away
        assert number(done, "overall/accuracy", "GPT-4o")["value"] == "0.600400"
        (folder / "UniPercept-Bench-IQA.json").write_text("[]")
        several = aes(*words, "--data", tmp_path / "UniPercept")
        (folder / "UniPercept-Bench-IQA.json").write_text(json.dumps([{"image": "a.png", "question": "Which?"}]))
        other = aes(*words, "--data", folder / "UniPercept-Bench-IQA.json")
        assert len(server.requests) == 2
    assert several.code == ExitCode.USAGE
    assert "UniPercept-Bench-IQA.json" in several.err
    assert other.code == ExitCode.ERROR
    assert "item 0 has no 'answer'" in other.err
    assert '"answer": "A"' in other.err


def test_pairs_by_scores_and_by_asking_in_both_orders(aes: Aes, labelled: Path) -> None:
    (labelled / "pairs.csv").write_text("winner,loser\n0.png,1.png\n2.png,3.png\n4.png,0.png\n")
    done = aes("bench", "pairs", "--data", labelled / "pairs.csv", "-m", "mini")
    assert done.code == 0, done.err
    assert number(done, "pair_accuracy", "mini")["n"] == "3"
    with serving(*["A"] * 6) as server:
        asked = aes(
            "bench",
            "pairs",
            "--data",
            labelled / "pairs.csv",
            "--ask",
            "-m",
            "endpoint:m",
            "--base-url",
            server.address,
        )
    assert float(number(asked, "flip_rate", "endpoint:m")["value"]) == 1
    assert float(number(asked, "left_share", "endpoint:m")["value"]) == 1
    assert float(number(asked, "consistent_accuracy", "endpoint:m")["value"]) == 0


def test_asking_leaves_out_pairs_of_which_a_picture_is_broken(aes: Aes, labelled: Path) -> None:
    (labelled / "5.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (labelled / "pairs.csv").write_text("winner,loser\n0.png,1.png\n5.png,3.png\n4.png,5.png\n")
    with serving(*["A"] * 2) as server:
        asking = ("--ask", "-m", "endpoint:m", "--base-url", server.address)
        done = aes("bench", "pairs", "--data", labelled / "pairs.csv", *asking)
    assert done.code == ExitCode.SOME_FAILED
    assert number(done, "pair_accuracy", "endpoint:m")["n"] == "2"
    assert done.err.count("left out") == 1
    assert "5.png" in done.err


def test_robust_measures_shifts_without_labels(aes: Aes, labelled: Path) -> None:
    done = aes("bench", "robust", labelled / "0.png", labelled / "1.png", "-m", "mini")
    assert done.code == 0, done.err
    for orientation in range(2, 9):
        assert float(number(done, f"orientation_{orientation}/largest", "mini")["value"]) == pytest.approx(0, abs=1e-4)
    assert float(number(done, "tiff/largest", "mini")["value"]) == pytest.approx(0, abs=1e-4)
    assert number(done, "blur/shift", "mini")["n"] == "2"


def test_humanbeauty_and_ava_in_their_own_layouts(aes: Aes, tmp_path: Path) -> None:
    human, ava = tmp_path / "HumanBeauty-58K", tmp_path / "AVA"
    for folder in (human, ava):
        (folder / "images").mkdir(parents=True)
        for at in range(6):
            photograph(at, (80, 60)).save(folder / "images" / f"{at}.jpg")
    rows = [{"image_name": f"{at}.jpg", "source": "MEBeauty", "score": at / 5, "text_level": "fair"} for at in range(6)]
    (human / "label.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = aes("bench", "humanbeauty", "--data", human, "--baseline", "published")
    assert done.code == 0, done.err
    root = float(number(done, "mse_author_root", "mini")["value"])
    assert root == pytest.approx(float(number(done, "rmse", "mini")["value"]), rel=1e-3)
    assert float(number(done, "mse", "mini")["value"]) == pytest.approx(root**2, rel=1e-3)
    assert number(done, "mse_author_root", "HumanAesExpert-8B")["source"]
    votes = [f"{at} {at} " + " ".join(str(1 + (level == at)) for level in range(10)) + " 1 2 3" for at in range(6)]
    (ava / "AVA.txt").write_text("\n".join(votes) + "\n")
    done = aes("bench", "ava", "--data", ava)
    assert done.code == 0, done.err
    assert "which side of 5" in number(done, "accuracy", "mini")["note"]
    assert "allows no plcc above" in done.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("bench", "scores"), "--data"),
        (("bench", "scores", "--data", "nowhere"), "there is no nowhere"),
        (("bench", "scores", "--data", ".", "-m", "mimi"), "mini"),
        (("bench", "scores", "--data", ".", "--baseline", "nothing.jsonl"), "nothing.jsonl"),
        (("bench", "scores", "--data", ".", "--format", "xls"), "xls"),
        (("bench", "scores", "--data", ".", "--format", "html"), "-o report.html"),
        (("bench", "scores", "--data", ".", "-o", "a.xls"), "suffix"),
        (("bench", "aesbench", "--data", ".", "-m", "mini", "--abilities", "AesQ"), "aesq"),
        (("bench", "report", "nowhere.jsonl"), "nowhere.jsonl"),
        (("bench", "published", "-o", "a"), "suffix"),
    ],
)
def test_what_cannot_be_done_says_so(aes: Aes, words: tuple[str, ...], what: str) -> None:
    done = aes(*words)
    assert done.code in (ExitCode.USAGE, ExitCode.ERROR)
    assert what in done.err
    assert not done.out


@pytest.mark.slow
@needs_data
def test_photographs_with_labels(aes: Aes) -> None:
    done = aes("bench", "scores", "--data", DATA / "oasis", "-m", "mini", "--limit", 60)
    assert done.code == 0, done.err
    found = number(done, "srcc", "mini")
    assert float(found["value"]) > 0.5
    assert "leak: trained on 60 of these 60 pictures" in found["note"]
    done = aes("bench", "scores", "--data", DATA / "mebeauty", "-m", "mini", "--limit", 60)
    assert "leak" not in number(done, "srcc", "mini")["note"]


def test_a_test_on_pictures_that_the_model_was_trained_on(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    """Whatever the labels are called: the pictures are told by their bytes."""
    model = tmp_path / "model"
    shutil.copytree(BUILT_IN, model)
    hashes = [hashlib.sha256((labelled / f"{at}.png").read_bytes()).hexdigest() for at in range(3)]
    write_seen(model, [(each, None) for each in hashes])
    (labelled / "copy.png").write_bytes((labelled / "0.png").read_bytes())
    with (labelled / "labels.csv").open("a") as file:
        file.write("copy.png,2,1\n")
    done = aes("bench", "scores", "--data", labelled, "--model", model, "--model", "mini", "--format", "csv")
    assert done.code == 0, done.err
    assert "leak: trained on 4 of these 13 pictures" in number(done, "srcc", str(model))["note"]
    assert "leak" not in number(done, "srcc", "mini")["note"]
    (tmp_path / "pairs.csv").write_text("winner,loser\nholidays/0.png,holidays/5.png\nholidays/6.png,holidays/7.png\n")
    done = aes("bench", "pairs", "--data", tmp_path / "pairs.csv", "--model", model, "--format", "csv")
    assert "leak: trained on 1 of these 4 pictures" in number(done, "pair_accuracy", str(model))["note"]


def test_copies_of_a_photograph_make_no_number_surer(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    """Whether a file was copied or saved again: scores and pairs are as sure as of the photographs alone."""
    once = aes("bench", "scores", "--data", labelled, "-m", "mini", "--format", "csv")
    rows = (labelled / "labels.csv").read_text().splitlines()
    pairs = [(at, at + 1) for at in range(0, 10, 2)]

    def compare(*endings: str) -> dict[str, str]:
        named = [f"holidays/{one}{end},holidays/{other}{end}" for one, other in pairs for end in endings]
        (tmp_path / "pairs.csv").write_text("\n".join(["winner,loser", *named]) + "\n")
        words = ("bench", "pairs", "--data", tmp_path / "pairs.csv", "-m", "mini", "--format", "csv", "--fresh")
        return number(aes(*words), "pair_accuracy", "mini")

    alone = compare(".png")
    for at in range(12):
        with Image.open(labelled / f"{at}.png") as opened:
            opened.convert("RGB").save(labelled / f"{at}.jpg", quality=88)
        shutil.copyfile(labelled / f"{at}.png", labelled / f"{at}c.png")
    more = [row.replace(".png", end) for row in rows[1:] for end in (".jpg", "c.png")]
    (labelled / "labels.csv").write_text("\n".join([*rows, *more]) + "\n")
    again = aes("bench", "scores", "--data", labelled, "-m", "mini", "--format", "csv", "--runs", tmp_path / "anew")
    for metric in ("srcc", "mae"):
        first, second = (number(done, metric, "mini") for done in (once, again))
        wide = [float(each["high"]) - float(each["low"]) for each in (first, second)]
        assert wide[1] > 0.8 * wide[0]  # thirty-six pictures that were counted each by itself: .58 times as wide
    thrice = compare(".png", ".jpg", "c.png")
    assert thrice["n"] == "15"
    assert "15 judgements of 5 pairs" in thrice["note"]
    assert float(thrice["high"]) - float(thrice["low"]) > 0.8 * (float(alone["high"]) - float(alone["low"]))


def test_comparisons_of_one_series_stand_and_fall_together(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    found = []
    for head, cell in (("winner,loser", ""), ("winner,loser,Series", ",s{}")):
        rows = [f"holidays/{one}.png,holidays/{other}.png{cell.format(one // 3)}" for one in range(12)
                for other in range(one // 3 * 3, one)]  # fmt: skip
        (tmp_path / "pairs.csv").write_text("\n".join([head, *rows]) + "\n")
        done = aes("bench", "pairs", "--data", tmp_path / "pairs.csv", "-m", "mini", "--format", "csv", "--fresh")
        each = number(done, "pair_accuracy", "mini")
        found.append(float(each["high"]) - float(each["low"]))
    assert found[1] > found[0]


def test_another_picture_of_the_same_name_is_asked_again(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    """Kept lines are of a picture, not of a name: nothing tells two folders called `holidays` apart but their bytes."""
    words = ("bench", "scores", "--data", labelled, "-m", "mini", "--format", "csv")
    first = aes(*words)
    again = aes(*words)
    assert "12 of 12 are in" in again.err
    assert again.out == first.out
    for at in range(3):
        photograph(90 + at, (160, 120)).save(labelled / f"{at}.png")
    changed = aes(*words)
    assert "9 of 12 are in" in changed.err
    assert changed.out == aes(*words, "--runs", tmp_path / "fresh").out
    assert changed.out != first.out
    (file,) = (tmp_path / "runs").iterdir()
    lines = [{**json.loads(line), "sha256": ""} for line in file.read_text().splitlines()]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))  # as they were before it was kept
    assert "are in" not in aes(*words).err
    moved = shutil.copytree(labelled, tmp_path / "elsewhere" / "holidays")
    assert "12 of 12 are in" in aes("bench", "scores", "--data", moved, "-m", "mini").err


def test_groups_that_say_nothing_and_few_groups(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    rows = (labelled / "labels.csv").read_text().splitlines()

    def numbers(groups: Sequence[str]) -> dict[str, str]:
        named = [f"{row},{group}" for row, group in zip(rows, ("photographer", *groups), strict=True)]
        (labelled / "labels.csv").write_text("\n".join(named) + "\n")
        return number(aes("bench", "scores", "--data", labelled, "-m", "mini", "--format", "csv"), "mae", "mini")

    alone = numbers([""] * 12)
    assert numbers(["", "NA", *[" "] * 8, "ann", "ann "])["low"] not in ("", alone["low"])
    assert numbers([str(at) for at in range(12)])["low"] == alone["low"] != ""
    few = numbers(["ann", "bob", "cem"] * 4)
    assert few["low"] == few["high"] == ""
    assert "3 groups are too few for an interval" in few["note"]
    assert few["value"] == alone["value"]


def test_no_verdict_on_a_model_that_has_seen_the_test(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUILT_IN, model)
    write_seen(model, [(hashlib.sha256((labelled / "0.png").read_bytes()).hexdigest(), None)])
    words = ("bench", "scores", "--data", labelled, "--format", "csv", "-m", "mini", "-m")
    note = number(aes(*words, model), "srcc_difference", f"mini - {model}")["note"]
    assert f"no verdict; {model}: leak: trained on 1 of these 12 pictures" in note
    write_seen(model, [])
    note = number(aes(*words, model, "--runs", tmp_path / "anew"), "srcc_difference", f"mini - {model}")["note"]
    assert note.startswith("tie")


def test_pairs_that_were_judged_twice_are_no_two_pairs(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    rows = [f"holidays/{at}.png,holidays/{at + 1}.png" for at in range(11)]
    found = []
    for name, lines in (("once", rows), ("twice", [*rows, *rows])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["winner,loser", *lines]) + "\n")
        done = aes("bench", "pairs", "--data", tmp_path / f"{name}.csv", "-m", "mini", "--format", "csv")
        found.append(number(done, "pair_accuracy", "mini"))
    once, twice = found
    assert once["value"] == twice["value"]
    widths = [float(each["high"]) - float(each["low"]) for each in found]
    assert "22 judgements of 11 pairs" in twice["note"]
    assert widths[1] == pytest.approx(widths[0])
    (tmp_path / "one.csv").write_text(f"winner,loser\n{rows[0]}\n")
    done = aes("bench", "pairs", "--data", tmp_path / "one.csv", "-m", "mini", "--format", "csv")
    assert (
        float(number(done, "pair_accuracy", "mini")["high"]) - float(number(done, "pair_accuracy", "mini")["low"]) > 0.5
    )


def test_robustness_of_what_can_be_read(aes: Aes, labelled: Path) -> None:
    (labelled / "broken.jpg").write_bytes(b"no picture")
    done = aes("bench", "robust", labelled, "--limit", 2, "--format", "csv")
    assert done.code == 0, done.err
    done = aes("bench", "robust", labelled / "0.png", labelled / "broken.jpg", "--format", "csv")
    assert done.code == ExitCode.SOME_FAILED
    assert "left out" in done.err
    assert "broken.jpg" in done.err
    assert number(done, "held", "mini")["n"] == "18"
    done = aes("bench", "robust", labelled / "broken.jpg", "--format", "csv")
    assert done.code == ExitCode.NOTHING_MATCHED
    assert not done.out


def test_labels_of_another_kind_or_range(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("winner,loser\nholidays/0.png,holidays/5.png\n")
    done = aes("bench", "scores", "--data", tmp_path / "pairs.csv", "-m", "mini")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert "aes bench pairs" in done.err
    done = aes("bench", "scores", "--data", labelled, "-m", "mini", "--range", "2:4")
    assert done.code == ExitCode.USAGE
    assert "labels.csv:2: overall 1" in done.err


def test_copies_of_a_picture_make_no_number_surer(aes: Aes, labelled: Path, tmp_path: Path) -> None:
    rows = (labelled / "labels.csv").read_text().splitlines()
    words = ("bench", "scores", "--data", labelled, "-m", "mini", "--format", "csv")
    once = number(aes(*words), "mae", "mini")
    copies = []
    for at in range(12):
        for copy in range(3):
            shutil.copy(labelled / f"{at}.png", labelled / f"{at}-{copy}.png")
            copies.append(rows[1 + at].replace(f"{at}.png", f"{at}-{copy}.png"))
    (labelled / "labels.csv").write_text("\n".join([*rows, *copies]) + "\n")
    often = number(aes(*words), "mae", "mini")
    assert (once["value"], often["n"]) == (often["value"], "48")
    widths = [float(each["high"]) - float(each["low"]) for each in (once, often)]
    assert widths[1] > 0.9 * widths[0]
