"""What is written down is what the program does."""

import json
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aescli.errors import ErrorCode, ExitCode
from aescli.registry import BUILT_IN
from tests.conftest import Aes

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_command_pages_are_the_help() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "reference.py"], capture_output=True, text=True, check=True)
    assert done.stdout == read("docs/cli.md"), "run: just generate"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completions_are_what_the_command_prints(aes: Aes, shell: str) -> None:
    assert aes("completion", shell).out == read(f"completions/aes.{shell}"), "run: just generate"


def test_an_unknown_shell_is_refused(aes: Aes) -> None:
    assert aes("completion", "csh").code == 2


def test_every_exit_and_error_code_is_documented() -> None:
    page = read("docs/exit-codes.md")
    for exit_code in ExitCode:
        assert exit_code.name in page
        assert re.search(rf"\b{int(exit_code)}\b", page)
    for error_code in ErrorCode:
        assert f"`{error_code}`" in page


def test_every_flag_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    flags = set(re.findall(r'flags\.add\("(\w+)"\)', sources)) | {
        "escaped_path",
        "icc_ignored",
        "range_stretched",
        "truncated",
    }
    for flag in flags:
        assert f"`{flag}`" in read("docs/exit-codes.md")


def test_the_readme_opens_with_the_two_lines() -> None:
    first, second = read("README.md").splitlines()[:2]
    assert first.strip().startswith("pip install . && aes score ./photos")
    assert second.strip().startswith("pip install -c constraints.txt '.[dev]' && pytest")


def test_every_command_of_the_readme_is_understood(aes: Aes, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    Path("shards").mkdir()
    with tarfile.open("shards/0.tar", "w") as shard:
        shard.add(photos / "0.jpg", "0.jpg")
    for line in re.findall(r"^aes ([^#|\n]+)", read("README.md"), re.MULTILINE):
        if line.startswith("models pull"):
            continue
        done = aes(*shlex.split(line))
        assert done.code == 0, (line, done.err)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_page_of_mini_agrees_with_its_card() -> None:
    card = json.loads((BUILT_IN / "card.json").read_text())
    accuracy, damage, _ = card["accuracy"].values()
    page = read("docs/mini.md")
    assert f"{accuracy['srcc']:.3f}" in page
    for row in damage.values():
        for shares in row.values():  # mild, medium, strong
            assert " / ".join(f"{100 * share:.1f}" for share in shares) in page
    for dimension in card["dimensions"]:
        assert f"`{dimension['name']}`" in page
