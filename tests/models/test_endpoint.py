"""Endpoints: faults on a real socket, money, keys; and `transformers serve`, which we did not write."""

import json
import math
import os
import time
from pathlib import Path

import pytest

from tests.conftest import Aes, needs_posix, photograph
from tests.endpoint import OBJECT, serving
from tests.models.speakers import transformers_model

KEY = "sk-planted-secret"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(6):
        photograph(at, (90, 60)).save(folder / f"{at}.png")
    return folder


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def words(address: str, *more: object) -> tuple[object, ...]:
    return ("--model", "endpoint:m", "--base-url", address, "--format", "jsonl", *more)


def test_every_picture_is_asked_about_once_and_never_paid_twice(aes: Aes, pictures: Path) -> None:
    with serving() as server:
        done = aes("critique", pictures, *words(server.address))
        assert done.code == 0, done.err
        assert [row["summary"] for row in rows(done.out)] == ["Calm."] * 6
        assert len(server.requests) == 6
        again = aes("critique", pictures, *words(server.address, "--no-store"))
        assert rows(again.out) == rows(done.out)
        assert len(server.requests) == 6
        sent = server.requests[0]["messages"][0]["content"][1]["image_url"]
        assert sent["detail"] == "high"
        assert sent["url"].startswith("data:image/jpeg;base64,")
        assert set(server.keys) == {f"Bearer {KEY}"}
        other = aes("critique", pictures / "0.png", *words(server.address, "--image-side", 40))
        assert other.code == 0
        assert len(server.requests) == 7
        assert aes("critique", pictures, *words(server.address, "--fresh")).code == 0
        assert len(server.requests) == 13


def test_faults_that_pass_are_waited_out(aes: Aes, pictures: Path) -> None:
    with serving("429 after", 500, "cut", 503) as server:
        started = time.monotonic()
        done = aes("critique", pictures, *words(server.address))
        assert done.code == 0, done.err
        assert time.monotonic() - started >= 1.0  # Retry-After
        assert len(server.requests) == 10


def test_faults_that_stay_are_rows_and_are_tried_again(aes: Aes, pictures: Path) -> None:
    with serving(400, "html", "no object", "no object", "empty", "refuse") as server:
        first = aes("critique", pictures / "0.png", *words(server.address))
        assert first.code == 3
        assert rows(first.out)[0]["error_code"] == "endpoint_error"
        for code in ("endpoint_error", "bad_answer", "bad_answer", "refused"):
            done = aes("critique", pictures / "0.png", *words(server.address, "--no-store"))
            found = rows(done.out)[0]
            assert found["error_code"] == code, found
            (Path(os.environ["AES_HOME"]) / "responses.db").unlink()
        assert aes("critique", pictures, *words(server.address)).code == 0


