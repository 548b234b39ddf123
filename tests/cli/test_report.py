"""`aes report` as text and as a browser shows it."""

import base64
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Aes, needs_posix, photograph
from tests.devtools import Page, browse, needs_browser

HEADER = "path,status,overall,sharpness,raw,model,flags,error_code,error,group,verdict"
NASTY = "</script><img src=x onerror=\"document.title='got in'\"><script>document.title='got in'</script>"


@pytest.fixture
def scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty pictures, four of them in two groups, and one that failed."""
    monkeypatch.chdir(tmp_path)
    Path("pics").mkdir()
    lines = []
    for at in range(40):
        photograph(at % 5, (96, 64)).save(f"pics/{at:02d}.jpg", quality=85)
        group, verdict = (at // 2 + 1, "review" if at % 2 else "keep") if at < 4 else ("", "keep")
        lines.append(f"pics/{at:02d}.jpg,ok,{at / 4},{10 - at / 8},{at / 4},mini,,,,{group},{verdict}")
    lines.append(f"pics/bad.jpg,error,,,,mini,,truncated,{NASTY.replace(',', ' ').replace(chr(34), chr(39))},,")
    Path("s.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path / "s.csv"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.data = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = dict(attrs).get("id") or ""

    def handle_data(self, data: str) -> None:
        self.data += data if self._inside == "data" else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def read_page(file: Path) -> tuple[_Tags, dict[str, Any]]:
    tags = _Tags()
    tags.feed(file.read_text(encoding="utf-8"))
    return tags, json.loads(tags.data)


def test_the_page_holds_every_row_and_its_thumbnails_are_files(aes: Aes, scores: Path) -> None:
    done = aes("report", scores, "-o", "r.html")
    assert done.code == 0
    assert "41 pictures, 1 of them without a thumbnail" in done.err
    _, data = read_page(Path("r.html"))
    assert data["paths"] == [*(f"pics/{at:02d}.jpg" for at in range(40)), "pics/bad.jpg"]
    columns = {each["name"]: each["values"] for each in data["numbers"]}
    assert columns["overall"] == [*(at / 4 for at in range(40)), None]
    assert columns["sharpness"][:2] == [10, 9.875]
    assert {each["name"] for each in data["words"]} == {"group", "verdict"}
    assert data["group"] == "group"
    assert data["errors"][-1].startswith("truncated: ")
    assert data["links"] == data["paths"]
    for small in data["small"][:40]:
        with Image.open(Path("r_files") / small) as opened:
            assert opened.size == (96, 64)
    assert len(list(Path("r_files").iterdir())) == 40


def test_running_again_makes_only_what_is_new(aes: Aes, scores: Path) -> None:
    aes("report", scores, "-o", "r.html")
    before = {file: file.stat().st_mtime_ns for file in Path("r_files").iterdir()}
    photograph(9, (96, 64)).save("pics/00.jpg")
    aes("report", scores, "-o", "r.html")
    after = {file: file.stat().st_mtime_ns for file in Path("r_files").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 41


def test_nothing_on_the_page_is_run_but_its_own_script(aes: Aes, scores: Path) -> None:
    aes("report", scores, "-o", "r.html", "--title", NASTY)
    tags, _ = read_page(Path("r.html"))
    assert tags.tags.count("script") == 2  # the data, which no browser runs, and our own
    assert not {"img", "iframe", "link", "object", "form", "base"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name in ("style", "src", "href")]
    page = Path("r.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_without_thumbnails_the_page_stands_alone(aes: Aes, scores: Path) -> None:
    assert aes("report", scores, "-o", "r.html", "--no-thumbnails").code == 0
    assert not Path("r_files").exists()
    assert read_page(Path("r.html"))[1]["thumbs"] == ""


@needs_posix
def test_links_lead_to_pictures_whatever_their_names(aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [b"caf\xe9 #1?.jpg", b"50%.jpg", "日本.jpg".encode(), b'<b>".jpg']
    Path("pics").mkdir()
    for seed, name in enumerate(names):
        photograph(seed, (40, 30)).save(f"pics/{os.fsdecode(name)}")
    aes("score", "pics", "-o", "s.parquet")
    Path("pages").mkdir()
    assert aes("report", "s.parquet", "-o", "pages/r.html").code == 0
    from urllib.parse import unquote_to_bytes

    _, data = read_page(Path("pages/r.html"))
    assert sorted(map(unquote_to_bytes, data["links"])) == sorted(b"../pics/" + name for name in names)
    assert all("\udce9" not in path for path in data["paths"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [(["s.csv", "-o", "r.pdf"], 2, "no name of a page"), (["empty.csv", "-o", "r.html"], 4, "no scores"),
     (["no.csv", "-o", "r.html"], 2, "there is no"), (["s.csv", "-o", "nowhere/r.html"], 1, "cannot be written")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(aes: Aes, scores: Path, words: list[str], code: int, message: str) -> None:
    Path("empty.csv").write_text(f"{HEADER}\n")
    done = aes("report", *words, "--no-thumbnails")
    assert done.code == code
    assert message in done.err


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(aes: Aes, scores: Path, browser: Page) -> Page:
    aes("report", scores, "-o", "r.html")
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(Path("r.html").absolute())
    return browser


def cards(page: Page) -> list[str]:
    """Return the names of the cards on the screen, as a reader sees them: from top to bottom, from left to right."""
    found = page.evaluate("[...document.querySelectorAll('.card')].map(c => [c.offsetTop, c.offsetLeft, c.title])")
    return [Path(name).stem for _, _, name in sorted(found)]


def shown(page: Page) -> str:
    return str(page.evaluate("document.getElementById('shown').textContent"))


def choose(page: Page, control: str, value: str) -> None:
    page.evaluate(
        f"(s => {{ s.value = {value!r}; s.dispatchEvent(new Event('change')); }})(document.getElementById({control!r}))"
    )
    page.settle()


@needs_browser
def test_groups_stand_side_by_side_until_all_is_wanted(page: Page) -> None:
    assert shown(page) == "4 of 41"
    heads = page.evaluate("[...document.querySelectorAll('.head')].map(h => h.textContent)")
    assert heads == ["group 2 2 pictures", "group 1 2 pictures"]
    assert cards(page) == ["03", "02", "01", "00"]
    for beside in (2, 1, 2):
        page.press("b")
        assert page.evaluate("document.querySelectorAll('#beside img').length") == beside
    page.press("Escape")
    choose(page, "grouping", "")
    assert shown(page) == "41 of 41"
    assert not page.complaints


@needs_browser
def test_sorting_filtering_and_searching(page: Page) -> None:
    choose(page, "grouping", "")
    assert cards(page)[:3] == ["39", "38", "37"]
    page.press("r")
    assert cards(page)[:3] == ["00", "01", "02"]
    page.press("r")
    page.press("s")
    assert cards(page)[:3] == ["00", "01", "02"]  # by sharpness
    box = page.evaluate(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('aside svg').getBoundingClientRect())"
    )
    left, top, width, height = box
    page.drag((left + 0.5 * width, top + height / 2), (left + 0.75 * width, top + height / 2))
    assert shown(page) == "11 of 41"  # overall from 5 to 7.5
    assert cards(page)[0] == "20"
    page.press("/")
    for key in "pics/2":
        page.press(key)
    assert shown(page) == "10 of 41"
    page.press("Escape")
    page.press("c")
    assert shown(page) == "41 of 41"
    page.press("/")
    for key in "trunc":
        page.press(key)
    page.press("Enter")
    assert shown(page) == "0 of 41"
    assert not page.complaints


@needs_browser
def test_keys_move_open_and_close(page: Page) -> None:
    choose(page, "grouping", "")

    def selected() -> str:
        return Path(page.evaluate("document.querySelector('.card.selected').title")).stem

    assert selected() == "39"
    page.press("ArrowRight")
    assert selected() == "38"
    page.press("End")
    assert selected() == "bad"
    page.press("Home")
    page.press("Enter")
    assert page.evaluate("document.getElementById('dialog').open") is True
    page.press("ArrowRight")
    facts = page.evaluate("document.getElementById('facts').innerText")
    assert "2 of 41" in facts
    assert "pics/38.jpg" in facts
    assert "9.50" in facts
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert page.evaluate("document.querySelector('#beside img').naturalWidth") == 96  # the picture itself, from disk
    page.press("Escape")
    assert page.evaluate("document.getElementById('dialog').open") is False
    assert not page.complaints


@needs_browser
def test_what_is_in_a_name_is_text_and_nothing_is_fetched_but_pictures(page: Page) -> None:
    choose(page, "grouping", "")
    page.press("End")
    page.press("Enter")
    assert page.evaluate("document.title") == "s"
    assert "got in" in page.evaluate("document.body.innerText")
    assert page.evaluate("document.scripts.length") == 2
    assert page.requests
    assert all(url.startswith("file://") for url in page.requests)
    assert not page.complaints


@needs_browser
def test_a_person_sees_thumbnails_and_histograms(page: Page) -> None:
    choose(page, "grouping", "")
    page.evaluate("Promise.all([...document.images].map(i => i.decode()))")
    shot = page.ask("Page.captureScreenshot")["data"]
    with Image.open(io.BytesIO(base64.b64decode(shot))) as opened:
        pixels = np.asarray(opened.convert("RGB"), int)
    colours = {tuple(colour) for colour in pixels[:, :270].reshape(-1, 3)[::5].tolist()}
    assert (10, 110, 138) in colours  # bars: the style sheet's hash is right
    sheet = pixels[60:, 280:]
    assert np.std(sheet.mean(axis=2)) > 25  # photographs
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True


def test_a_picture_that_stands_twice_has_one_thumbnail(aes: Aes, scores: Path) -> None:
    lines = scores.read_text().splitlines()[:3]
    scores.write_text("\n".join([lines[0], *lines[1:] * 20]) + "\n")
    assert aes("report", scores, "-o", "r.html").code == 0
    assert sorted(file.suffix for file in Path("r_files").iterdir()) == [".jpg", ".jpg"]


@needs_browser
def test_what_no_link_leads_to_is_shown_by_its_thumbnail_or_said(aes: Aes, scores: Path, browser: Page) -> None:
    with tarfile.open("p.tar", "w") as archive:
        archive.add("pics/00.jpg", "00.jpg")
    aes("score", "p.tar", "pics/01.jpg", "-o", "z.csv")
    for words, images, words_shown in (((), 2, ""), (("--no-thumbnails",), 1, "no picture here")):
        assert aes("report", "z.csv", "-o", "z.html", *words).code == 0
        _, data = read_page(Path("z.html"))
        assert data["links"] == ["", "pics/01.jpg"]
        browser.complaints.clear()
        browser.open(Path("z.html").absolute())
        browser.evaluate("Promise.all([...document.images].map(i => i.decode()))")
        assert browser.evaluate("[...document.images].filter(i => i.naturalWidth === 96).length") == images
        assert browser.evaluate("document.querySelector('.card .none')?.textContent ?? ''") == words_shown
        browser.press("Enter")
        browser.press("ArrowRight")
        browser.evaluate("Promise.all([...document.images].map(i => i.decode()))")
        assert not browser.complaints
