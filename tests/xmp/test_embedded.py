"""Packets that stand in the middle of a file, in every format; written by others where others can."""

import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from PIL import Image

from aescli.images.formats import identify
from aescli.xmp.embedded import find_packets
from aescli.xmp.marks import Marks, read_embedded
from tests.conftest import encoded, photograph
from tests.labels.test_xmp import packet

PACKET = packet(4, "Green").encode()
PADDING = bytes(1 << 20)  # before and behind a packet: more than both ends that a search would look at


def jpeg_with(*segments: bytes) -> bytes:
    data = encoded(photograph(1, (40, 30)), "JPEG")
    written = b"".join(b"\xff\xe1" + struct.pack(">H", len(each) + 2) + each for each in segments)
    return data[:2] + b"\xff\xed\xff\xff" + bytes(65533) + written + data[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes) -> bytes:
    data = encoded(photograph(1, (40, 30)), "PNG")
    end = data.rindex(b"IEND") - 4
    return data[:end] + b"".join(chunks) + data[end:]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def in_jpeg() -> bytes:
    apps = [b"x" * 65533] * 17
    return jpeg_with(*apps, b"http://ns.adobe.com/xap/1.0/\0" + PACKET, *apps)


def in_png() -> bytes:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET
    return png_with(chunk(b"paDd", PADDING), chunk(b"iTXt", text), chunk(b"paDd", PADDING))


def in_compressed_png() -> bytes:
    return png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(PACKET)))


def in_old_png() -> bytes:
    profile = f"\nxmp\n{len(PACKET):8}\n{PACKET.hex()}\n".encode()
    return png_with(chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(profile)))


def in_webp() -> bytes:
    file = io.BytesIO()
    photograph(1, (40, 30)).save(file, "WEBP", xmp=b"<x/>")
    data = file.getvalue().replace(b"XMP \x04\0\0\0<x/>", b"")
    added = b"".join(
        kind + struct.pack("<I", len(each)) + each + b"\0" * (len(each) % 2)
        for kind, each in ((b"paDd", PADDING), (b"XMP ", PACKET), (b"paDd", PADDING))
    )
    return b"RIFF" + struct.pack("<I", len(data) + len(added) - 8) + data[8:] + added


def in_gif() -> bytes:
    data = encoded(photograph(1, (40, 30)).quantize(16), "GIF")
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 4_200 + b"\0"
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return data[:-1] + comment + b"!\xff\x0bXMP DataXMP" + PACKET + trailer + comment + b";"


def in_tiff(*, order: str = "<", magic: bytes = b"*\0", big: bool = False) -> bytes:
    """Return a second directory, too: the packet of the first picture goes before its."""
    layout, counted = (f"{order}HHQQ", f"{order}Q") if big else (f"{order}HHII", f"{order}H")
    offset = f"{order}Q" if big else f"{order}I"
    head = (b"II" if order == "<" else b"MM") + magic + (struct.pack(f"{order}HH", 8, 0) if big else b"")
    first = len(head) + struct.calcsize(offset)
    size = struct.calcsize(counted) + 2 * struct.calcsize(layout) + struct.calcsize(offset)
    at = first + 2 * size + len(PADDING)

    def directory(place: int, following: int) -> bytes:
        entries = struct.pack(layout, 700, 1, len(PACKET), place) + struct.pack(layout, 254, 4, 1, 0)
        return struct.pack(counted, 2) + entries + struct.pack(offset, following)

    worse = packet(1, "Red").encode().ljust(len(PACKET), b"\0")
    directories = directory(at, first + size) + directory(at + len(PACKET), 0)
    return head + struct.pack(offset, first) + directories + PADDING + PACKET + worse + PADDING


def in_heif(*, brand: bytes = b"heic", version: int = 1, stored: str = "file") -> bytes:
    """Return boxes as HEIF has them: an item of pixels, and one of XMP in two extents."""
    head = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    wide = ">I" if version == 2 else ">H"

    def item(number: int, kind: bytes, more: bytes) -> bytes:
        numbered = struct.pack(">B3x", 3 if version == 2 else 2) + struct.pack(wide, number) + bytes(2)
        return box(b"infe", numbered + kind + more)

    def place(number: int, *extents: tuple[int, int]) -> bytes:
        method = struct.pack(">H", stored == "idat" and number == 2) if version else b""
        listed = b"".join(struct.pack(">II", *each) for each in extents)
        return struct.pack(wide, number) + method + bytes(2) + struct.pack(">H", len(extents)) + listed

    def meta(at: int) -> bytes:
        items = item(1, b"hvc1", b"\0") + item(2, b"mime", b"a name\0application/rdf+xml\0")
        parts = [(0, 50), (50, len(PACKET) - 50)] if stored == "idat" else [(at, 50), (at + 50, len(PACKET) - 50)]
        places = place(1, (at - 100, 100)) + place(2, *parts)
        table = struct.pack(">B3xBB", version, 0x44, 0) + struct.pack(wide, 2) + places
        count = struct.pack(">H", 2)
        inside = box(b"idat", PACKET) if stored == "idat" else b""
        return box(b"meta", bytes(4) + box(b"iinf", bytes(4) + count + items) + box(b"iloc", table) + inside)

    at = 100 if stored == "idat" else len(head) + len(meta(100)) + 8 + len(PADDING)
    return head + meta(at) + box(b"mdat", PADDING + PACKET + PADDING)


