"""Boxes of files that no writer would write."""

import io
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aescli.images.boxes import Box, list_boxes, list_properties
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded


def box(kind: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">I4s", 8 + len(joined), kind) + joined


def meta(primary: bytes, version: int, associations: bytes) -> tuple[io.BytesIO, Box]:
    """Return a file of one `meta` box with three properties, the version and flags of its `ipma` in `version`."""
    properties = box(b"ipco", box(b"ispe", b"first"), box(b"colr", b"second"), box(b"colr", b"third"))
    table = box(b"ipma", struct.pack(">I", version), associations)
    file = io.BytesIO(box(b"meta", bytes(4), box(b"pitm", primary), box(b"iprp", properties, table)))
    return file, next(iter(list_boxes(file, 0, len(file.getvalue()))))


@pytest.mark.parametrize(
    ("primary", "version", "associations"),
    [
        # Item 7 has the first property and the third, item 1 the second; in numbers of several sizes.
        (struct.pack(">IH", 0, 7), 0, struct.pack(">IHBBHBBB", 2, 1, 1, 2, 7, 2, 1, 0x83)),
        (struct.pack(">IH", 0, 7), 1, struct.pack(">IHBHHBHH", 2, 1, 1, 2, 7, 2, 1, 0x8003)),
        (struct.pack(">II", 1 << 24, 7), 1 << 24, struct.pack(">IIBBIBBB", 2, 1, 1, 2, 7, 2, 1, 0x83)),
    ],
)
def test_a_pictures_own_properties_are_told(primary: bytes, version: int, associations: bytes) -> None:
    file, found = meta(primary, version, associations)
    properties, own = list_properties(file, found)
    read = [[file.getvalue()[each.start : each.stop] for each in boxes] for boxes in (properties, own)]
    assert read == [[b"first", b"second", b"third"], [b"first", b"third"]]


@given(st.binary(max_size=40), st.integers(0, 3), st.binary(max_size=40))
def test_no_table_is_too_strange(primary: bytes, version: int, associations: bytes) -> None:
    file, found = meta(primary, version, associations)
    with suppress(EOFError):
        list_properties(file, found)


def test_colours_of_another_item_are_not_the_pictures() -> None:
    clear = Image.new("RGBA", (64, 48), (200, 10, 10, 100))
    data = encoded(clear, "AVIF")
    of_picture, of_clearness = data.index(b"colr") - 4, data.index(b"auxC") - 4
    room = int.from_bytes(data[of_clearness : of_clearness + 4], "big")
    unusual = box(b"colr", b"nclx", struct.pack(">HHHB", 9, 16, 9, 128))
    other = unusual + box(b"free", bytes(room - len(unusual) - 8))
    assert "icc_ignored" not in flags(data[:of_clearness] + other + data[of_clearness + room :])
    assert "icc_ignored" in flags(data[:of_picture] + unusual + data[of_picture + len(unusual) :])
    # Where the picture itself says nothing, its tiles may.
    silent = data[:of_picture] + box(b"free", bytes(len(unusual) - 8)) + data[of_picture + len(unusual) :]
    assert "icc_ignored" in flags(silent[:of_clearness] + other + silent[of_clearness + room :])


def flags(data: bytes) -> set[str]:
    return open_picture(data, Decoding()).flags
