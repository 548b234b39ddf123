"""What a file is, told by its first bytes, and which suffixes a walk selects.

Decoded in the base install: JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000; through extras: HEIC (`heif`) and camera
RAW (`raw`). EPS, SVG and PDF are recognised so that they can be refused; they are never opened.
"""

from collections.abc import Callable

from aescli.images import tiff

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".tif",
        ".tiff",
        ".gif",
        ".bmp",
        ".dib",
        ".avif",
        ".avifs",
        ".jp2",
        ".j2k",
        ".jpc",
        ".jpf",
        ".jpx",
        ".j2c",
        ".mpo",
        ".heic",
        ".heif",
        ".hif",
        ".dng",
        ".cr2",
        ".cr3",
        ".crw",
        ".nef",
        ".nrw",
        ".arw",
        ".srf",
        ".sr2",
        ".raf",
        ".rw2",
        ".orf",
        ".pef",
        ".srw",
        ".3fr",
        ".iiq",
        ".rwl",
        ".mrw",
        ".x3f",
    ]
)

# The formats that Pillow decodes, and the module of each: naming a format that is not imported yet makes Pillow
# import all of its forty. MPO is reached through JPEG.
PILLOW_PLUGINS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "WEBP": "WebP",
    "TIFF": "Tiff",
    "GIF": "Gif",
    "BMP": "Bmp",
    "AVIF": "Avif",
    "JPEG2000": "Jpeg2K",
}

_SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "HEIF": (".heic", ".heif", ".hif"),
}

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"II*\0\x10\0\0\0CR", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"\0MRM", "RAW"),
    (b"FOVb", "RAW"),
    (b"II\x1a\0\0\0HEAPCCDR", "RAW"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"icns", "ICNS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"gimp xcf", "XCF"),
    (b"\x8aMNG\r\n", "MNG"),
)
_NETPBM = frozenset({b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"PF", b"Pf"})

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def identify(data: bytes) -> str | None:
    """Return the format's name, `RAW` for every camera's own, or None for what is no picture."""
    name = next((name for prefix, name in _PREFIXES if data.startswith(prefix)), None)
    if name == "TIFF" and tiff.is_camera_raw(data):
        return "RAW"
    if name:
        return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return _iso_media_format(data) if data[4:8] == b"ftyp" else _text_format(data)


def matches_suffix(name: str, suffix: str) -> bool:
    """Tell whether files of this format usually carry `suffix`, which is lower-case or empty."""
    if name == "RAW":
        return suffix in SUFFIXES and all(suffix not in usual for usual in _SUFFIXES_OF.values())
    return suffix in _SUFFIXES_OF.get(name, ())


def is_cut(name: str, data: bytes) -> bool:
    """Tell whether the bytes end before the format says that they should."""
    ends_early = _ENDS_EARLY.get(name)
    return ends_early is not None and ends_early(data)


def _text_format(data: bytes) -> str | None:
    if data[:2] in _NETPBM and data[2:3].isspace():
        return "Netpbm"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_svg = head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--")) and b"<svg" in head)
    return "SVG" if is_svg else None


def _iso_media_format(data: bytes) -> str | None:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if data[8:12] == b"crx ":
        return "RAW"
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS or brands & {b"mif1", b"msf1"}:
        return "HEIF"
    return None


def _boxes_are_cut(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return False  # the last box runs to the end of the file
        if size < 8:
            return True
        at += size
    return at > len(data)


# Consulted only after a decoder has refused: a tail behind a whole picture is no fault.
_ENDS_EARLY: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: b"\xff\xd9" not in data[-64:],
    "PNG": lambda data: b"IEND" not in data[-64:],
    "GIF": lambda data: not data.rstrip(b"\0").endswith(b";"),
    "WEBP": lambda data: int.from_bytes(data[4:8], "little") + 8 > len(data),
    "BMP": lambda data: int.from_bytes(data[2:6], "little") > len(data),
    "AVIF": _boxes_are_cut,
    "HEIF": _boxes_are_cut,
    "JPEG2000": lambda data: not data.rstrip(b"\0").endswith(b"\xff\xd9"),
    "TIFF": tiff.is_cut,
}
