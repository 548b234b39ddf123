"""The long runs behind docs/reliability.md: kills, signals, cuts, bombs, hostile folders. Prints one line for each.

    python benchmarks/reliability.py [R1 R4 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R28]

Without names it runs them all, in about an hour on two cores. Every run is a process of its own.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests import torture
from tests.conftest import encoded, photograph
from tests.test_torture import meets, score

AES = [sys.executable, "-m", "aescli"]


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="aes-reliability-"))
    try:
        yield folder
    finally:
        for locked in folder.rglob("unlistable"):
            locked.chmod(0o700)
        shutil.rmtree(folder)


def many(folder: Path, count: int, size: tuple[int, int] = (900, 700)) -> Path:
    """Fill a folder with pictures of which 20 differ."""
    photos = folder / "photos"
    photos.mkdir()
    contents = [encoded(photograph(seed, size), "JPEG", quality=90) for seed in range(20)]
    for at in range(count):
        (photos / f"{at:05}.jpg").write_bytes(contents[at % 20])
    return photos


def run(*words: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*AES, *map(str, words)], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def r1() -> str:
    """Rows and skips equal inputs, on five torture folders."""
    inputs = wrong = 0
    for seed in range(5):
        with scratch() as folder:
            cases = torture.build(folder, 100 + seed)
            rows, errors, _ = score(folder)
            expected = {case.path: case for case in cases if case.expect != torture.SKIP}
            inputs += len(cases)
            wrong += len(set(rows) ^ set(expected))
            wrong += sum(not meets(rows[path], case) for path, case in expected.items() if path in rows)
            wrong += f"{len(cases) - len(expected)} skipped" not in errors
    return f"{inputs} inputs, {wrong} rows missing, extra or other than demanded"


def r4() -> str:
    """Cut files are never scored, unless the cut took nothing but a trailer."""
    from aescli.errors import PictureError
    from aescli.images.picture import Decoding, open_picture

    cuts = scored = trailers = 0
    for data in _encodings().values():
        whole = open_picture(data, Decoding()).squeeze(64, 64)
        for at in np.linspace(1, len(data) - 1, 216).astype(int):
            cuts += 1
            try:
                same = np.array_equal(open_picture(data[:at], Decoding()).squeeze(64, 64), whole)
            except PictureError:
                continue
            trailers += same
            scored += not same
    return f"{cuts} cuts of {len(_encodings())} encodings, {scored} scored by mistake, {trailers} lost a trailer only"


def _encodings() -> dict[str, bytes]:
    import io

    found = torture.encodings(5)
    try:
        import pillow_heif
    except ImportError:
        return found
    file = io.BytesIO()
    pillow_heif.from_pillow(photograph(5, (160, 120))).save(file, quality=90)
    return {**found, "picture.heic": file.getvalue()}


def r6() -> str:
    """Good rows are the same with 500 bad neighbours as alone."""
    with scratch() as folder:
        photos = many(folder, 500, (300, 200))
        alone = run("score", photos, "--no-store").stdout.splitlines()
        for at in range(500):
            good = (photos / f"{at:05}.jpg").read_bytes()
            (photos / f"{at:05} bad.jpg").write_bytes(good[: 50 + at * 7])
        both = [line for line in run("score", photos, "--no-store").stdout.splitlines() if " bad.jpg" not in line]
    differ = sum(one != other for one, other in zip(alone, both, strict=True))
    return f"{len(alone) - 1} good rows beside 500 bad ones, {differ} differ"


def r7(points: int = 50) -> str:
    """Killed at random points and run again, the output is byte-equal and little is redone."""
    chance, equal, redone = random.Random(7), 0, []
    with scratch() as folder:
        photos = many(folder, 400)
        whole, target = folder / "whole.csv", folder / "out.csv"
        started = time.monotonic()
        run("score", photos, "--no-store", "-o", whole)
        length = time.monotonic() - started
        for point in range(points):
            store = folder / f"{point}.db"
            target.unlink(missing_ok=True)
            words = [*AES, "score", str(photos), "-o", str(target), "--store", str(store)]
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.3, length))
            process.kill()
            process.wait()
            before = _stored(store)
            done = run("score", photos, "-o", target, "--store", store)
            equal += done.returncode == 0 and target.read_bytes() == whole.read_bytes()
            redone.append(before)
    return f"{equal}/{points} byte-equal after kill -9; rows kept at the kill: {min(redone)} to {max(redone)} of 400"


def _stored(store: Path) -> int:
    import sqlite3

    if not store.exists():
        return 0
    database = sqlite3.connect(store)
    try:
        return int(database.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()


def r8(points: int = 100) -> str:
    """Killed around the end of a run, the output is the old file or the new one."""
    good = {"csv": 0, "parquet": 0}
    with scratch() as folder:
        photos = many(folder, 6, (64, 64))
        store = folder / "s.db"
        run("score", photos, "--store", store)
        for suffix in good:
            target = folder / f"out.{suffix}"
            run("score", photos, "--store", store, "-o", target)
            new = target.read_bytes()
            started = time.monotonic()
            run("score", photos, "--store", store, "-o", target)
            length = time.monotonic() - started
            for point in range(points // 2):
                target.write_bytes(b"old")
                words = [*AES, "score", str(photos), "--store", str(store), "-o", str(target)]
                process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
                time.sleep(length * (0.75 + 0.3 * point / (points / 2)))
                process.kill()
                process.wait()
                good[suffix] += target.read_bytes() in (b"old", new)
    return f"csv {good['csv']}/{points // 2}, parquet {good['parquet']}/{points // 2} old or new, never half"


def r9(most: int = 200) -> str:
    """Fail every n-th call on store and output, once with EIO and once with ENOSPC."""
    import errno

    from tests import faults
    from tests.test_faults import build, outlives

    with scratch() as folder:
        disk, before = build(folder, 400, 100)
        disk.reset(before)
        calls = faults.count(*disk.words(), under=disk.kept, log=folder / "log")
        wrong = [
            f"call {at}: {problem}"
            for at in range(1, min(most, calls) + 1)
            for error in (errno.EIO, errno.ENOSPC)
            if (problem := outlives(disk, before, 100, at, error))
        ]
    return f"{2 * min(most, calls)} faults at call 1 to {min(most, calls)} of {calls}, wrong: {wrong or 0}"


def r10() -> str:
    """End with exit 1 on a full disk, name the path, and keep the old output."""
    with scratch() as folder:
        photos = many(folder, 40, (64, 64))
        device = run("score", photos, "--no-store", "-o", "/dev/full")
        line = f"{' '.join(AES)} score {photos} --no-store > /dev/full"
        pipe = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        target = folder / "out.csv"
        target.write_text("old")
        # A file-size limit is a disk that fills in the middle of a file.
        small = subprocess.run(
            ["bash", "-c", f"ulimit -f 1; trap '' XFSZ; exec {' '.join(AES)} score {photos} --no-store -o {target}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        codes = [done.returncode for done in (device, pipe, small)]
        named = "/dev/full" in device.stderr and "standard output" in pipe.stderr and str(target) in small.stderr
        clean = not any("Traceback" in done.stderr for done in (device, pipe, small))
        kept = target.read_text() == "old"
        return f"exit codes {codes}, path named: {named}, no traceback: {clean}, old output kept: {kept}"


def r11(times: int = 20) -> str:
    """Signals end a run within five seconds, in order, with no process left."""
    chance, parts = random.Random(11), []
    with scratch() as folder:
        photos = many(folder, 600)
        (photos / "x.avif").write_bytes(encoded(photograph(0), "AVIF"))
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            good, slowest = 0, 0.0
            for _ in range(times):
                target = folder / "out.csv"
                target.write_text("old")
                words = [*AES, "score", str(photos), "-o", str(target), "--no-store", "--isolate", "on"]
                process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
                time.sleep(chance.uniform(1.0, 2.5))
                process.send_signal(number)
                started = time.monotonic()
                errors = process.communicate(timeout=30)[1]
                slowest = max(slowest, time.monotonic() - started)
                good += process.returncode == code and target.read_text() == "old" and "Traceback" not in errors
            parts.append(f"{number.name} {good}/{times} (slowest {slowest:.1f} s)")
        time.sleep(0.5)
        left = subprocess.run(["pgrep", "-f", "aescli.images.decoder"], capture_output=True, check=False).stdout
    return ", ".join(parts) + f"; decoder processes left: {len(left.split())}"


def r12() -> str:
    """End quietly when the reader closes the pipe."""
    with scratch() as folder:
        photos = many(folder, 400, (64, 64))
        good = 0
        for _ in range(10):
            line = f"{' '.join(AES)} score {photos} --no-store | head -1; exit ${{PIPESTATUS[0]}}"
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            good += done.returncode in (0, 141) and "rror" not in done.stderr and len(done.stdout.splitlines()) == 1
    return f"{good}/10 quiet"


def r13(times: int = 20) -> str:
    """Lose one picture by name when a decoder is killed or stopped."""
    chance, good, rows = random.Random(13), 0, 0
    with scratch() as folder:
        photos = many(folder, 60)
        for at in range(times):
            number = signal.SIGKILL if at % 2 else signal.SIGSTOP
            words = ["score", str(photos), "--no-store", "--isolate", "on", "--timeout", "2", "--format", "jsonl"]
            process = subprocess.Popen([*AES, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.9, 1.4))
            children = Path(f"/proc/{process.pid}/task").glob("*/children")
            decoders = [int(word) for listing in children for word in listing.read_text().split()]
            if decoders:
                os.kill(chance.choice(decoders), number)
            output = process.communicate(timeout=60)[0]
            found = [json.loads(line) for line in output.splitlines()]
            failed = [row["error_code"] for row in found if row["status"] == "error"]
            rows += len(found)
            good += len(found) == 60 and set(failed) <= {"decoder_crash", "timeout"} and len(failed) <= 1
    return f"{good}/{times} runs lost one named picture at most; {rows} rows of {60 * times}"


def r14(files: int = 100_000) -> str:
    """Resident memory over 100,000 files stays flat after the first tenth."""
    with scratch() as folder:
        photos, links = many(folder, 1000, (64, 48)), folder / "links"
        links.mkdir()
        for at in range(files):
            (links / f"{at:06}.jpg").hardlink_to(photos / f"{at % 1000:05}.jpg")
        words = [*AES, "score", str(links), "--store", str(folder / "s.db")]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        samples = [
            (at, _tree_mb(process.pid)) for at, _ in enumerate(process.stdout or ()) if at % 500 == 0 and at < files
        ]
        process.wait()
    rows, sizes = np.array(samples).T
    warm = rows >= files / 10
    slope = np.polyfit(rows[warm], sizes[warm], 1)[0] * 10_000
    return f"{files} files, exit {process.returncode}: peak {sizes.max():.0f} MB, {slope:+.2f} MB for each 10,000"


def r15() -> str:
    """Bombs at eight workers stay within two gigabytes, children included."""
    with scratch() as folder:
        torture.build(folder, 15)
        bombs = folder / "bombs"
        for name, data in _large_pictures():
            for copy in range(3):
                (bombs / f"{copy} {name}").write_bytes(data)
        peak = 0.0
        words = [*AES, "score", str(bombs), "--no-store", "--workers", "8", "--timeout", "120", "--dims", "all"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while process.poll() is None:
            peak = max(peak, _tree_mb(process.pid))
            time.sleep(0.02)
        rows = process.stdout.read().splitlines() if process.stdout else []
    scored = sum(",ok," in row for row in rows)
    return f"peak {peak:.0f} MB over the process tree, {scored} of {len(rows) - 1} scored"


def _large_pictures() -> Iterator[tuple[str, bytes]]:
    """Yield a few kilobytes each that are just within the budget of 89 million pixels."""
    from PIL import Image

    yield "rgba.png", encoded(Image.new("RGBA", (9_400, 9_400)), "PNG", compress_level=9)
    yield "rgb.png", encoded(Image.new("RGB", (9_400, 9_400)), "PNG", compress_level=9)
    yield "progressive.jpg", encoded(Image.new("RGB", (9_300, 9_300)), "JPEG", progressive=True)
    yield "fax.tif", encoded(Image.new("1", (9_400, 9_400)), "TIFF", compression="group4")
    yield "flat.webp", encoded(Image.new("RGB", (16_383, 5_400)), "WEBP", quality=1, method=0)
    yield "flat.avif", encoded(Image.new("RGB", (9_000, 9_000)), "AVIF", speed=10)


def _tree_mb(process: int) -> float:
    total = 0.0
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        total = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
        for listing in Path(f"/proc/{process}/task").glob("*/children"):
            total += sum(_tree_mb(int(word)) for word in listing.read_text().split())
    except OSError:
        pass
    return total


def r28() -> str:
    """No network: the built-in model works, a model that was never pulled is refused at once with the line to paste."""
    with scratch() as folder:
        photos = many(folder, 4, (64, 64))
        cut = ["unshare", "-n", "-r", *AES]
        works = subprocess.run([*cut, "score", str(photos), "--no-store"], capture_output=True, text=True, check=False)
        started = time.monotonic()
        refused = subprocess.run(
            [*cut, "score", str(photos), "--model", "laion-v2"], capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - started
    said = "aes models pull laion-v2" in refused.stderr
    return (
        f"mini exits {works.returncode} in a network namespace of its own; laion-v2 exits {refused.returncode} "
        f"after {seconds:.1f} s, line to paste: {said}"
    )


RUNS: dict[str, Callable[[], str]] = {
    "R1": r1, "R4": r4, "R6": r6, "R7": r7, "R8": r8, "R9": r9, "R10": r10, "R11": r11, "R12": r12, "R13": r13,
    "R14": r14, "R15": r15, "R28": r28,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", default=list(RUNS), choices=[*RUNS, []])
    for name in parser.parse_args().runs:
        started = time.monotonic()
        print(f"{name}: {RUNS[name]()}   ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
