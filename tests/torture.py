"""A folder of everything that breaks image tools, and what must happen to each; a new seed is a new test.

python -m tests.torture FOLDER [SEED]
"""

import os
import random
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.conftest import encoded, photograph

SCORE, SKIP, ANY = "score", "skip", "any"
CUT = ("truncated", "corrupt", "not_an_image")

NAMES = [
    b"plain.jpg", b"with space.jpg", b"comma,quote\".jpg", b"line\nfeed.jpg", b"cr\rlf\r\n.jpg", b"tab\there.jpg",
    b"=1+1.jpg", b"+plus.jpg", b"-minus.jpg", b"@at.jpg", b"--help.jpg", b"\xff\xfebytes.jpg", b"latin\xe9.jpg",
    b"\x1b[31mred.jpg", b"\x1b]0;title\x07.jpg", b"\x1b[2J.jpg", b"bell\x07.jpg", b"back\x08space.jpg", b"\x7f.jpg",
    "\u202egpj.exe.jpg".encode(), "zero\u200bwidth.jpg".encode(), "line\u2028sep.jpg".encode(),
    "\ufeffbom.jpg".encode(),
    b"[b]bold[/b].jpg".replace(b"/", b"\\"), b"[red]x.jpg", b"back\\slash.jpg", b"a'b.jpg", b"`id`.jpg", b"$(id).jpg",
    b"a;b.jpg", b"a|b.jpg", b"a&b.jpg", b"*.jpg", b"?.jpg", b"[a-z].jpg", b"{x}.jpg", b"%41.jpg", b"%s%n.jpg",
    "e\u0301.jpg".encode(), "\u00e9.jpg".encode(), "\u5199\u771f.jpg".encode(), "\U0001f305.jpg".encode(),
    b"<script>x.jpg", b"a.b.c.jpg", b"UPPER.JPG", b" leading.jpg", b"trailing .jpg", b"x" * 200 + b".jpg",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        path: below the folder, as bytes.
        expect: SCORE, SKIP, ANY, or the error codes of which one must come.
        twin: the path of an input that must have the same score, within `within`.
    """

    path: bytes
    expect: str | tuple[str, ...]
    twin: bytes | None = None
    within: float = 1e-3


def build(folder: Path, seed: int = 0) -> list[Case]:
    """Fill an empty folder and return what must happen to each input in it."""
    cases: list[Case] = []
    for make in (_names, _cuts, _no_pictures, _twins, _turns, _modes, _bombs, _odd_files, _shapes, _frames, _damage):
        cases += make(folder, seed)
    return cases


def _write(folder: Path, name: bytes | str, data: bytes) -> bytes:
    target = folder / os.fsdecode(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return os.fsencode(name)


def _names(folder: Path, seed: int) -> Iterator[Case]:
    data = encoded(photograph(seed), "JPEG", quality=90)
    first = _write(folder, b"names/" + NAMES[0], data)
    yield Case(first, SCORE)
    for name in NAMES[1:]:
        yield Case(_write(folder, b"names/" + name, data), SCORE, first, 0.0)


def encodings(seed: int) -> dict[str, bytes]:
    """Return one picture in every format that the base install writes."""
    picture = photograph(seed, (160, 120))
    return {
        "baseline.jpg": encoded(picture, "JPEG", quality=90),
        "progressive.jpg": encoded(picture, "JPEG", quality=90, progressive=True),
        "rgb.png": encoded(picture, "PNG"),
        "lossy.webp": encoded(picture, "WEBP", quality=80),
        "lossless.webp": encoded(picture, "WEBP", lossless=True),
        "palette.gif": encoded(picture, "GIF"),
        "deflate.tif": encoded(picture, "TIFF", compression="tiff_adobe_deflate"),
        "raw.tif": encoded(picture, "TIFF"),
        "rgb.bmp": encoded(picture, "BMP"),
        "picture.avif": encoded(picture, "AVIF"),
    }


def _cuts(folder: Path, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    for name, data in encodings(seed).items():
        yield Case(_write(folder, f"whole/{name}", data), SCORE)
        for part in (0.02, *(chance.uniform(0.1, 0.9) for _ in range(4))):
            yield Case(_write(folder, f"cut/{part:.4f} {name}", data[: max(1, int(len(data) * part))]), CUT)


def _no_pictures(folder: Path, seed: int) -> Iterator[Case]:
    for name, data, codes in (
        ("empty.jpg", b"", ("empty",)),
        ("text.jpg", b"just words\n", ("not_an_image",)),
        ("page.png", b"<!DOCTYPE html><title>404 Not Found</title>", ("not_an_image",)),
        ("json.webp", b'{"error": "rate limit"}', ("not_an_image",)),
        ("zeros.jpg", bytes(4096), ("not_an_image",)),
        ("noise.jpg", random.Random(seed).randbytes(4096), ("not_an_image", "corrupt", "unsupported_format")),
        ("one byte.jpg", b"\xff", CUT),
        ("marker.jpg", b"\xff\xd8\xff", CUT),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n(id) run\n", ("unsupported_format",)),
        ("drawing.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ("unsupported_format",)),
        ("paper.jpg", b"%PDF-1.7\n", ("unsupported_format",)),
        ("layers.jpg", b"8BPS\0\1" + bytes(100), ("unsupported_format",)),
        ("icon.png", b"\0\0\1\0\1\0\x10\x10" + bytes(100), ("unsupported_format",)),
        ("portable.jpg", b"P6 2 2 255\n" + bytes(12), ("unsupported_format",)),
        ("archive.jpg", b"PK\3\4" + bytes(100), ("not_an_image",)),
    ):
        yield Case(_write(folder, f"no pictures/{name}", data), codes)


def _twins(folder: Path, seed: int) -> Iterator[Case]:
    grey = photograph(seed + 1, (200, 150)).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    unit = Image.fromarray((np.asarray(grey) / 255).astype(np.float32))
    first = _write(folder, "depth/8.png", encoded(grey))
    yield Case(first, SCORE)
    for name, data in (
        ("16.png", encoded(wide)),
        ("16.tif", encoded(wide, "TIFF")),
        ("16 deflate.tif", encoded(wide, "TIFF", compression="tiff_adobe_deflate")),
        ("float.tif", encoded(unit, "TIFF")),
        ("rgb.png", encoded(grey.convert("RGB"))),
        ("opaque.png", encoded(grey.convert("RGBA"))),
        ("palette.png", encoded(grey.convert("P"))),
    ):
        yield Case(_write(folder, f"depth/{name}", data), SCORE, first, 0.05)


def _turns(folder: Path, seed: int) -> Iterator[Case]:
    picture = photograph(seed + 2, (301, 200))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # numbers of Image.Transpose
    first = b"turn/1.png"
    for orientation in range(1, 9):
        stored = picture.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else picture
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix, format in (("png", "PNG"), ("tif", "TIFF")):
            path = _write(folder, f"turn/{orientation}.{suffix}", encoded(stored, format, exif=exif))
            yield Case(path, SCORE, first)


def _modes(folder: Path, seed: int) -> Iterator[Case]:
    picture = photograph(seed + 3, (120, 90))
    clear = picture.convert("RGBA")
    clear.putalpha(picture.convert("L"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, data in (
        ("cmyk.jpg", encoded(picture.convert("CMYK"), "JPEG")),
        ("cmyk.tif", encoded(picture.convert("CMYK"), "TIFF")),
        ("grey.jpg", encoded(picture.convert("L"), "JPEG")),
        ("one bit.png", encoded(picture.convert("1"))),
        ("one bit.tif", encoded(picture.convert("1"), "TIFF", compression="group4")),
        ("grey alpha.png", encoded(clear.convert("LA"))),
        ("alpha.png", encoded(clear)),
        ("alpha.webp", encoded(clear, "WEBP")),
        ("lab.tif", encoded(Image.merge("LAB", picture.split()), "TIFF")),
        ("float out of range.tif", encoded(Image.fromarray(np.asarray(picture.convert("L")) * np.float32(9)), "TIFF")),
        ("profile.jpg", encoded(picture, "JPEG", icc_profile=srgb)),
        ("broken profile.jpg", encoded(picture, "JPEG", icc_profile=b"junk" * 50)),
        ("broken exif.jpg", encoded(picture, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
        ("jpeg2000.jp2", encoded(picture, "JPEG2000")),
        ("wrong suffix.png", encoded(picture, "JPEG")),
        ("no suffix", encoded(picture, "JPEG")),
        ("tail.jpg", encoded(picture, "JPEG") + b"PK\3\4" + bytes(500)),
    ):
        yield Case(_write(folder, f"modes/{name}", data), SCORE)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with this header and these chunks."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (header, *chunks, (b"IEND", b""))
    )


def _bombs(folder: Path, seed: int) -> Iterator[Case]:
    huge = zlib.compress(bytes(100_000_000))
    for name, data, codes in (
        ("pixels.png", png(60_000, 60_000, (b"IDAT", huge)), ("too_many_pixels",)),
        ("limit.png", png(2**31 - 1, 2**31 - 1, (b"IDAT", huge)), ("too_many_pixels", "corrupt")),
        ("text.png", png(8, 8, (b"zTXt", b"x\0\0" + huge), (b"IDAT", zlib.compress(bytes(200)))), ("bad_metadata",)),
        ("canvas.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";", ("too_many_pixels", *CUT)),
        ("fax.tif", encoded(Image.new("1", (13_000, 13_000)), "TIFF", compression="group4"), ("too_many_pixels",)),
        ("flat.webp", encoded(Image.new("RGB", (16_383, 5_600)), "WEBP", quality=1, method=0), ("too_many_pixels",)),
        ("flat.jpg", encoded(Image.new("L", (10_000, 9_500)), "JPEG", quality=5), ("too_many_pixels",)),
        ("header.bmp", b"BM" + struct.pack("<IHHIIiiHH", 1000, 0, 0, 54, 40, 50_000, 50_000, 1, 24) + bytes(960),
         ("too_many_pixels", *CUT)),
    ):  # fmt: skip
        yield Case(_write(folder, f"bombs/{name}", data), codes)
    inside = encoded(Image.new("RGB", (9_000, 9_000)), "PNG", compress_level=9)
    yield Case(_write(folder, "bombs/within the budget.png", inside), SCORE)


def _odd_files(folder: Path, seed: int) -> Iterator[Case]:
    data = encoded(photograph(seed + 4, (64, 48)), "JPEG")
    yield Case(_write(folder, "odd/real.jpg", data), SCORE)
    odd = folder / "odd"
    os.mkfifo(odd / "pipe.jpg")
    (odd / "loop").symlink_to(".")
    (odd / "self.jpg").symlink_to("self.jpg")
    (odd / "dangling.jpg").symlink_to("nowhere")
    (odd / "link.jpg").symlink_to("real.jpg")
    (odd / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(odd)  # a socket's name may have a hundred bytes only
        server.bind("socket.jpg")
        os.chdir(here)
    for name in ("pipe.jpg", "loop", "self.jpg", "dangling.jpg", "link.jpg", "device.jpg", "socket.jpg"):
        yield Case(f"odd/{name}".encode(), SKIP)
    for name in (".hidden.jpg", "._apple.jpg"):
        yield Case(_write(folder, f"odd/{name}", data), SKIP)
    yield Case(_write(folder, "odd/folder.jpg/inside.jpg", data), SCORE)
    yield Case(_write(folder, "odd/" + "deep/" * 40 + "x.jpg", data), SCORE)
    (odd / "hard link.jpg").hardlink_to(odd / "real.jpg")
    yield Case(b"odd/hard link.jpg", SCORE, b"odd/real.jpg", 0.0)
    yield Case(_write(folder, "odd/unreadable.jpg", data), ("permission",))
    (odd / "unreadable.jpg").chmod(0)
    (odd / "unlistable").mkdir(mode=0)
    yield Case(b"odd/unlistable", ("permission",))


def _shapes(folder: Path, seed: int) -> Iterator[Case]:
    for width, height in ((1, 1), (1, 2), (2, 1), (3, 3), (1, 5000), (5000, 1), (3, 3000), (7, 9), (65_000, 1)):
        for suffix, format in (("png", "PNG"), ("jpg", "JPEG")):
            data = encoded(Image.new("RGB", (width, height), (90, 120, 150)), format)
            yield Case(_write(folder, f"shapes/{width}x{height}.{suffix}", data), SCORE)


def _frames(folder: Path, seed: int) -> Iterator[Case]:
    frames = [photograph(seed + at, (64, 64)) for at in range(4)]
    first = _write(folder, "frames/first.png", encoded(frames[0]))
    yield Case(first, SCORE)
    for name, format in (("animated.png", "PNG"), ("animated.webp", "WEBP"), ("pages.tif", "TIFF")):
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
        yield Case(_write(folder, f"frames/{name}", data), SCORE, first)
    for name, format in (("animated.gif", "GIF"), ("animated.avif", "AVIF"), ("several.mpo", "MPO")):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        yield Case(_write(folder, f"frames/{name}", data), SCORE)


def _damage(folder: Path, seed: int) -> Iterator[Case]:
    """Flip a byte: no promise but a row, since most formats cannot tell."""
    chance = random.Random(seed)
    for name, data in encodings(seed).items():
        for at in range(2):
            flipped = bytearray(data)
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            yield Case(_write(folder, f"damage/{at} {name}", bytes(flipped)), ANY)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    made = build(target, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write(f"{len(made)} inputs in {target}\n")
