"""One picture from bytes to upright 8-bit sRGB, decoded no larger than its use needs.

JPEGs are decoded at a reduced DCT scale of at least twice the target side, with the exact box that the scale leaves
passed to the resize; orientation is applied after the resize, where turning costs nothing. Fine detail is measured on
a full decode instead, reduced by area.
"""

import ctypes
import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from aescli.errors import ErrorCode, PictureError, install_line
from aescli.images import colour, declared, formats, holes, tiff
from aescli.images.view import Pixels

MAX_PIXELS = 89_478_485  # Pillow's own warning line: 256 MB of RGB
EXTREME_ASPECT = 20
LARGEST_SQUARE = 9_000  # pixels: a strip of 65,000 x 1 must not become a square of gigabytes

_DRAFTED_FROM = 1_000_000  # pixels: a smaller JPEG is decoded whole once, for all that is asked of it
_TURNED_FIRST = 4_000_000  # pixels: turning these takes a few milliseconds
_BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 12, "HEIF": 12}
_OF_FRAMES = frozenset({"GIF", "WEBP", "PNG", "AVIF", "TIFF"})  # not MPO: cameras put a preview behind the picture
_EXIF_ORIENTATION = 0x0112
_M_MMAP_THRESHOLD = -3
_PILLOW_BLOCK = (16 << 20) - (64 << 10)  # bytes, a little less than a whole block of Pillow's
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Decoding:
    """How pictures are decoded; part of what a stored score is keyed by.

    Args:
        exact: decode JPEGs in full, without DCT scaling.
        max_pixels: the budget of width times height; more is refused before decoding.
        allow_truncated: a file that ends too early is decoded as far as it goes, and flagged.

    """

    exact: bool = False
    max_pixels: int = MAX_PIXELS
    allow_truncated: bool = False