def in_boxes(brand: bytes) -> bytes:
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    long = struct.pack(">I4sQ", 1, b"free", 16 + len(PADDING)) + PADDING
    first = b"\0\0\0\x0cjP  \r\n\x87\n" if brand == b"jp2 " else b""
    return first + box(b"ftyp", brand + bytes(4)) + long + box(b"uuid", uuid + PACKET) + b"\0\0\0\0mdat" + PADDING


def in_fujifilm() -> bytes:
    jpeg = in_jpeg()
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">II", 4096, len(jpeg)) + bytes(4096 - 92) + jpeg + PADDING


MADE = {
    "JPEG": in_jpeg(), "PNG": in_png(), "PNG, compressed": in_compressed_png(), "PNG of ImageMagick": in_old_png(),
    "WebP": in_webp(), "GIF": in_gif(), "TIFF": in_tiff(), "TIFF, big end first": in_tiff(order=">", magic=b"\0*"),
    "BigTIFF": in_tiff(magic=b"+\0", big=True), "Olympus": in_tiff(magic=b"RO"), "Panasonic": in_tiff(magic=b"U\0"),
    "HEIC": in_heif(), "HEIC, old places": in_heif(version=0), "HEIC, many items": in_heif(version=2),
    "HEIC, in the box itself": in_heif(stored="idat"), "AVIF": in_heif(brand=b"avif"),
    "JPEG 2000": in_boxes(b"jp2 "), "Canon": in_boxes(b"crx "), "Fujifilm": in_fujifilm(),
    "a raw of no known structure": b"FOVb" + PADDING + PACKET + PADDING,
    "a JPEG with rubbish in its head": b"\xff\xd8\xff\xe0\0\x04ab??" + PADDING + PACKET + PADDING,
    "a mark across two readings": b"FOVb" + bytes((1 << 20) - 8) + PACKET,
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_packet_is_found_wherever_it_stands(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(MADE[name])
    assert find_packets(str(tmp_path / "x"))[0] == PACKET
    assert read_embedded(str(tmp_path / "x")) == Marks(4, "Green")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "GIF"])
def test_what_was_made_here_is_a_picture_to_others(name: str) -> None:
    with Image.open(io.BytesIO(MADE[name])) as opened:
        opened.load()
        assert opened.format == name.upper()


@pytest.mark.skipif(not shutil.which("exiftool"), reason="no exiftool (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "JPEG2000", "HEIF", "AVIF"])
def test_what_exiftool_writes_is_found(tmp_path: Path, format: str) -> None:
    file = tmp_path / "x"
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    elif format == "AVIF":
        pytest.importorskip("PIL._avif")
    file.write_bytes(encoded(photograph(1, (64, 48)), format))
    assert identify(file.read_bytes()) == format
    assert read_embedded(str(file)) == Marks()
    written = subprocess.run(
        ["exiftool", "-XMP:Rating=3", "-XMP:Label=Blau", str(file)], capture_output=True, check=False
    )
    if b"1 image files updated" not in written.stdout:
        pytest.skip(f"this exiftool writes no XMP to {format}: {written.stderr.decode()[:80]}")
    assert read_embedded(str(file)) == Marks(3, "Blau")


def test_a_rating_that_was_too_far_for_the_first_packet(tmp_path: Path) -> None:
    half = len(PACKET) // 2
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">I", len(PACKET))
    parts = [head + struct.pack(">I", at) + PACKET[at : at + half] for at in range(0, len(PACKET), half)]
    main = b"http://ns.adobe.com/xap/1.0/\0" + packet("", "Blue").encode()
    (tmp_path / "x").write_bytes(jpeg_with(*reversed(parts), main))
    assert read_embedded(str(tmp_path / "x")) == Marks(4, "Blue")
    (tmp_path / "x").write_bytes(jpeg_with(parts[0], main))  # the other half is lost
    assert read_embedded(str(tmp_path / "x")) == Marks(None, "Blue")


@pytest.mark.parametrize("name", sorted({*MADE} - {"a raw of no known structure", "a mark across two readings"}))
def test_a_file_cut_anywhere_or_with_wrong_numbers_ends(tmp_path: Path, name: str) -> None:
    data = MADE[name].replace(PADDING, b"paddings")
    for at in range(0, min(len(data), 500), 7):
        for to, broken in enumerate(
            (data[:at], data[:at] + b"\xff" + data[at + 1 :], data[:at] + b"\0\0" + data[at + 2 :])
        ):
            file = tmp_path / f"{at} {to}"  # a new one each time: to write one anew waits for the disk
            file.write_bytes(broken)
            try:
                read_embedded(str(file))
            except ValueError as error:
                assert "XMP" in str(error) or "xmp" in str(error)


def test_a_packet_beyond_reason_is_refused(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(40 << 20))
    (tmp_path / "x").write_bytes(png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)))
    with pytest.raises(ValueError, match="more than 32 MB"):
        find_packets(str(tmp_path / "x"))
