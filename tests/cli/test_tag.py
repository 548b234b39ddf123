"""`aes tag` as a photographer meets it, read back by programs that are not ours."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aescli.images.formats import SUFFIXES
from aescli.xmp.files import list_sidecars
from aescli.xmp.marks import parse_packet
from aescli.xmp.packet import AES, read_properties
from tests.conftest import Aes, Done, needs_posix, photograph
from tests.xmp.generated import draw

SCORES = {f"{at}.jpg": score for at, score in enumerate((9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0))}
HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'

needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="no exiftool (Debian: libimage-exiftool-perl)")
needs_exiv2 = pytest.mark.skipif(not shutil.which("exiv2"), reason="no exiv2")


def xmp(marks: str) -> bytes:
    space = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dt="http://darktable.sf.net/"'
    return f'{HEAD}<rdf:Description rdf:about="" {space} dt:kept="yes" {marks}/></rdf:RDF></x:xmpmeta>'.encode()


@pytest.fixture
def shoot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten pictures with scores of nine to zero; nothing is scored."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    for at, name in enumerate(SCORES):
        photograph(at, (40, 30)).save(folder / name)
    write_scores(tmp_path, [f"shoot/{name}" for name in SCORES])
    monkeypatch.chdir(tmp_path)
    return folder


def write_scores(folder: Path, paths: list[str]) -> None:
    rows = [f"{path},ok,{SCORES[Path(path).stem + '.jpg']},1,mini,,," for path in paths]
    (folder / "s.csv").write_text("\n".join(["path,status,overall,raw,model,flags,error_code,error", *rows]) + "\n")


def plan(done: Done) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in done.out.splitlines()]
    return {Path(line["path"]).name: line for line in lines}


def tag(aes: Aes, *words: object) -> Done:
    return aes("tag", "--scores", "s.csv", "--format", "jsonl", *words)


def rating(file: Path) -> float | None:
    return parse_packet(file.read_bytes()).rating


def sidecars(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix.lower() == ".xmp"}


def test_without_apply_nothing_is_written_and_the_plan_says_everything(aes: Aes, shoot: Path, home: Path) -> None:
    done = tag(aes)
    assert done.code == 0
    assert "percentile:90,75,50,20: 10 create" in done.err
    assert "nothing was written" in done.err
    found = plan(done)
    assert [found[name]["stars"] for name in SCORES] == [5, 4, 3, 3, 3, 2, 2, 2, 1, 1]
    assert found["0.jpg"]["sidecar"] == "shoot/0.jpg.xmp"
    assert not sidecars(shoot)
    assert not (home / "journal.db").exists()


def test_apply_writes_undo_takes_back_and_pictures_are_never_touched(aes: Aes, shoot: Path) -> None:
    (shoot / "3.jpg.xmp").write_bytes(xmp('xmp:Rating="0"'))
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in shoot.iterdir()}
    assert tag(aes, "--apply").code == 0
    assert rating(shoot / "0.jpg.xmp") == 5
    assert rating(shoot / "3.jpg.xmp") == 3
    assert b'dt:kept="yes"' in (shoot / "3.jpg.xmp").read_bytes()
    for name in SCORES:
        assert ((shoot / name).read_bytes(), (shoot / name).stat().st_mtime_ns) == before[name]
    again = tag(aes, "--apply")
    assert "10 same" in again.err
    done = aes("tag", "--undo")
    assert (done.code, done.out) == (0, "")
    assert "10 of 10 sidecars are as they were" in done.err
    assert sidecars(shoot) == {"3.jpg.xmp": before["3.jpg.xmp"][0]}
    assert aes("tag", "--undo").code == 4


def test_a_picture_that_is_named_twice_has_one_sidecar_and_one_vote(aes: Aes, shoot: Path) -> None:
    write_scores(shoot.parent, [f"{each}shoot/{name}" for name in SCORES for each in ("", "./")])
    done = tag(aes, "--apply")
    assert done.code == 0
    assert "10 pictures are named twice" in done.err
    assert [each["stars"] for each in plan(done).values()] == [5, 4, 3, 3, 3, 2, 2, 2, 1, 1]


def test_fixed_bands_and_labels_are_said(aes: Aes, shoot: Path) -> None:
    done = tag(aes, "--stars", "score:9,7,5,3", "--write", "labels", "--apply")
    assert "labels by score:9,7,5,3" in done.err
    assert [plan(done)[name]["stars"] for name in SCORES] == [5, 4, 4, 3, 3, 2, 2, 1, 1, 1]
    marks = parse_packet((shoot / "1.jpg.xmp").read_bytes())
    assert (marks.rating, marks.label) == (None, "Blue")
    own = {
        found.name[1]: found.value
        for found in read_properties((shoot / "1.jpg.xmp").read_bytes())
        if found.name[0] == AES
    }
    assert own == {"Label": "Blue", "Score": "8.0000", "Percentile": "80.0", "Model": "mini", "Rule": "score:9,7,5,3"}
    tag(aes, "--stars", "score:9,7,5,3", "--write", "labels", "--colours", "Lila,Blau,Grün,Gelb,Rot", "--apply")
    assert parse_packet((shoot / "1.jpg.xmp").read_bytes()).label == "Blau"


@pytest.mark.parametrize(
    "marks", ['xmp:Rating="2"', 'xmp:Rating="-1"', 'xmp:Rating="5"', 'xmp:Rating="5" xmp:Label="Red"']
)
def test_what_a_person_has_rated_stays_byte_for_byte(aes: Aes, shoot: Path, marks: str) -> None:
    (shoot / "0.jpg.xmp").write_bytes(xmp(marks))
    (shoot / "1.xmp").write_bytes(xmp(marks))
    photograph(2, (40, 30)).save(shoot / "2.jpg", xmp=xmp(marks))
    done = tag(aes, "--apply")
    assert [plan(done)[f"{at}.jpg"]["action"] for at in range(4)] == ["kept", "kept", "kept", "create"]
    assert (shoot / "0.jpg.xmp").read_bytes() == (shoot / "1.xmp").read_bytes() == xmp(marks)
    assert not (shoot / "2.jpg.xmp").exists()
    assert "the picture itself says" in plan(done)["2.jpg"]["reason"]


def test_our_own_stars_change_with_the_scores(aes: Aes, shoot: Path) -> None:
    tag(aes, "--apply")
    done = tag(aes, "--stars", "score:10,9.5,9.2,9.1", "--apply")
    assert {each["action"] for each in plan(done).values()} == {"update"}
    assert rating(shoot / "0.jpg.xmp") == 1
    assert tag(aes, "--stars", "score:9,8,7,6", "--apply").code == 0
    assert rating(shoot / "0.jpg.xmp") == 5


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.replace(b'xmp:Rating="5"', b'xmp:Rating="4"'),  # a person rates
        lambda data: data + b"\n",  # a program saves: what it says of the stars is its own now
        lambda data: data.replace(b'aes:Stars="5"', b""),
    ],
)
def test_what_another_program_saved_is_a_persons(aes: Aes, shoot: Path, edit: object) -> None:
    tag(aes, "--apply")
    file = shoot / "0.jpg.xmp"
    file.write_bytes(edited := edit(file.read_bytes()))  # type: ignore[operator]
    done = tag(aes, "--stars", "score:9.9,9.8,9.7,9.6", "--apply")
    assert plan(done)["0.jpg"]["action"] == "kept"
    assert plan(done)["1.jpg"]["action"] == "update"
    undone = aes("tag", "--undo")  # of the second run, which did not touch it
    assert undone.code == 0
    undone = aes("tag", "--undo")
    assert undone.code == 3
    assert "0.jpg.xmp has changed since, and stays as it is" in undone.err
    assert file.read_bytes() == edited
    assert not (shoot / "1.jpg.xmp").exists()


def test_labels_beside_a_persons_stars_do_not_make_them_ours(aes: Aes, shoot: Path) -> None:
    tag(aes, "--apply")
    file = shoot / "0.jpg.xmp"
    file.write_bytes(file.read_bytes() + b"\n")  # saved by another program: five stars are a person's now
    done = tag(aes, "--write", "labels", "--apply")
    assert plan(done)["0.jpg"]["action"] == "update"
    assert plan(done)["1.jpg"]["action"] == "update"
    done = tag(aes, "--stars", "score:9.9,9.8,9.7,9.6", "--apply")
    assert plan(done)["0.jpg"]["action"] == "kept"
    assert plan(done)["1.jpg"]["action"] == "update"
    marks = parse_packet(file.read_bytes())
    assert (marks.rating, marks.label) == (5, "Purple")


def test_a_copy_of_our_sidecar_or_a_lost_journal_is_no_proof(aes: Aes, shoot: Path, home: Path) -> None:
    tag(aes, "--apply")
    shutil.copy(shoot / "0.jpg.xmp", shoot / "9.jpg.xmp")
    done = tag(aes, "--stars", "score", "--apply")
    assert plan(done)["9.jpg"]["action"] == "kept"
    (home / "journal.db").unlink()
    done = tag(aes, "--stars", "score:9.9,9.8,9.7,9.6")
    assert {each["action"] for each in plan(done).values()} == {"kept"}


def test_which_sidecar(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    (shoot / "0.jpg").rename(shoot / "0.nef")
    (shoot / "1.jpg.xmp").write_bytes(xmp(""))
    names = ["0.nef", *(f"{at}.jpg" for at in range(1, 6))]
    write_scores(tmp_path, [f"shoot/{name}" for name in names])
    found = plan(tag(aes))
    assert found["0.nef"]["sidecar"] == "shoot/0.nef.xmp"  # the folder's other sidecars are of this style
    (shoot / "1.jpg.xmp").unlink()
    found = plan(tag(aes))
    assert found["0.nef"]["sidecar"] == "shoot/0.xmp"
    assert found["1.jpg"]["sidecar"] == "shoot/1.jpg.xmp"
    (shoot / "2.xmp").write_bytes(xmp(""))
    found = plan(tag(aes))
    assert (found["2.jpg"]["sidecar"], found["2.jpg"]["action"]) == ("shoot/2.xmp", "update")
    assert found["3.jpg"]["sidecar"] == "shoot/3.xmp"
    assert plan(tag(aes, "--sidecar", "darktable"))["3.jpg"]["sidecar"] == "shoot/3.jpg.xmp"
    assert plan(tag(aes, "--sidecar", "adobe"))["0.nef"]["sidecar"] == "shoot/0.xmp"


def test_a_sidecar_that_two_pictures_would_share_is_a_conflict(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    shutil.copy(shoot / "0.jpg", shoot / "0.nef")
    photograph(1, (40, 30)).save(shoot / "1.tif")
    (shoot / "2.jpg.xmp").write_bytes(xmp(""))
    (shoot / "2.xmp").write_bytes(xmp(""))
    done = tag(aes, "--sidecar", "adobe")
    assert done.code == 3
    found = plan(done)
    assert "another picture beside it" in found["0.jpg"]["reason"]
    assert "1.tif" in found["1.jpg"]["reason"]
    assert found["2.jpg"]["sidecar"] == "shoot/2.xmp"
    assert "both styles" in plan(tag(aes))["2.jpg"]["reason"]
    assert ".nef" in SUFFIXES


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<x", b"\0" * 50, xmp('xmp:Rating="many"'), xmp("").decode().encode("utf-16")[:-1],
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + xmp('xmp:Rating="1"'),
    ],
)  # fmt: skip
def test_a_sidecar_that_cannot_be_changed_safely_is_left_alone(aes: Aes, shoot: Path, content: bytes) -> None:
    (shoot / "0.jpg.xmp").write_bytes(content)
    done = tag(aes, "--apply")
    assert done.code == 3
    assert plan(done)["0.jpg"]["action"] == "conflict"
    assert (shoot / "0.jpg.xmp").read_bytes() == content
    assert rating(shoot / "1.jpg.xmp") == 4


@needs_posix
def test_links_pipes_and_odd_names(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.xmp").write_bytes(xmp(""))
    (shoot / "0.jpg.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    os.mkfifo(shoot / "1.jpg.xmp")
    odd = os.fsdecode(b"caf\xe9 \x1b[31m.jpg")
    (shoot / "2.jpg").rename(shoot / odd)
    done = aes("tag", shoot, "--apply", "--format", "csv")
    assert done.code == 3
    assert b"\x1b" not in done.raw
    assert "no regular file" in done.out
    assert (shoot / "0.jpg.xmp").is_symlink()
    assert rating(tmp_path / "elsewhere.xmp") is not None
    assert rating(shoot / f"{odd}.xmp") is not None


def test_a_run_that_was_killed_can_be_taken_back(aes: Aes, shoot: Path, home: Path) -> None:
    tag(aes, "--apply")
    for at in range(5):  # as if it had been killed half way
        (shoot / f"{at}.jpg.xmp").unlink()
    (shoot / ".4.jpg.xmp.aes-part").write_bytes(b"<x:")
    done = aes("tag", "--undo")
    assert "10 of 10" in done.err
    assert not [file for file in shoot.iterdir() if file.suffix != ".jpg"]
    with sqlite3.connect(home / "journal.db") as journal:
        assert journal.execute("SELECT count(*) FROM changes").fetchone() == (10,)
    journal.close()


def test_nothing_is_changed_that_could_not_be_taken_back(aes: Aes, shoot: Path, home: Path) -> None:
    home.write_text("no folder")
    done = tag(aes, "--apply")
    assert done.code == 1
    assert "journal" in done.err
    assert not sidecars(shoot)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stars", "best"], "no rule"),
        (["--stars", "score:5,6,7,8"], "falling"),
        (["--stars", "percentile:90,75"], "four"),
        (["--stars", "score:nan,3,2,1"], "falling"),
        (["--stars", "score:80,70,60,50"], "10 to 0"),
        (["--write", "flags"], "stars|labels"),
        (["--sidecar", "mine"], "darktable"),
        (["--colours", "Red,Green"], "2 labels"),
        (["shoot"], "or --scores"),
        (["--undo"], "whole last run"),
    ],
)
def test_what_cannot_be_meant_is_refused(aes: Aes, shoot: Path, words: list[str], message: str) -> None:
    done = tag(aes, *words)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("command", ["tag", "cull"])
@pytest.mark.parametrize("word", ["s3://bucket/x.jpg", "shoot.tar"])
def test_what_is_no_file_of_this_machine_has_no_sidecar(aes: Aes, shoot: Path, command: str, word: str) -> None:
    done = aes(command, word)
    assert done.code == 2
    assert "no file or folder of this machine" in done.err


@needs_exiftool
@needs_exiv2
def test_other_programs_read_every_value_back(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    for at in range(300):  # all of them with a model's stars, whatever was in them
        name = f"{at}g.jpg"
        shutil.copy(shoot / "0.jpg", shoot / name)
        SCORES[name] = at / 30
        sidecar = draw(at)
        (shoot / f"{name}.xmp").write_bytes(sidecar.data)
    write_scores(tmp_path, [f"shoot/{name}" for name in SCORES])
    found = plan(tag(aes, "--apply"))
    for at in range(300):
        del SCORES[f"{at}g.jpg"]
    written = [each for each in found.values() if each["action"] in ("create", "update")]
    assert len(written) + sum(draw(at).rating == 3 for at in range(300)) == 310
    command = ["exiftool", "-j", "-G1", "-struct", "-XMP:all", *(each["sidecar"] for each in written)]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    theirs = {each["SourceFile"]: each for each in listed}
    for each in written:
        said = theirs[each["sidecar"]]
        assert said["XMP-xmp:Rating"] == each["stars"]
        ours = {name.partition(":")[2]: value for name, value in said.items() if name.startswith("XMP-aes")}
        assert float(ours["Score"]) == pytest.approx(each["overall"], abs=1e-4)
        assert ours["Model"] == "mini"
    befores = tmp_path / "befores"
    befores.mkdir()
    for at in range(300):
        (befores / f"{at}g.xmp").write_bytes(draw(at).data)
    changed = [each for each in written if each["action"] == "update"]
    afterwards = read_with_exiv2([each["sidecar"] for each in changed])
    readable = read_with_exiv2([str(befores / f"{Path(each['path']).stem}.xmp") for each in changed])
    for each, values, before in zip(changed, afterwards, readable, strict=True):
        if before is None:
            continue  # exiv2 takes no other prefix than rdf, and nothing bare
        assert values is not None, each
        assert values["Xmp.xmp.Rating"] == str(each["stars"])
        assert f"{each['overall']:.4f}" in values.values()
    assert sum(before is not None for before in readable) > 160


def read_with_exiv2(sidecars: list[str]) -> list[dict[str, str] | None]:
    """Return what exiv2 reads of each sidecar, None where it does not take it for XMP; names have no blanks."""
    done = subprocess.run(["exiv2", "-PXkv", *sidecars], capture_output=True, text=True, check=False)
    found: dict[str, dict[str, str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith(str(Path(sidecars[0]).parent)):  # else a value goes on
            file, name, *value = line.split(maxsplit=2)
            found.setdefault(file, {})[name] = "".join(value).strip()
    unknown = [f"{each}: " in done.stderr or b"<rdf:RDF" not in Path(each).read_bytes() for each in sidecars]
    return [None if other else found.get(each, {}) for each, other in zip(sidecars, unknown, strict=True)]


@needs_exiftool
@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_a_sidecar_in_utf_16_is_one_to_others_still(aes: Aes, shoot: Path, coding: str) -> None:
    text = "<?xpacket begin='\ufeff'?>" + xmp('xmp:Label="Küste"').decode()
    (shoot / "0.jpg.xmp").write_bytes(text.encode(coding))
    assert plan(tag(aes, "--apply"))["0.jpg"]["action"] == "update"
    said = subprocess.run(["exiftool", "-j", "-XMP:all", shoot / "0.jpg.xmp"], capture_output=True, check=True).stdout
    found = json.loads(said)[0]
    assert (found["Rating"], found["Label"], found["Kept"]) == (5, "Küste", "yes")


@needs_exiftool
@needs_exiv2
def test_sidecars_that_other_programs_wrote_keep_all_they_said(aes: Aes, shoot: Path) -> None:
    struct = "[{Action=saved,SoftwareAgent=Other 1.0|, really,Parameters=a & b < c}]"
    tags = [
        "-XMP-dc:Subject=sea", "-XMP-dc:Subject=Küste", "-XMP-dc:Title-de=Möwe", "-XMP-dc:Title=gull",
        "-XMP-lr:HierarchicalSubject=places|sea", f"-XMP-xmpMM:History={struct}", "-XMP-crs:Exposure2012=+0.35",
        "-XMP-iptcCore:CreatorWorkEmail=a@example.org", "-XMP-exif:GPSLatitude=43.5", "-XMP-xmp:Rating=0",
    ]  # fmt: skip
    ours, theirs = shoot / "0.jpg.xmp", shoot / "1.jpg.xmp"
    subprocess.run(["exiftool", "-q", "-o", str(ours), *tags], check=True)
    shutil.copy(ours, theirs)
    lines = [
        "-Mset Xmp.dc.description lang=x-default by exiv2",
        "-Mset Xmp.photoshop.City XmpText Köln",
        "-Mdel Xmp.xmp.Rating",
    ]
    subprocess.run(["exiv2", *lines, str(theirs)], check=True)
    for sidecar, stars in ((ours, 5), (theirs, 4)):
        before = exiftool(sidecar)
        assert tag(aes, "--apply").code == 0
        after = exiftool(sidecar)
        assert after.pop("XMP-xmp:Rating") == stars
        before.pop("XMP-xmp:Rating", None)
        assert {name: value for name, value in after.items() if not name.startswith("XMP-aes")} == before
        assert len(before) >= 10
        assert aes("tag", "--undo").code == 0


def exiftool(sidecar: Path) -> dict[str, Any]:
    command = ["exiftool", "-j", "-G1", "-struct", "-XMP:all", str(sidecar)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    return found


def test_a_name_that_is_too_long_blocks_no_undo(aes: Aes, shoot: Path, home: Path) -> None:
    before = sorted(shoot.iterdir())
    assert tag(aes, "--apply").code == 0
    long = shoot / f"{'n' * 251}.jpg"
    shutil.copy(shoot / "0.jpg", long)
    Path("s.csv").write_text(
        f"path,status,overall,raw,model,flags,error_code,error\nshoot/{long.name},ok,9,1,mini,,,\n"
    )
    assert tag(aes, "--apply").code == 3
    assert aes("tag", "--undo").code == 0
    assert aes("tag", "--undo").code == 0
    long.unlink()
    assert sorted(shoot.iterdir()) == before


def test_a_name_with_two_suffixes_takes_no_sidecar_of_another_picture(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    photograph(1, (40, 30)).save(folder / "a.jpg")
    photograph(2, (40, 30)).save(folder / "a.jpg.webp")
    (folder / "a.jpg.xmp").write_bytes(xmp('xmp:Rating="5"'))
    assert list_sidecars(str(folder / "a.jpg")) == [str(folder / "a.jpg.xmp")]
    assert list_sidecars(str(folder / "a.jpg.webp")) == []
    done = aes("tag", folder, "--apply", "--stars", "score:9,8,7,6")
    assert done.code == 0, done.err
    assert b'xmp:Rating="5"' in (folder / "a.jpg.xmp").read_bytes()
    assert (folder / "a.jpg.webp.xmp").exists()
    assert aes("tag", folder, "--apply", "--stars", "score:9,8,7,6").code == 0
