"""The page of a benchmark, as text and as a browser shows it."""

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from aescli.benchmarking.evaluating import evaluate
from aescli.benchmarking.published import published
from aescli.benchmarking.records import BenchReport
from aescli.cli.bench_reporting import make_thumbnail
from aescli.writers.bench_page import write_page
from tests.benchmarking.lines import replied, scored
from tests.browser import look
from tests.conftest import photograph
from tests.devtools import needs_browser

NASTY = (
    "</style><script>document.title='got in'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='got in'\">"
)


@pytest.fixture
def report(tmp_path: Path) -> BenchReport:
    chance = np.random.default_rng(0)
    labels = chance.uniform(1, 9, 60)
    pictures = {f"{at}.jpg": tmp_path / f"{at}.jpg" for at in range(60)}
    for at, file in enumerate(pictures.values()):
        photograph(at, (120, 80)).save(file)
    lines = []
    for model, noise in (("mini", 1.0), (f"./{NASTY}", 3.0), ("flat", 0.0)):
        scores = np.clip(labels + chance.normal(0, noise, 60), 0, 10) if noise else np.full(60, 5.0)
        found = scored(model, scores.tolist(), labels.tolist())
        lines += [replace(line, path=str(pictures[f"{line.item}.jpg"]), item=f"{line.item}{NASTY}") for line in found]
    for model, right in (("model A", 0.8), ("model B", 0.5)):
        lines += [
            replied(at, "A" if chance.random() < right else f"B{NASTY}", model=model, path=str(pictures[f"{at}.jpg"]),
                    groups={"ability": "perception", "class": ("composition", "light")[at % 2]})
            for at in range(60)
        ]  # fmt: skip
    found_report = evaluate(lines)
    beside = [each for each in published(["uniaa"]) if each.metric.startswith("perception")]
    return BenchReport((*found_report.records, *beside), found_report.lines, (f"a note {NASTY}",))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_nothing_on_the_page_is_run_or_fetched_and_names_are_text(report: BenchReport) -> None:
    page = write_page(report, make_thumbnail).decode()
    parser = _Tags()
    parser.feed(page)
    assert not parser.tags & {"script", "link", "iframe", "object", "form", "base", "audio", "video"}
    assert not [name for name, _ in parser.attributes if name.startswith("on") or name in ("style", "href")]
    assert all(value.startswith("data:image/jpeg;base64,") for name, value in parser.attributes if name == "src")
    assert "default-src 'none'" in page
    assert page.count("&lt;script&gt;") > 10


def test_pictures_stand_in_a_page_where_they_are_allowed(report: BenchReport) -> None:
    assert write_page(report, make_thumbnail).count(b"<img ") >= 12
    assert b"<img " not in write_page(report)
    assert write_page(report) == write_page(report)


def test_charts_hold_every_model_and_the_reference(report: BenchReport) -> None:
    page = write_page(report).decode()
    assert "Abilities" in page
    assert "<title>GPT-4V: 0.747</title>" in page
    assert page.count("<svg ") >= 10
    for record in report.records:
        assert record.metric in page


def test_a_report_without_anything_is_a_page(tmp_path: Path) -> None:
    assert b"<h1>" in write_page(BenchReport(()))


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1100, 420])
def test_a_browser_shows_it_whole_and_complains_of_nothing(report: BenchReport, tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(write_page(report, make_thumbnail))
    text, pixels = look(page, (width, 2400), tmp_path)
    assert "<title>aes bench</title>" in text  # what is in a name did not run
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3)[::7].tolist()}
    assert (10, 110, 138) in colours  # the dots of our models: the style sheet's hash is right, charts are drawn
    assert (184, 86, 43) in colours  # those of published numbers
    ink = np.any(pixels < 200, axis=2)
    assert np.mean(np.any(ink, axis=1)) > 0.3
    assert not np.any(ink[:, -4:])  # nothing runs over the edge


def test_the_command_writes_it_from_lines(tmp_path: Path, report: BenchReport) -> None:
    from aescli.cli.app import main

    file = tmp_path / "run.jsonl"
    lines = [line for found in report.lines.values() for line in found]
    file.write_text("".join(f"{json.dumps(asdict(line))}\n" for line in lines))
    assert main(["bench", "report", str(file), "-o", str(tmp_path / "out.html"), "--baseline", "published"]) == 0
    page = (tmp_path / "out.html").read_bytes()
    assert b"GPT-4V" in page
    assert b"<img " in page
