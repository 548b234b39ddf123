from pathlib import Path

import pytest
from PIL import Image

from aescli.errors import UsageError
from aescli.labels.reading import read_labels
from aescli.xmp.embedded import find_packets
from aescli.xmp.marks import parse_packet
from tests.conftest import photograph

HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = "</rdf:RDF></x:xmpmeta>"
XAP = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'


def packet(rating: object = "", label: str = "", *, prefix: str = "xmp") -> str:
    space = XAP.replace("xmp:", "").replace("xmlns:xmp", f"xmlns:{prefix}")
    marks = f' {prefix}:Rating="{rating}"' if rating != "" else ""
    marks += f' {prefix}:Label="{label}"' if label else ""
    return f"{HEAD}<rdf:Description {space}{marks}/>{TAIL}"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


def save(file: Path, xmp: str = "") -> Path:
    picture = photograph(1, (40, 30))
    if file.suffix == ".png" and xmp:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp)
        picture.save(file, pnginfo=info)
    elif file.suffix == ".tif" and xmp:
        from PIL.TiffImagePlugin import ImageFileDirectory_v2

        directory = ImageFileDirectory_v2()
        directory[700] = xmp.encode()
        picture.save(file, tiffinfo=directory)
    elif xmp:
        picture.save(file, xmp=xmp.encode())
    else:
        picture.save(file)
    return file


def found(library: Path, **colours: float) -> dict[str, float]:
    labels = read_labels(library, "xmp", colours)
    return {Path(each.path).name: each.scores["overall"] for each in labels.pictures}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_stars_inside_a_picture(library: Path, name: str) -> None:
    file = save(library / name, packet(4, "Green"))
    with Image.open(file) as opened:
        assert opened.size == (40, 30)
    assert [parse_packet(each).label for each in find_packets(str(file))] == ["Green"]
    assert found(library) == {name: 4}


def test_sidecars_go_before_the_picture(library: Path) -> None:
    save(library / "a.jpg", packet(1))
    (library / "a.jpg.xmp").write_text(packet(5))
    save(library / "b.jpg", packet(2))
    (library / "b.xmp").write_text(packet(3, prefix="xap"))
    save(library / "c.jpg", packet(2))
    (library / "c.xmp").write_text(packet(4))
    save(library / "c.tif")  # no camera's raw file, so c.xmp is for both
    assert found(library) == {"a.jpg": 5, "b.jpg": 3, "c.jpg": 4, "c.tif": 4}


def test_whoever_says_a_rating_or_a_label_first_is_heard(library: Path) -> None:
    save(library / "a.jpg", packet(4))
    (library / "a.jpg.xmp").write_text(packet("", "Red"))  # a label alone hides no stars
    save(library / "b.jpg", packet(2, "Blue"))
    (library / "b.jpg.xmp").write_text(packet(0))  # unrated says nothing
    (library / "b.xmp").write_text(packet(3))
    save(library / "c.jpg", packet(2, "Green"))
    (library / "c.xmp").write_text(packet(0, "Red"))
    save(library / "d.jpg", packet(9))  # what nobody needs any more cannot spoil a rating
    (library / "d.xmp").write_text(packet(5))
    labels = read_labels(library, "xmp", {"Red": 1})
    assert found(library, Red=1) == {"a.jpg": 4, "b.jpg": 3, "c.jpg": 2, "d.jpg": 5}
    assert [each.columns.get("label") for each in labels.pictures] == ["Red", "Blue", "Red", None]
    assert [Path(each.source).name for each in labels.pictures] == ["a.jpg", "b.xmp", "c.jpg", "d.xmp"]
    assert not labels.problems


def test_rated_sidecars_without_a_picture_are_missing(library: Path) -> None:
    save(library / "a.jpg", packet(4))
    (library / "a.xmp").write_text(packet(5))
    for name, rating in (("gone.jpg.xmp", 3), ("gone2.xmp", -1), ("unrated.jpg.xmp", 0), (".hidden.jpg.xmp", 3)):
        (library / name).write_text(packet(rating))
    labels = read_labels(library, "xmp")
    assert [Path(each.path).name for each in labels.pictures] == ["a.jpg"]
    assert [Path(each.path).name for each in labels.missing] == ["gone.jpg", "gone2"]
    assert [Path(each.source).name for each in labels.missing] == ["gone.jpg.xmp", "gone2.xmp"]
    (library / "gone.jpg").symlink_to("a.jpg")
    (library / "gone2.jpg").symlink_to("a.jpg")
    labels = read_labels(library, "xmp")
    assert not labels.missing
    assert ["a link" in each.message for each in labels.problems] == [True, True]


def test_colours_that_no_picture_has_are_told(library: Path) -> None:
    save(library / "a.jpg", packet("", "Rot"))
    (note,) = read_labels(library, "xmp", {"Red": 1, "rot": 2}).notes
    assert note == "no picture has the label Red; the labels here are Rot"
    assert read_labels(library, "xmp", {"rot": 2}).notes == ()


