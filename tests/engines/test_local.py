import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from aescli.engines.local import score_all
from aescli.errors import ErrorCode
from aescli.images.find import Found
from aescli.images.isolation import Limits
from aescli.images.opening import Opener
from aescli.images.view import View
from aescli.registry import find_card
from aescli.results import Rating, Score
from aescli.scoring import Settings
from tests.conftest import encoded, photograph


class Echo:
    """A scorer that takes as long as it is told and rates by the picture's width."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.card = find_card("mini")
        self.dimensions: tuple[str, ...] = ()
        self.backend = "echo"
        self.batch_size = 1
        self.fingerprint: dict[str, object] = {}
        self.batches: list[int] = []
        self.running = 0
        self.most = 0
        self._seconds = seconds
        self._lock = threading.Lock()

    def close(self) -> None:
        pass

    def prepare(self, picture: View) -> float:
        return float(picture.squeeze(8, 8)[0, 0, 0])

    def rate(self, prepared: Sequence[float]) -> list[Rating]:
        with self._lock:
            self.batches.append(len(prepared))
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self._seconds * (1 + prepared[0] % 3))
        with self._lock:
            self.running -= 1
        return [Rating(1 + value / 255) for value in prepared]


@pytest.fixture
def inputs(tmp_path: object) -> list[Found]:
    found = []
    for seed in range(30):
        path = f"{tmp_path}/{seed:02}.png"
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(encoded(photograph(seed, (40, 30))))
        found.append(Found(path))
    return found


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (4, 1), (3, 7), (2, 64)])
def test_rows_come_in_the_order_of_the_input(inputs: list[Found], workers: int, batch_size: int) -> None:
    scorer = Echo(0.001)
    rows = list(score_all(inputs, scorer, Settings(), None, workers=workers, batch_size=batch_size))
    assert [row.path for row in rows] == [found.path for found in inputs]
    assert all(isinstance(row, Score) for row in rows)
    assert scorer.most <= workers
    assert max(scorer.batches) == min(batch_size, 30)


def test_the_first_row_comes_while_later_ones_are_computed(inputs: list[Found]) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Found]:
        while True:
            taken.append(1)
            yield inputs[0]

    rows = score_all(endless(), Echo(), Settings(), None, workers=2, batch_size=1)
    assert isinstance(next(rows), Score)
    rows.close()
    assert len(taken) < 200


def test_a_bug_in_a_model_ends_the_run_with_its_own_exception(inputs: list[Found]) -> None:
    class Broken(Echo):
        def rate(self, prepared: Sequence[float]) -> list[Rating]:
            raise KeyError("our bug")

    with pytest.raises(KeyError, match="our bug"):
        list(score_all(inputs, Broken(), Settings(), None, workers=2, batch_size=1))


def test_closing_early_leaves_no_thread(inputs: list[Found]) -> None:
    rows = score_all(inputs, Echo(0.01), Settings(), None, workers=2, batch_size=1)
    next(rows)
    rows.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aes-score")]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_decoder_that_hangs_costs_its_picture_alone(inputs: list[Found], batch_size: int) -> None:
    hanging = inputs[7].path

    class Hangs(Echo):
        def prepare(self, picture: View) -> float:
            if opener.busy_with(threading.get_ident())[1] == hanging:
                time.sleep(30)
            return super().prepare(picture)

    with Opener(limits=Limits(seconds=3.0)) as opener:
        started = time.monotonic()
        rows = list(score_all(inputs, Hangs(), Settings(opener), None, workers=2, batch_size=batch_size))
        assert time.monotonic() - started < 25
        assert opener.isolate == "on"
    assert [row.path for row in rows] == [found.path for found in inputs]
    failures = [row for row in rows if not isinstance(row, Score)]
    assert [(row.path, row.code) for row in failures] == [(hanging, ErrorCode.TIMEOUT)]
