"""HEIC and camera RAW, through the extras that decode them."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from aescli.errors import ErrorCode, PictureError
from aescli.images import formats
from aescli.images.picture import Decoding, open_picture
from aescli.images.raw import SMALLEST_PREVIEW
from tests.conftest import encoded, photograph
from tests.tiff import directory, directory_size


def negative(preview: bytes | None, orientation: int = 1, side: int = 64) -> bytes:
    """Build a DNG: one directory for an embedded JPEG or a thumbnail, one for a Bayer mosaic of mid-grey."""
    mosaic = np.full((side, side), 20_000, "<u2").tobytes()
    raw: dict[int, tuple[int, object]] = {
        254: (4, [0]), 256: (4, [side]), 257: (4, [side]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32803]),
        273: (4, [0]), 277: (3, [1]), 278: (4, [side]), 279: (4, [len(mosaic)]), 33421: (3, [2, 2]),
        33422: (1, [0, 1, 1, 2]),
    }  # fmt: skip
    content = preview if preview is not None else bytes(16 * 16 * 3)
    main: dict[int, tuple[int, object]] = {
        254: (4, [1]), 256: (4, [16]), 257: (4, [16]), 258: (3, [8, 8, 8]), 259: (3, [1 if preview is None else 7]),
        262: (3, [2 if preview is None else 6]), 271: (2, b"aes\0"), 272: (2, b"test\0"), 273: (4, [0]),
        274: (3, [orientation]), 277: (3, [3]), 278: (4, [16]), 279: (4, [len(content)]), 330: (4, [0]),
        50706: (1, [1, 4, 0, 0]), 50707: (1, [1, 1, 0, 0]), 50708: (2, b"aes test\0"),
        50721: (10, [(v, 1) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)]), 50778: (3, [21]),
    }  # fmt: skip
    if preview is not None:
        with Image.open(io.BytesIO(preview)) as opened:
            main[256], main[257] = (4, [opened.width]), (4, [opened.height])
            main[278] = (4, [opened.height])
    at = 8
    main_size = directory_size(main)
    raw_at = at + main_size
    data_at = raw_at + directory_size(raw)
    main[330] = (4, [raw_at])
    main[273] = (4, [data_at])
    raw[273] = (4, [data_at + len(content)])
    return b"II*\0" + struct.pack("<I", at) + directory(main, at) + directory(raw, raw_at) + content + mosaic


@pytest.fixture
def preview() -> Image.Image:
    return photograph(7, (SMALLEST_PREVIEW + 176, 800))


def test_the_cameras_own_jpeg_is_what_is_judged(preview: Image.Image) -> None:
    pytest.importorskip("rawpy")
    jpeg = encoded(preview, "JPEG", quality=95)
    data = negative(jpeg)
    assert formats.identify(data) == "RAW"
    got = open_picture(data, Decoding()).squeeze(64, 64)
    assert np.array_equal(got, open_picture(jpeg, Decoding()).squeeze(64, 64))


def test_the_cameras_orientation_turns_an_unmarked_preview(preview: Image.Image) -> None:
    pytest.importorskip("rawpy")
    stored = encoded(preview.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95)
    got = open_picture(negative(stored, orientation=6), Decoding()).squeeze(64, 64)
    upright = open_picture(encoded(preview), Decoding()).squeeze(64, 64)
    assert np.abs(got.astype(int) - upright).mean() < 3


def test_without_a_large_preview_the_negative_is_developed() -> None:
    pytest.importorskip("rawpy")
    got = open_picture(negative(None, side=256), Decoding()).squeeze(32, 32)
    assert got.std() < 30  # a flat grey mosaic, not the black thumbnail
    assert got.mean() > 60


def test_a_damaged_negative_is_a_row() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(PictureError) as caught:
        open_picture(negative(None)[:200], Decoding())
    assert caught.value.code in {ErrorCode.CORRUPT, ErrorCode.TRUNCATED}


def test_heic_is_decoded_upright() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="only the encoder package can write HEIC")
    file = io.BytesIO()
    pillow_heif.from_pillow(photograph(3, (128, 96))).save(file, quality=95)
    assert open_picture(file.getvalue(), Decoding()).squeeze(32, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("module", "data", "extra"),
    [("pi_heif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"), ("rawpy", b"IIU\0" + bytes(100), "raw")],
)
def test_without_the_extra_the_line_to_paste_is_given(
    module: str, data: bytes, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PictureError) as caught:
        open_picture(data, Decoding())
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
    assert f"pip install 'aescli[{extra}]'" in caught.value.message