def test_the_short_sidecar_is_the_raw_files(library: Path) -> None:
    save(library / "d.jpg", packet(1))
    (library / "d.nef").write_bytes(b"raw")
    (library / "d.xmp").write_text(packet(5))
    assert found(library) == {"d.jpg": 1, "d.nef": 5}


def test_rejected_is_worst_and_unrated_is_no_label(library: Path) -> None:
    for name, rating in (("a", -1), ("b", 0), ("c", 5), ("d", "")):
        save(library / f"{name}.jpg", packet(rating))
    labels = read_labels(library, "xmp")
    assert found(library) == {"a.jpg": 0, "c.jpg": 5}
    assert labels.scale == (0.0, 5.0)
    assert not labels.problems


def test_colours_are_worth_what_the_user_says(library: Path) -> None:
    save(library / "a.jpg", packet("", "red"))
    save(library / "b.jpg", packet(2, "Green"))
    save(library / "c.jpg", packet("", "Purple"))
    assert found(library) == {"b.jpg": 2}
    assert found(library, Red=1, Green=5) == {"a.jpg": 1, "b.jpg": 2}
    assert read_labels(library, "xmp").pictures[0].columns == {"label": "Green"}


def test_an_element_says_the_same_as_an_attribute() -> None:
    nested = f"{HEAD}<rdf:Description {XAP}><xmp:Rating>3</xmp:Rating><xmp:Label>Blue</xmp:Label></rdf:Description>"
    marks = parse_packet((nested + TAIL).encode())
    assert (marks.rating, marks.label) == (3, "Blue")


@pytest.mark.parametrize(
    ("ratings", "why"),
    [(f'<rdf:Description {XAP} xmp:Rating="2"><xmp:Rating>4</xmp:Rating></rdf:Description>',
      "xmp:Rating is 2, and in the same packet 4"),
     (f'<rdf:Description {XAP}><xmp:Rating rdf:parseType="Resource"><rdf:value>4</rdf:value></xmp:Rating>'
      "</rdf:Description>", "no number but a structure")],
)  # fmt: skip
def test_a_rating_that_is_none_or_two_is_a_problem(library: Path, ratings: str, why: str) -> None:
    save(library / "a.jpg")
    save(library / "b.jpg", packet(3))
    (library / "a.xmp").write_text(HEAD + ratings + TAIL)
    labels = read_labels(library, "xmp")
    assert found(library) == {"b.jpg": 3}
    assert why in str(labels.problems[0])


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + packet(5)


@pytest.mark.parametrize(
    ("content", "words"),
    [(BOMB, "document type"), (packet(9), "not -1 or 0 to 5"), (packet("many"), "no number"), ("<x:xmpmeta>", "no XML"),
     (packet("nan"), "finite"), ("", "no XML"), ("\0\0", "no XML"), (packet(5)[:-5], "no XML")],
)  # fmt: skip
def test_hostile_sidecars_are_problems(library: Path, content: str, words: str) -> None:
    save(library / "a.jpg")
    save(library / "b.jpg", packet(3))
    (library / "a.xmp").write_text(content)
    labels = read_labels(library, "xmp")
    assert [Path(each.path).name for each in labels.pictures] == ["b.jpg"]
    (problem,) = labels.problems
    assert "a.jpg" in problem.source
    assert words in problem.message


def test_a_document_type_in_another_encoding_is_refused_too() -> None:
    with pytest.raises(ValueError, match="document type"):
        parse_packet(BOMB.encode("utf-16"))


def test_a_file_is_no_library(library: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_labels(save(library / "a.jpg"), "xmp")


def test_a_sidecar_that_rates_two_pictures_is_noted(library: Path) -> None:
    save(library / "a.jpg")
    save(library / "a.png")
    save(library / "b.jpg", packet(2))
    (library / "a.xmp").write_text(packet(4))
    labels = read_labels(library, "xmp")
    assert found(library) == {"a.jpg": 4, "a.png": 4, "b.jpg": 2}
    (note,) = labels.notes
    assert note == f"one sidecar rates more than one picture, such as {library / 'a.xmp'}"


def test_colours_that_count_for_nothing_are_noted(library: Path) -> None:
    for at, (rating, label) in enumerate([("", "Red"), ("", "Red"), ("", "Blue"), (3, "Red"), (0, "Green"), ("", "")]):
        save(library / f"{at}.jpg", packet(rating, label))
    labels = read_labels(library, "xmp", {"Green": 2.0})
    assert sorted(each.scores["overall"] for each in labels.pictures) == [2.0, 3.0]
    (note,) = labels.notes
    assert "Blue 1, Red 2" in note
    assert read_labels(library, "xmp", {"Green": 2.0, "red": 1.0, "Blue": 4.0}).notes == ()


@pytest.mark.parametrize("spelling", [".xmp", ".XMP", ".Xmp"])
def test_however_the_suffix_is_spelled(library: Path, spelling: str) -> None:
    save(library / "a.jpg")
    save(library / "b.jpg")
    (library / f"a.jpg{spelling}").write_text(packet(4))
    (library / f"b{spelling}").write_text(packet(2))
    assert [each.scores["overall"] for each in read_labels(library, "xmp").pictures] == [4, 2]