def test_a_stall_ends(aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from aescli.models import endpoint
    from aescli.models.base import EndpointOptions

    whole = endpoint.open_endpoint
    monkeypatch.setattr(
        endpoint, "open_endpoint", lambda card, options: whole(card, replace(options, seconds=0.5, retries=0))
    )
    assert EndpointOptions().seconds > 1
    with serving("stall") as server:
        done = aes("critique", pictures / "0.png", *words(server.address))
    assert done.code == 3
    assert "more than 0.5 seconds" in str(rows(done.out)[0]["error"])


def test_the_key_is_nowhere_even_if_the_server_echoes_it(aes: Aes, pictures: Path, home: Path, tmp_path: Path) -> None:
    with serving(*["echo"] * 50) as server:
        done = aes("critique", pictures, *words(server.address, "-o", tmp_path / "out.jsonl"))
        scored = aes("score", pictures, *words(server.address))
    assert done.code == scored.code == 3
    files = [file for folder in (home, tmp_path) for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 3
    for text in (done.out, done.err, scored.out, scored.err, *(file.read_bytes().decode("latin-1") for file in files)):
        assert KEY not in text
    assert "[key]" in (tmp_path / "out.jsonl").read_text()


def test_the_key_does_not_follow_to_another_host(aes: Aes, pictures: Path) -> None:
    with serving() as other, serving("redirect") as server:
        server.elsewhere = other.address.replace("127.0.0.1", "localhost") + "/chat/completions"
        aes("critique", pictures / "0.png", *words(server.address))
        assert KEY not in " ".join(other.keys)


@pytest.mark.parametrize("address", ["http://example.com/v1", "ftp://127.0.0.1", "nothing"])
def test_an_address_that_would_show_the_key_is_refused(aes: Aes, pictures: Path, address: str) -> None:
    done = aes("critique", pictures / "0.png", *words(address))
    assert done.code == 2
    assert KEY not in done.err


def test_without_a_key_nothing_is_sent(aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    done = aes("critique", pictures / "0.png", "--model", "endpoint:gpt-4o")
    assert done.code == 2
    assert "OPENAI_API_KEY" in done.err


def test_an_estimate_needs_no_key_and_asks_nothing(aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    money = ("--price-in", 2.5, "--price-out", 10)
    done = aes("critique", pictures, "--model", "endpoint:gpt-4o", "--estimate", *money)
    assert done.code == 0
    said = dict(line.rsplit(maxsplit=1) for line in done.out.splitlines())
    assert said["requests"] == "6"
    assert 0.01 < float(said["cost at most"]) < 0.1


def test_the_money_ends_the_run_and_more_money_goes_on(aes: Aes, pictures: Path) -> None:
    money = ("--price-in", 1000, "--price-out", 0)  # one unit for each request
    with serving("good", "fair") as server:
        done = aes(
            "score", pictures, *words(server.address, *money, "--max-cost", 2.5, "--batch-size", 1, "--workers", 1)
        )
        assert done.code == 3
        found = rows(done.out)
        assert len(found) == 6
        assert [row["error_code"] for row in found].count("budget") == 4
        assert len(server.requests) == 2
        server.plan += ["good"] * 9
        rest = aes("score", pictures, *words(server.address, *money, "--max-cost", 100))
        assert rest.code in (0, 3)
        assert len(server.requests) == 6


@pytest.mark.parametrize("key", [KEY, "x", "o"])
def test_levels_are_weighted_by_their_probabilities(
    aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)  # local servers want a word, which is no secret
    with serving("good") as server:
        server.logprobs = [
            (" Good", math.log(0.6)),
            (" fair", math.log(0.2)),
            ("Excellent", math.log(0.1)),
            ("x", -9.0),
        ]
        done = aes("score", pictures / "0.png", *words(server.address))
    assert done.code == 0, done.err
    (row,) = rows(done.out)
    assert row["raw"] == pytest.approx((0.6 * 0.75 + 0.2 * 0.5 + 0.1 * 1.0) / 0.9)
    assert row["levels"]["good"] == pytest.approx(0.6 / 0.9)  # type: ignore[index]
    assert row["flags"] == []


def test_without_probabilities_the_word_stands_and_is_flagged(aes: Aes, pictures: Path) -> None:
    with serving("Good.", "I would say 7/10") as server:
        one = rows(aes("score", pictures / "0.png", *words(server.address)).out)[0]
        other = rows(aes("score", pictures / "1.png", *words(server.address)).out)[0]
    assert (one["raw"], one["flags"]) == (0.75, ["no_logprobs"])
    assert (other["status"], other["error_code"]) == ("error", "bad_answer")


def test_hostile_words_stay_words(aes: Aes, pictures: Path) -> None:
    hostile = json.dumps({**json.loads(OBJECT), "summary": "\x1b[2J<script>x</script> [a](http://b)"})
    with serving(hostile) as server:
        (row,) = rows(aes("critique", pictures / "0.png", *words(server.address)).out)
    assert "\x1b" not in str(row["summary"])
    assert "<script" not in str(row["summary"])
    assert "http:" not in str(row["summary"])


def test_a_server_that_we_did_not_write_answers(aes: Aes, pictures: Path, served: str, tmp_path: Path) -> None:
    address, folder = served, transformers_model(tmp_path / "llava", "llava")
    asked = ("--ask", "Why?", "--max-tokens", 8, "--format", "jsonl", "--base-url", address)
    done = aes("critique", pictures / "0.png", pictures / "1.png", "--model", f"endpoint:{folder}", *asked)
    assert done.code in (0, 3), done.err
    for row in rows(done.out):
        assert row.get("answer") or row["error_code"] == "bad_answer", row  # random words may be none
    scored = aes(
        "score", pictures / "0.png", "--model", f"endpoint:{folder}", "--base-url", address, "--format", "jsonl"
    )
    (row,) = rows(scored.out)
    assert row["error_code"] == "bad_answer", row  # it gives no log-probabilities, and no level by chance


def test_a_limit_without_prices_is_refused(aes: Aes, pictures: Path) -> None:
    with serving() as server:
        done = aes("critique", pictures, *words(server.address, "--max-cost", 0.5))
        assert done.code == 2
        assert server.requests == []


def test_side_by_side_requests_do_not_pass_the_limit_together(aes: Aes, pictures: Path) -> None:
    with serving() as server:
        done = aes("critique", pictures, *words(server.address, "--price-in", 1000, "--max-cost", 2.5))
        assert done.code == 3
        assert 1 <= len(server.requests) <= 2


def test_a_key_in_an_answer_is_masked(aes: Aes, pictures: Path, home: Path) -> None:
    with serving(f"your key is {KEY}") as server:
        done = aes("critique", pictures / "0.png", "--ask", "k", *words(server.address))
    assert "[key]" in done.out
    for file in home.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_a_placeholder_is_no_key(aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving("there are none of the usual faults") as server:
        done = aes("critique", pictures / "0.png", "--ask", "k", *words(server.address))
    assert "there are none of" in done.out


def test_an_answer_of_no_use_is_asked_for_again(aes: Aes, pictures: Path) -> None:
    with serving("no", "no again") as server:
        assert aes("critique", pictures / "0.png", *words(server.address)).code == 3
        assert aes("critique", pictures / "0.png", *words(server.address)).code == 0
        assert len(server.requests) == 3
        server.plan += ["hm", "good"]
        assert aes("score", pictures / "0.png", *words(server.address)).code == 3
        assert aes("score", pictures / "0.png", *words(server.address)).code == 0


def test_an_answer_that_was_cut_says_so_each_time(aes: Aes, pictures: Path) -> None:
    with serving("The light is", "The light is even.", '{"summary": "Calm.", "stren', '{"summary": "Ca') as server:
        server.finish = "length"
        asked = (pictures / "0.png", *words(server.address, "--no-store"), "--ask", "Is the light good?")
        for _ in range(2):  # as it came, and as it is kept
            (row,) = rows(aes("critique", *asked).out)
            assert (row["answer"], row["flags"]) == ("The light is", ["cut_short"])
        assert "cut short at --max-tokens" in aes("critique", *asked, "--format", "text").out
        assert "*cut short at --max-tokens*" in aes("critique", *asked, "--format", "md").out
        server.finish = "stop"
        (row,) = rows(aes("critique", *asked, "--max-tokens", 600).out)
        assert (row["answer"], row["flags"]) == ("The light is even.", [])
        server.finish = "length"
        (row,) = rows(aes("critique", pictures / "0.png", *words(server.address)).out)
        assert row["error_code"] == "bad_answer"
        assert "--max-tokens ended it" in str(row["error"])


def test_a_level_that_was_not_likeliest_is_no_level(aes: Aes, pictures: Path) -> None:
    with serving("excellent") as server:
        server.logprobs = [("ex", -0.8), ("good", -1.2), ("fair", -1.4)]
        (row,) = rows(aes("score", pictures / "0.png", *words(server.address)).out)
    assert (row["raw"], row["flags"]) == (1.0, ["no_logprobs"])


def test_a_level_that_is_begun_counts(aes: Aes, pictures: Path) -> None:
    with serving("good") as server:
        server.logprobs = [("good", math.log(0.5)), ("Ex", math.log(0.3)), ("f", math.log(0.1)), ("", -4.0)]
        (row,) = rows(aes("score", pictures / "0.png", *words(server.address)).out)
    assert row["raw"] == pytest.approx((0.5 * 0.75 + 0.3 * 1.0) / 0.8)
    assert row["flags"] == []


@pytest.mark.parametrize("address", ["http://[::1", "http://127.0.0.1:abc/v1", "https://", "https://u:p@host/v1"])
def test_an_address_that_is_none_is_refused(aes: Aes, pictures: Path, address: str) -> None:
    assert aes("critique", pictures / "0.png", *words(address)).code == 2


@pytest.mark.parametrize(
    ("good", "raw", "flags"),
    [(1.19e-7, 0.75, []), (0.5, 0.75, ["no_logprobs"]), (math.nan, 0.75, ["no_logprobs"])],
)
def test_a_probability_that_is_none_never_turns_a_score(
    aes: Aes, pictures: Path, good: float, raw: float, flags: list[str]
) -> None:
    with serving("good") as server:
        server.logprobs = [("good", good), ("bad", -16.2), ("poor", -17.9)]
        (row,) = rows(aes("score", pictures / "0.png", *words(server.address)).out)
    assert row["raw"] == pytest.approx(raw, abs=1e-5)
    assert row["flags"] == flags


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -9, "completion_tokens": -9, "total_tokens": -18}])
def test_answers_whose_tokens_nobody_counts_cost_the_most_that_they_can(
    aes: Aes, pictures: Path, usage: dict[str, int] | None
) -> None:
    with serving() as server:
        server.usage = usage
        money = ("--price-in", 10, "--price-out", 10, "--max-cost", 0.035, "--image-side", 64)
        done = aes("critique", pictures, *words(server.address, *money))
    assert done.code == 3
    assert len(server.requests) < 6
    assert {row["error_code"] for row in rows(done.out)} == {None, "budget"}


def test_a_folder_is_no_endpoint(aes: Aes, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {
        "family": "endpoint",
        "title": "x",
        "native_range": [0, 1],
        "revision": "",
        "read_out": "",
        "dimensions": [],
    }
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "card.json").write_text(json.dumps(card))
    with serving() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        for command in ("score", "critique"):
            done = aes(command, pictures / "0.png", "-m", tmp_path / "m")
            assert (done.code, "a folder is no endpoint" in done.err) == (5, True)
        assert not server.requests


def test_what_there_is_to_know_of_a_picture_stands_beside_its_critique(aes: Aes, pictures: Path) -> None:
    frames = [photograph(at, (90, 60)) for at in range(3)]
    frames[0].save(pictures / "film.gif", save_all=True, append_images=frames[1:])
    frames[1].save(pictures / "other.jpg", "PNG")
    with serving() as server:
        names = pictures / "film.gif", pictures / "other.jpg"
        for _ in range(2):
            found = rows(aes("critique", *names, *words(server.address)).out)
            assert [row["flags"] for row in found] == [["first_frame"], ["ext_mismatch"]]


@pytest.mark.parametrize(("suffix", "begins"), [(".json", "["), (".md", "## "), (".jsonl", "{"), (".txt", "Calm")])
def test_a_file_of_critiques_has_the_format_of_its_name(
    aes: Aes, pictures: Path, tmp_path: Path, suffix: str, begins: str
) -> None:
    with serving() as server:
        asked = ("--model", "endpoint:m", "--base-url", server.address)
        done = aes("critique", pictures / "0.png", *asked, "-o", tmp_path / f"c{suffix}")
        assert done.code == 0, done.err
        assert (tmp_path / f"c{suffix}").read_text().startswith(begins)
        done = aes("critique", pictures / "0.png", *asked, "-o", tmp_path / "c.xyz")
        assert (done.code, "names no format" in done.err) == (2, True)
        assert aes("critique", pictures / "0.png", *asked, "-o", tmp_path / "c.xyz", "--format", "md").code == 0


@needs_posix
def test_a_pipe_by_another_name_takes_words(aes: Aes, pictures: Path) -> None:
    with serving() as server:
        done = aes(
            "critique", pictures / "0.png", "--model", "endpoint:m", "--base-url", server.address, "-o", "/dev/null"
        )
        assert done.code == 0, done.err
