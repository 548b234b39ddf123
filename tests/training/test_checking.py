import json
from pathlib import Path

from aescli.training.checking import draw_histogram
from tests.conftest import Aes
from tests.training.tiny import SPREAD, humanbeauty, portrait


def test_good_data_are_counted_and_drawn(aes: Aes, tmp_path: Path) -> None:
    folder = humanbeauty(tmp_path / "d")
    done = aes("data", "check", f"humanbeauty={folder}", "--json")
    found = json.loads(done.out)
    assert found["counts"]["samples"] == 32
    assert found["counts"]["with twelve scores"] == 16
    assert found["groups"] == {"TAD66K": 16, "AVA": 16}
    assert sum(found["histograms"]["overall"]) == 32
    assert sum(found["histograms"]["outfit"]) == 16
    assert min(found["levels"].values()) > 0
    shown = aes("data", "check", f"humanbeauty={folder}")
    assert "comprehensive" in shown.out


def test_what_is_wrong_is_found(aes: Aes, tmp_path: Path) -> None:
    folder = humanbeauty(tmp_path / "d", SPREAD, []) / "HumanBeauty-58K"
    (folder / "images" / "3.png").unlink()
    (folder / "images" / "4.png").write_bytes(b"no picture")
    lines = (folder / "label.jsonl").read_text().splitlines()
    lines[5] = json.dumps({"image_name": "5.png", "source": "AVA", "score": 7})
    lines[6] = json.dumps({"image_name": "6.png", "source": "AVA", "score": 0.1, "text_level": "excellent"})
    (folder / "label.jsonl").write_text("\n".join(lines))
    done = aes("data", "check", f"humanbeauty={folder.parent}", "--json")
    found = json.loads(done.out)
    assert done.code == 3
    assert [Path(each).name for each in found["missing"]] == ["3.png"]
    assert any("4.png" in each for each in found["problems"])
    assert any("7" in each and "label.jsonl:6" in each for each in found["problems"])
    assert found["mismatched"] == ["label.jsonl:7: excellent for 0.1"]


def test_a_picture_that_was_made_smaller_is_found_in_another_split(aes: Aes, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    lines = []
    for at in range(12):
        portrait(at).save(tmp_path / "images" / f"{at}.png")
        portrait(at).resize((40, 40)).save(tmp_path / "images" / f"{at}-small.jpg", quality=80)
        lines += [{"image_name": f"{at}.png", "score": 0.5, "text_level": "fair"},
                  {"image_name": f"{at}-small.jpg", "score": 0.5, "text_level": "fair"}]  # fmt: skip
    (tmp_path / "label.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = json.loads(aes("data", "check", tmp_path, "--json").out)
    assert found["alike"]
    twins = [{Path(each).stem.removesuffix("-small") for each in pair} for pair in found["alike"]]
    assert sum(len(twin) == 1 for twin in twins) >= len(twins) / 2


def test_comparisons_are_counted_and_what_is_wrong_with_them_is_found(aes: Aes, tmp_path: Path) -> None:
    for at in range(4):
        portrait(at).save(tmp_path / f"{at}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    rows = ["winner,loser,tie", "0.png,1.png,", "2.png,1.png,no", "0.png,2.png,yes", "3.png,0.png,", "0.png,9.png,"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    done = aes("data", "check", tmp_path / "pairs.csv", "--json")
    found = json.loads(done.out)
    assert done.code == 3
    assert found["kind"] == "comparisons"
    assert found["counts"] == {"comparisons": 3, "pictures": 4}
    assert [Path(each).name for each in found["missing"]] == ["9.png"]
    assert any("pairs.csv:4" in each and "tie" in each for each in found["problems"])
    assert any("3.png" in each for each in found["problems"])
    (tmp_path / "pairs.csv").write_text("\n".join(rows[:3]))
    assert aes("data", "check", tmp_path / "pairs.csv").code == 0


def test_a_histogram_is_as_tall_as_its_largest_count() -> None:
    assert draw_histogram([0, 1, 8, 4]) == " ▁█▄"
    assert draw_histogram([0, 0]) == "  "
