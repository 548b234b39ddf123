import pytest

from aescli.images.fingerprints import find_alike, fingerprint
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded, photograph


def hash_of(data: bytes) -> int:
    return fingerprint(open_picture(data, Decoding()))


def test_compression_and_size_change_few_bits_and_another_picture_many() -> None:
    for seed in range(8):
        picture = photograph(seed)
        first = hash_of(encoded(picture))
        again = hash_of(encoded(picture.resize((200, 150)), "JPEG", quality=70))
        assert (first ^ again).bit_count() <= 3
        assert (first ^ hash_of(encoded(photograph(seed + 100)))).bit_count() > 7


def test_pairs_are_found_once_whatever_bits_differ() -> None:
    one = 0x0123456789ABCDEF
    hashes = [one, one ^ 0b111, one ^ (1 << 63) ^ (1 << 32) ^ 1, ~one & (2**64 - 1), one ^ 0b1111]
    assert sorted(find_alike(hashes)) == [(0, 1), (0, 2), (1, 4)]
    with pytest.raises(ValueError, match="bits"):
        list(find_alike(hashes, 8))
