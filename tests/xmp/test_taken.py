"""Moments of pictures that have them in XMP alone."""

import os
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aescli.images.taken import Capture
from aescli.labels.values import Labelled
from aescli.training.groups import find_groups
from aescli.xmp.packet import EXIF, PHOTOSHOP, XMP
from aescli.xmp.taken import read_moment
from tests.conftest import needs_posix, photograph
from tests.exif import taken

SHUTTER, CREATED, SAVED = (EXIF, "DateTimeOriginal"), (PHOTOSHOP, "DateCreated"), (XMP, "CreateDate")


def packet(values: dict[tuple[str, str], str]) -> str:
    said = "".join(f'xmlns:n{at}="{each[0]}" n{at}:{each[1]}="{values[each]}" ' for at, each in enumerate(values))
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {said}/></rdf:RDF></x:xmpmeta>'
    )


def dated(file: Path, values: dict[tuple[str, str], str]) -> Path:
    information = PngInfo()
    information.add_itxt("XML:com.adobe.xmp", packet(values))
    photograph(1, (90, 60)).save(file, pnginfo=information)
    return file


@pytest.mark.parametrize(
    ("values", "moment"),
    [
        ({SHUTTER: "1970-01-01T00:01:00"}, Capture(60.0)),
        ({SHUTTER: "1970-01-01T00:01:00.25+01:00"}, Capture(60.25, offset=3600.0)),
        ({CREATED: "1970-01-01T00:01Z", SAVED: "1999-01-01T00:00:00"}, Capture(60.0, offset=0.0)),
        ({CREATED: "1970-01-02T00:00:00", SHUTTER: "1970-01-01T00:00:01"}, Capture(1.0)),
        ({SHUTTER: "1970-01-01", CREATED: "1970-01-01T00:00:02"}, Capture(2.0)),
        ({SHUTTER: "1970-01-01"}, Capture()),  # a day is no moment
        ({SAVED: "1970-01-01T00:01:00"}, Capture()),
        ({SHUTTER: "yesTerday"}, Capture()),
        ({SHUTTER: "0001-01-01T00:00:00"}, Capture(-62135596800.0)),
    ],
)
def test_what_xmp_says(tmp_path: Path, values: dict[tuple[str, str], str], moment: Capture) -> None:
    assert read_moment(str(dated(tmp_path / "a.png", values))) == moment


def test_exif_goes_first(tmp_path: Path) -> None:
    file = taken(tmp_path, "a", "1970:01:01 00:01:00")
    with Image.open(file) as picture:
        exif = picture.getexif()
        picture.save(file, exif=exif, xmp=packet({SHUTTER: "1980-01-01T00:00:00"}).encode())
    assert read_moment(str(file)).taken == 60.0


def test_no_moment_is_none(tmp_path: Path) -> None:
    photograph(1).save(tmp_path / "a.png")
    assert read_moment(str(tmp_path / "a.png")) == Capture()
    assert read_moment(str(tmp_path / "none.png")) == Capture()
    (tmp_path / "b.png").write_bytes(b"<rdf:RDF")
    assert read_moment(str(tmp_path / "b.png")) == Capture()


@needs_posix
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert read_moment(str(tmp_path / "a.png")) == Capture()


def test_exports_of_one_burst_are_one_group(tmp_path: Path) -> None:
    pictures = [
        Labelled(str(dated(tmp_path / f"{at}.png", {SHUTTER: f"2020-01-01T00:0{minute}:0{at}"})), {"overall": 1.0})
        for at, minute in enumerate((0, 0, 3, 3))
    ]
    first, second, third, fourth = find_groups(pictures, "time").numbers
    assert first == second != third == fourth
