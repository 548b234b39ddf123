"""Camera RAW: the JPEG that the camera itself developed, else a half-size development (extra `raw`)."""

import io

from aescli.errors import ErrorCode, PictureError, install_line

SMALLEST_PREVIEW = 1024  # px on the long side; a smaller one is a thumbnail, too small to judge

# LibRaw's flip is a bit field; these are the EXIF orientations with the same meaning.
_ORIENTATION_OF_FLIP = {3: 3, 5: 8, 6: 6}
_EXIF_ORIENTATION = 0x0112


def read_preview(data: bytes) -> bytes:
    """Return a JPEG or PNG file's bytes for a RAW file's bytes.

    Raises:
        PictureError: `unsupported_format` without the extra, `corrupt` when LibRaw cannot read the file.

    """
    try:
        import rawpy
    except ImportError:
        raise PictureError(ErrorCode.UNSUPPORTED_FORMAT, f"camera RAW needs an extra: {install_line('raw')}") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            return _embedded(raw) or _developed(raw)
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise PictureError(ErrorCode.CORRUPT, f"RAW: {_text(error)}") from error


def _embedded(raw: "object") -> bytes | None:
    """Return the embedded JPEG, marked with the camera's orientation, when it is large enough."""
    import rawpy
    from PIL import Image

    try:
        preview = raw.extract_thumb()  # type: ignore[attr-defined]
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if preview.format is not rawpy.ThumbFormat.JPEG:
        return None
    jpeg = bytes(preview.data)
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:
        exif = opened.getexif()
        if max(opened.size) < SMALLEST_PREVIEW:
            return None
    flip = raw.sizes.flip  # type: ignore[attr-defined]
    if _EXIF_ORIENTATION in exif or flip not in _ORIENTATION_OF_FLIP:
        return jpeg
    exif[_EXIF_ORIENTATION] = _ORIENTATION_OF_FLIP[flip]
    return _with_exif(jpeg, exif.tobytes())


def _with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """Put an EXIF segment first; nothing is encoded again."""
    body = exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif
    return b"\xff\xd8\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def _developed(raw: "object") -> bytes:
    from PIL import Image

    pixels = raw.postprocess(half_size=True, use_camera_wb=True)  # type: ignore[attr-defined]  # upright already
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


def _text(error: Exception) -> str:
    word = error.args[0] if error.args else type(error).__name__
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