class Picture:
    """A picture that is opened and within the budget, and decoded when pixels are asked for.

    Attributes:
        format: Pillow's name of the format, told by the content.
        flags: what had to be done to it that the user should know; complete after the last decode.
        footprint: bytes of memory that decoding it takes, estimated.

    """

    def __init__(self, data: bytes, decoding: Decoding) -> None:
        self._data = data
        self._decoding = decoding
        self._opened = _open(data, decoding)
        self._whole: Image.Image | None = None
        self._orientation = 1
        self.format = str(self._opened.format)
        self.flags: set[str] = set()
        width, height = self._opened.size
        self._drafts = self.format in ("JPEG", "MPO") and not decoding.exact and width * height >= _DRAFTED_FROM
        self.footprint = width * height * self._bytes_per_pixel()
        if self._drafts:
            self._read_orientation(self._opened)
        if declared.has_other_colours(self._opened, data):
            self.flags.add(colour.ICC_IGNORED)
        if max(width, height) > EXTREME_ASPECT * min(width, height):
            self.flags.add("extreme_aspect")
        if self.format in _OF_FRAMES and _has_frames(self._opened):
            self.flags.add("first_frame")

    def size(self) -> tuple[int, int]:
        """Return width and height of the upright picture, in its own pixels."""
        if self._drafts:
            width, height = self._opened.size
        else:
            width, height = self._decode().size
        return (height, width) if self._orientation in _SIDEWAYS else (width, height)

    def likely_size(self) -> tuple[int, int]:
        """Return width and height without decoding: an orientation behind the pixels of a PNG is not seen."""
        if self._whole is None:
            self._read_orientation(self._opened)
        width, height = self._opened.size
        return (height, width) if self._orientation in _SIDEWAYS else (width, height)

    def squeeze(self, width: int, height: int) -> Pixels:
        """Return the whole picture resized to `width` x `height`, bicubic, its aspect ratio given up.

        Returns:
            sRGB samples, (height, width, 3).

        """
        if self._drafts:
            reduced, box = self._decode_reduced(width, height)
        else:
            reduced, box = self._decode(), None
        small = _resize_upright(reduced, (width, height), Image.Resampling.BICUBIC, box, self._orientation)
        srgb, flag = colour.to_srgb(small, self._opened.info.get("icc_profile"))
        self._note(flag)
        return np.asarray(srgb)

    def square(self, side: int, fill: tuple[int, int, int]) -> Pixels:
        """Return the whole picture in the middle of a square of one colour, resized to `side`, bicubic.

        Returns:
            sRGB samples, (side, side, 3).

        """
        whole = self._upright_srgb(LARGEST_SQUARE)
        longest = max(whole.size)
        canvas = Image.new("RGB", (longest, longest), tuple(fill))
        canvas.paste(whole, ((longest - whole.width) // 2, (longest - whole.height) // 2))
        return np.asarray(canvas.resize((side, side), Image.Resampling.BICUBIC))

    def whole(self, longest: int) -> Pixels:
        """Return the picture in its own size, or its long side reduced by area to `longest`.

        Returns:
            sRGB samples, (height, width, 3).

        """
        return np.asarray(self._upright_srgb(longest))

    def luma(self, long_side: int) -> Pixels:
        """Return the luma (ITU-R BT.601) of a full decode, its long side reduced by area to `long_side`.

        A smaller picture keeps its own size. A JPEG's luma is its own first channel.

        Returns:
            Samples, (height, width).

        """
        full = self._decode_jpeg_luma() if self._drafts else self._decode()
        full = _luma_of(full)
        width, height = full.size
        if self._orientation in _SIDEWAYS:
            width, height = height, width
        ratio = min(1.0, long_side / max(width, height))
        size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        return np.asarray(_resize_upright(full, size, Image.Resampling.BOX, None, self._orientation))

    def _upright_srgb(self, longest: int) -> Image.Image:
        """Return a full decode, turned, in sRGB, its long side reduced by area to `longest` where it is longer."""
        whole = self._decode()
        ratio = min(1.0, longest / max(whole.size))
        if ratio < 1:
            size = (max(1, round(whole.width * ratio)), max(1, round(whole.height * ratio)))
            whole = whole.resize(size, Image.Resampling.BOX)
        srgb, flag = colour.to_srgb(_turn(whole, self._orientation), self._opened.info.get("icc_profile"))
        self._note(flag)
        return srgb

    def _decode(self) -> Image.Image:
        """Decode everything, once."""
        if self._whole is None:
            with _explained(self._data):
                self._opened.load()
                self._whole, flag = colour.flatten(self._opened)
            self._note(flag)
            # Only now: PNG may keep its EXIF behind the pixels, and Pillow turns TIFF while it loads.
            self._read_orientation(self._opened)
        return self._whole

    def _decode_reduced(self, width: int, height: int) -> tuple[Image.Image, tuple[float, float, float, float] | None]:
        jpeg = self._reopened()
        if self._orientation in _SIDEWAYS:
            width, height = height, width
        drafted = jpeg.draft("RGB", (2 * width, 2 * height))
        with _explained(self._data):
            jpeg.load()
        # The scaled picture is rounded up to whole blocks: without the box the content would shift.
        return jpeg, drafted[1] if drafted else None

    def _decode_jpeg_luma(self) -> Image.Image:
        jpeg = self._reopened()
        jpeg.draft("L", jpeg.size)
        with _explained(self._data):
            jpeg.load()
        return jpeg

    def _reopened(self) -> Image.Image:
        """Return a JPEG that is not decoded yet: a decoded one cannot change its scale."""
        if getattr(self._opened, "tile", None):
            return self._opened
        return _open(self._data, self._decoding)

    def _read_orientation(self, picture: Image.Image) -> None:
        try:
            orientation = _exif_of(picture).get(_EXIF_ORIENTATION, 1)
        except Exception:  # noqa: BLE001 - a broken tag raises anything; the pixels are still good
            self.flags.add("exif_ignored")
            orientation = 1
        self._orientation = orientation if orientation in _TURNS else 1

    def _bytes_per_pixel(self) -> int:
        """Return what was measured at the peak, copies of the decoder and of the colours included."""
        if self._drafts:
            return 5
        if self.format in _BYTES_PER_PIXEL:
            return _BYTES_PER_PIXEL[self.format]
        return 13 if self._opened.has_transparency_data else 9

    def _note(self, flag: str | None) -> None:
        if flag:
            self.flags.add(flag)


def open_picture(data: bytes, decoding: Decoding) -> Picture:
    """Open a picture from a file's bytes.

    Raises:
        PictureError: `not_an_image`, `unsupported_format`, `too_many_pixels`, `truncated`, `corrupt`, `bad_metadata`.

    """
    with _explained(data):
        return Picture(data, decoding)


def take_over_pillow() -> None:
    """Make this process ours: `Decoding.max_pixels` is the limit, and broken metadata is told in flags.

    Pillow's own limit is one number for the whole process, and its warnings would end up between the rows.
    """
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module=r"PIL\..*")
    _return_memory()


def _return_memory() -> None:
    """Have glibc give large blocks back when they are freed.

    It keeps them for each thread otherwise, and Pillow takes blocks of 16 MB: three times what is in use was seen.
    Smaller ones stay with it: to be given new pages for each picture costs a tenth of the speed.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(_M_MMAP_THRESHOLD, _PILLOW_BLOCK)


@contextmanager
def _explained(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into a PictureError: on hostile files they raise nearly every class there is."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:
        raise _problem(error, data) from error


def _problem(error: Exception, data: bytes) -> PictureError:
    name = formats.identify(data) or "picture"
    message = f"{name}: {error}" if str(error) else f"{name}: {type(error).__name__}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning | MemoryError):
        return PictureError(ErrorCode.TOO_MANY_PIXELS, message)
    if "Decompressed data too large" in str(error) or "Too much memory used in text" in str(error):
        return PictureError(ErrorCode.BAD_METADATA, message)
    if formats.is_cut(name, data) or "truncated" in str(error).lower():
        return PictureError(ErrorCode.TRUNCATED, f"{name}: the file ends too early")
    if name == "TIFF" and tiff.holds_webp(data):
        return PictureError(ErrorCode.UNSUPPORTED_FORMAT, "TIFF: WebP inside cannot be read here")
    return PictureError(ErrorCode.CORRUPT, message)


def _open(data: bytes, decoding: Decoding) -> Image.Image:
    name = formats.identify(data)
    if name == "RAW":
        return _open_preview(data, decoding)
    if name == "HEIF":
        _register_heif()
    elif name in formats.PILLOW_PLUGINS:
        import_module(f"PIL.{formats.PILLOW_PLUGINS[name]}ImagePlugin")
    else:
        raise _refusal(name)
    try:
        opened = Image.open(io.BytesIO(data), formats=[name])
    except UnidentifiedImageError:
        raise _unreadable(name, data) from None
    _check_size(*opened.size, decoding)
    if name == "TIFF":
        _check_size(*tiff.tile_size(opened), decoding)
    _refuse_wrong_pixels(opened, name, data)
    if name == "PNG":
        declared.scale_clear_level(opened, data)
    return opened


def _refuse_wrong_pixels(opened: Image.Image, name: str, data: bytes) -> None:
    """Refuse what Pillow would decode to other pixels without a word."""
    if misread := declared.find_misread(opened, data):
        raise PictureError(ErrorCode.UNSUPPORTED_FORMAT, f"{misread} are not supported")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        return
    if name == "JPEG" and holes.has_no_end(data):
        raise PictureError(ErrorCode.TRUNCATED, "JPEG: nothing ends its pixels")
    if holes.has_hole(name, data):
        raise PictureError(ErrorCode.TRUNCATED, f"{name}: zeros stand for a part of its pixels")


def _has_frames(opened: Image.Image) -> bool:
    """Tell whether there are frames behind the first; no frame is decoded for it."""
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:  # noqa: BLE001 - what is behind the first frame is broken; the first may still be good
        return False


def _check_size(width: int, height: int, decoding: Decoding) -> None:
    if width * height > decoding.max_pixels:
        raise PictureError(
            ErrorCode.TOO_MANY_PIXELS,
            f"{width} x {height} pixels are more than {decoding.max_pixels:,} (--max-pixels)",
        )


def _refusal(name: str | None) -> PictureError:
    if name is None:
        return PictureError(ErrorCode.NOT_AN_IMAGE, "the content is no picture")
    return PictureError(ErrorCode.UNSUPPORTED_FORMAT, f"{name} is not supported")


def _unreadable(name: str, data: bytes) -> PictureError:
    if formats.is_cut(name, data):
        return PictureError(ErrorCode.TRUNCATED, f"{name}: the file ends too early")
    if name == "TIFF" and (samples := tiff.describe_samples(data)):
        return PictureError(ErrorCode.UNSUPPORTED_FORMAT, f"TIFF: {samples} in this layout are not supported")
    return PictureError(ErrorCode.CORRUPT, f"{name}: the header cannot be read")


def _register_heif() -> None:
    try:
        import pi_heif
    except ImportError:
        raise PictureError(ErrorCode.UNSUPPORTED_FORMAT, f"HEIC needs an extra: {install_line('heif')}") from None
    if "HEIF" not in Image.OPEN:
        pi_heif.register_heif_opener()


def _open_preview(data: bytes, decoding: Decoding) -> Image.Image:
    from aescli.images.raw import read_preview

    return _open(read_preview(data), decoding)


def _resize_upright(
    picture: Image.Image,
    size: tuple[int, int],
    filter_: Image.Resampling,
    box: tuple[float, float, float, float] | None,
    orientation: int,
) -> Image.Image:
    """Turn a picture upright and resize it to `size`, in the order that costs less.

    A small picture is turned first, so that all orientations of one picture give the same pixels. A large one is
    turned after the resize; sideways, it is resized columns first, since Pillow rounds between its two passes.
    """
    if box is None and picture.width * picture.height <= _TURNED_FIRST:
        return _turn(picture, orientation).resize(size, filter_)
    if orientation not in _SIDEWAYS:
        return _turn(picture.resize(size, filter_, box), orientation)
    height, width = size
    left, top, right, bottom = box or (0.0, 0.0, *map(float, picture.size))
    columns = picture.resize((picture.width, height), filter_, (0, top, picture.width, bottom))
    return _turn(columns.resize((width, height), filter_, (left, 0, right, height)), orientation)


def _exif_of(picture: Image.Image) -> Image.Exif:
    """Return the EXIF block; Pillow adds the orientation of an XMP block where EXIF has none.

    Not for AVIF and HEIC: they are turned by their own properties, which Pillow has put into EXIF already.
    """
    if picture.format not in ("AVIF", "HEIF"):
        return picture.getexif()
    exif = Image.Exif()
    exif.load(picture.info.get("exif", b""))
    return exif


def _luma_of(picture: Image.Image) -> Image.Image:
    match picture.mode:
        case "L":
            return picture
        case "LAB":
            return picture.getchannel("L")
        case _:
            return picture.convert("RGB").convert("L")


def _turn(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)
