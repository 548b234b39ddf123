"""Decoders in processes of their own: real crashes, hangs and memory limits."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aescli.errors import ErrorCode, PictureError
from aescli.images.isolation import Decoders, Limits
from aescli.images.opening import Opener
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded, needs_posix, photograph

pytestmark = needs_posix


DECODER = "aescli.images.decoder"


def children() -> list[int]:
    """Decoders of this process; a server that tests share may be another child of it."""
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [child for child in map(int, file.read().split()) if not is_another(child)]


def is_another(child: int) -> bool:
    words = Path(f"/proc/{child}/cmdline").read_bytes()
    return bool(words) and DECODER.encode() not in words  # one that has ended and waits has no words


@pytest.fixture
def decoders() -> "object":
    pool = Decoders(Limits(seconds=10.0))
    yield pool
    pool.close()
    assert children() == []


def test_pixels_and_flags_are_those_of_this_process(decoders: Decoders) -> None:
    data = encoded(photograph(1, (1700, 80)), "JPEG")
    here = open_picture(data, Decoding())
    with decoders.open(data, Decoding()) as there:
        assert np.array_equal(there.squeeze(64, 64), here.squeeze(64, 64))
        assert np.array_equal(there.luma(512), here.luma(512))
        assert there.flags == here.flags == {"extreme_aspect"}


def test_errors_come_back_with_their_codes(decoders: Decoders) -> None:
    for data, code in ((b"words", ErrorCode.NOT_AN_IMAGE), (b"%PDF-1.7", ErrorCode.UNSUPPORTED_FORMAT)):
        with pytest.raises(PictureError) as caught, decoders.open(data, Decoding()):
            pass
        assert caught.value.code is code
    assert len(children()) == 1  # an error of a picture ends no process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGSEGV, ErrorCode.DECODER_CRASH), (signal.SIGSTOP, ErrorCode.TIMEOUT)]
)
def test_a_crash_or_a_hang_costs_one_picture_and_the_next_has_a_new_process(
    number: signal.Signals, code: ErrorCode
) -> None:
    pool = Decoders(Limits(seconds=4.0))
    data = encoded(photograph(0, (64, 64)))
    with pytest.raises(PictureError) as caught, pool.open(data, Decoding()) as view:
        (child,) = children()
        os.kill(child, number)
        view.squeeze(8, 8)
    assert caught.value.code is code
    with pool.open(data, Decoding()) as view:
        assert view.squeeze(8, 8).shape == (8, 8, 3)
        assert children() != [child]
    pool.close()
    assert children() == []


def test_a_bomb_meets_the_memory_limit(decoders: Decoders) -> None:
    pool = Decoders(Limits(memory_bytes=500 << 20))
    bomb = encoded(Image.new("RGB", (12_000, 12_000)), "PNG", compress_level=1)
    with pytest.raises(PictureError) as caught, pool.open(bomb, Decoding(max_pixels=10**9)) as view:
        view.squeeze(8, 8)
    assert caught.value.code in {ErrorCode.TOO_MANY_PIXELS, ErrorCode.DECODER_CRASH}
    pool.close()


def test_threads_share_the_pool(decoders: Decoders) -> None:
    data = [encoded(photograph(seed, (80, 60))) for seed in range(12)]
    found: dict[int, np.ndarray] = {}

    def decode(at: int) -> None:
        with decoders.open(data[at], Decoding()) as view:
            found[at] = view.squeeze(16, 16)

    threads = [threading.Thread(target=decode, args=(at,)) for at in range(len(data))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, each in enumerate(data):
        assert np.array_equal(found[at], open_picture(each, Decoding()).squeeze(16, 16))


def test_only_risky_formats_are_isolated_by_themselves() -> None:
    with Opener() as opener:
        with opener.open(encoded(photograph(0, (32, 32)))):
            assert children() == []
        with opener.open(encoded(photograph(0, (32, 32)), "AVIF")) as view:
            assert len(children()) == 1
            assert view.squeeze(8, 8).shape == (8, 8, 3)
    assert children() == []


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
def test_a_cut_file_can_be_decoded_as_far_as_it_goes(decoders: Decoders, format: str) -> None:
    data = encoded(photograph(0, (200, 160)), format)[:-600]
    with pytest.raises(PictureError), decoders.open(data, Decoding()) as view:
        view.squeeze(16, 16)
    with decoders.open(data, Decoding(), truncated=True) as view:
        assert view.squeeze(16, 16).std() > 5
    with pytest.raises(PictureError), decoders.open(data, Decoding()) as view:  # strict again
        view.squeeze(16, 16)
