import pytest

from tests.fuzz import decode, loop
from tests.torture import encodings


def test_the_target_decodes_what_it_starts_from() -> None:
    assert all(map(decode, encodings(0).values()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_mutated_bytes_are_decoded_or_refused(seed: int) -> None:
    tried, decoded = loop(60, seed, most=1500)
    assert 0 < decoded < tried
