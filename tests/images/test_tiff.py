"""Directories of TIFF files: through what comes of the pictures, and of their bytes."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aescli.errors import ErrorCode, PictureError
from aescli.images import tiff as tiffs
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded, photograph
from tests.tiff import tiff


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_samples_that_are_not_decoded_is_unsupported_and_not_corrupt(order: str) -> None:
    samples = np.zeros((4, 5, 3), f"{order}f4").tobytes()
    tags = {
        256: (4, [5]), 257: (4, [4]), 258: (3, [32, 32, 32]), 259: (3, [1]), 262: (3, [2]), 277: (3, [3]),
        278: (4, [4]), 279: (4, [len(samples)]), 339: (3, [3, 3, 3]),
    }  # fmt: skip
    with pytest.raises(PictureError) as raised:
        open_picture(tiff(tags, samples), Decoding())
    assert raised.value.code == ErrorCode.UNSUPPORTED_FORMAT
    assert "3 x 32 bits as floats" in raised.value.message


def test_webp_inside_a_tiff_is_unsupported_and_not_corrupt() -> None:
    samples = encoded(photograph(0, (8, 6)), "WEBP")
    tags = {
        256: (4, [8]), 257: (4, [6]), 258: (3, [8, 8, 8]), 259: (3, [50001]), 262: (3, [2]), 277: (3, [3]),
        278: (4, [6]), 279: (4, [len(samples)]),
    }  # fmt: skip
    with pytest.raises(PictureError, match="WebP inside") as raised:
        open_picture(tiff(tags, samples), Decoding()).whole(100)
    assert raised.value.code == ErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("data", [b"II*\0\x08\0\0\0\xff\xff", b"II*\0\0\0\0\0", b"II+\0", b"II*\0" + b"\xff" * 99])
def test_what_is_no_directory_of_a_tiff_is_not_described(data: bytes) -> None:
    assert tiffs.describe_samples(data) is None


@pytest.mark.parametrize("compression", ["raw", "jpeg", "tiff_lzw", "zstd"])
@pytest.mark.parametrize("big_tiff", [False, True])
def test_whatever_is_cut_off_a_tiff_is_missed(compression: str, big_tiff: bool) -> None:
    data = encoded(photograph(0, (80, 60)), "TIFF", compression=compression, big_tiff=big_tiff)
    assert not tiffs.is_cut(data)
    for cut in (1, 7, 13, len(data) // 3):
        with pytest.raises(PictureError) as raised:
            open_picture(data[:-cut], Decoding()).whole(100)
        assert raised.value.code == ErrorCode.TRUNCATED


@given(
    st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10" + bytes(7)]), st.binary(max_size=99)
)
@example(b"II+\0\x08\0\0\0" + b"\xff" * 8, b"")
@example(b"II+\0\x08\0\0\0\x10" + bytes(7), struct.pack("<QHHQQ", 1, 254, 4, 5, 2**64 - 1))
@example(b"II*\0\x08\0\0\0", struct.pack("<HHHII", 1, 273, 4, 2**32 - 1, 2**32 - 1))
def test_no_directory_is_too_strange(head: bytes, data: bytes) -> None:
    tiffs.is_cut(head + data)
    tiffs.is_camera_raw(head + data)
    tiffs.describe_samples(head + data)
    tiffs.holds_webp(head + data)
