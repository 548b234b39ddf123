import threading
import time
from concurrent.futures import ThreadPoolExecutor

from aescli.images.allowance import Allowance
from aescli.images.opening import Opener
from tests.conftest import encoded, photograph


def test_no_more_than_the_total_is_held_and_everybody_gets_a_turn() -> None:
    allowance, held, most = Allowance(100), [0], [0]
    lock = threading.Lock()

    def decode(size: int) -> int:
        with allowance.take(size):
            with lock:
                held[0] += min(size, 100)
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= min(size, 100)
        return size

    sizes = [(at * 37) % 130 + 1 for at in range(200)]  # some are larger than the total
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(decode, sizes)) == sizes
    assert 60 < most[0] <= 100


def test_what_a_hanging_thread_holds_is_taken_back() -> None:
    allowance, holds = Allowance(10), threading.Event()
    let_go = threading.Event()

    def hang() -> None:
        with allowance.take(10):
            holds.set()
            let_go.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    assert holds.wait(5)
    assert thread.ident is not None
    allowance.release(thread.ident)
    with allowance.take(10):
        let_go.set()
        thread.join(5)
    with allowance.take(10):  # what the thread gave back late was not counted twice
        assert sum(allowance._taken.values()) == 10


def test_waiting_for_room_is_not_being_busy() -> None:
    opener = Opener(allowance=Allowance(100))
    waits = threading.Event()

    def decode() -> None:
        waits.set()
        with opener.open(encoded(photograph(0, (20, 10)))) as view:
            view.squeeze(4, 4)

    with opener.allowance.take(100):
        thread = threading.Thread(target=decode)
        thread.start()
        assert waits.wait(5)
        time.sleep(0.2)
        assert thread.is_alive()
        assert thread.ident is not None
        assert opener.busy_with(thread.ident) == (0.0, "")
    thread.join(5)
    assert not thread.is_alive()


def test_an_isolated_picture_counts_too() -> None:
    with Opener(isolate="on") as opener, opener.open(encoded(photograph(0, (40, 30)))) as view:
        assert view.footprint == 1200 * 9
        assert sum(opener.allowance._taken.values()) == 1200 * 9
