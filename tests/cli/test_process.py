"""What only a process of its own can show: start-up, pipes, terminals, signals, locales."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import encoded, needs_posix, photograph
from tests.endpoint import serving

pytestmark = needs_posix
AES = [sys.executable, "-m", "aescli"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    content = encoded(photograph(size=(1200, 900)), "JPEG", quality=90)
    for at in range(600):
        (folder / f"{at:04}.jpg").write_bytes(content)
    return folder


def imported(*words: str) -> set[str]:
    program = "import sys; from aescli.cli.app import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


HEAVY = {"torch", "transformers", "pandas", "scipy", "openai", "huggingface_hub", "pyarrow", "sklearn"}


def test_help_imports_nothing_heavy() -> None:
    assert not imported("--help") & (HEAVY | {"onnxruntime"})


def test_scoring_a_picture_imports_nothing_heavy(photos: Path) -> None:
    found = imported("score", str(photos))
    assert "onnxruntime" in found
    assert not found & HEAVY


def test_the_module_is_the_command() -> None:
    done = subprocess.run([*AES, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("aes 0.")


def test_a_reader_that_has_seen_enough_is_no_error(many: Path) -> None:
    process = subprocess.Popen([*AES, "score", str(many)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait(30) == 0
    process.stderr.close()
    assert "Traceback" not in errors
    assert "rror" not in errors


def test_a_closed_pipe_is_no_error_for_any_command() -> None:
    for words in (["models", "ls"], ["doctor"], ["completion", "bash"]):
        line = " ".join([*AES, *words, "2>&1 >&3 | cat"])
        done = subprocess.run(
            ["bash", "-c", f"exec 3> >(exec true); sleep 0.5; {line}; exit ${{PIPESTATUS[0]}}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, ""), words


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_in_order_and_running_again_continues(
    many: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    process = subprocess.Popen([*AES, "score", str(many), "-o", str(target)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any("aes-part" in path.name for path in tmp_path.iterdir()))
    time.sleep(1.5)  # rows are kept once a second
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "run the same command again to continue" in errors
    assert "Traceback" not in errors
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if "aes-part" in path.name] == []
    done = subprocess.run([*AES, "score", str(many), "-o", str(target)], capture_output=True, text=True, check=True)
    assert "kept from before" in done.stderr
    assert len(target.read_text().splitlines()) == 601


def test_a_killed_run_continues_with_the_same_rows(many: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    process = subprocess.Popen([*AES, "score", str(many), "-o", str(target)], stderr=subprocess.DEVNULL)
    wait_until(lambda: any("aes-part" in path.name for path in tmp_path.iterdir()))
    time.sleep(2)
    process.kill()
    process.wait(10)
    assert not target.exists()
    done = subprocess.run([*AES, "score", str(many), "-o", str(target)], capture_output=True, text=True, check=True)
    assert "kept from before" in done.stderr
    subprocess.run([*AES, "score", str(many), "--no-store", "-o", str(tmp_path / "whole.csv")], check=True)
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_locale_time_zone_and_home_change_no_byte(photos: Path) -> None:
    outputs = set()
    for variables in ({"LC_ALL": "C"}, {"TZ": "Asia/Kathmandu"}, {"HOME": "/proc/nonexistent", "AES_HOME": ""}, {}):
        done = subprocess.run(
            [*AES, "score", str(photos)], env={**os.environ, **variables}, capture_output=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def on_terminal(*words: str, **variables: str) -> str:
    """Run a command whose stdout and stderr are one terminal and return what it shows."""
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    process = subprocess.Popen([*AES, *words], stdout=follower, stderr=follower, stdin=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
    process.wait(60)
    os.close(leader)
    return shown.decode()


def test_a_terminal_shows_a_table_a_bar_and_a_closing_line(photos: Path) -> None:
    shown = on_terminal("score", str(photos))
    assert "█" in shown
    assert "6 scored" in shown
    assert "path,status" not in shown
    assert "\x1b[36m" in shown
    # Rows and the closing line begin lines of their own: the bar was taken away before.
    assert [line for line in shown.split("\r\n") if line.endswith("0.jpg")]
    assert shown.rstrip().split("\n")[-1].startswith("aes: 6 scored")


def test_no_color_is_respected(photos: Path) -> None:
    assert "\x1b[36m" not in on_terminal("score", str(photos), NO_COLOR="1")


def test_no_byte_of_a_name_acts_on_a_terminal(photos: Path) -> None:
    for name in ("\x1b]0;owned\x07.jpg", "\x1b[2J.jpg", "\x9b2J.jpg", "\u202egpj.exe.jpg", "[blink]x.jpg"):
        (photos / name).write_bytes((photos / "0.jpg").read_bytes())
    (photos / "bad\x1b[2J.jpg").write_bytes(b"no picture")
    shown = on_terminal("score", str(photos))
    for part in ("\x1b]0;owned", "\x1b[2J", "\x9b", "\u202e"):
        assert part not in shown
    assert "[blink]x.jpg" in shown


def test_a_bug_of_ours_keeps_its_traceback(photos: Path) -> None:
    program = (
        "import sys, aescli.engines.local as s; from aescli.cli.app import main\n"
        "s.score_all = lambda *a, **k: 1 / 0\n"
        f"sys.exit(main(['score', {str(photos)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


def waiting_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def answers(file: Path) -> int:
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM responses").fetchone()[0])


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("critique", signal.SIGINT, 130), ("critique", signal.SIGTERM, 143), ("score", signal.SIGINT, 130)],
)
def test_a_signal_ends_a_run_whose_server_stalls_and_running_again_pays_for_the_rest(
    tmp_path: Path, home: Path, command: str, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for at in range(6):
        (folder / f"{at}.png").write_bytes(encoded(photograph(at, (60, 40))))
    good = "good" if command == "score" else "ok"
    with serving(good, good, *["hang"] * 4) as server:
        words = [*AES, command, str(folder), "--model", "endpoint:m", "--base-url", server.address, "--format", "jsonl"]
        environment = {**os.environ, "OPENAI_API_KEY": "sk-none"}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        asked = 6 if command == "critique" else 3  # pictures are scored by as many threads as there are processors
        waiting_for(lambda: len(server.requests) >= asked and answers(home / "responses.db") == 2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)  # the server stalls for a minute
        assert process.returncode == code
        assert "run the same command again to continue" in errors
        assert "Traceback" not in errors
        seen, server.plan = len(server.requests), [good] * 6
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        assert len(done.stdout.splitlines()) == 6
        assert len(server.requests) - seen == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_help_is_no_bug() -> None:
    for word in ("--version", "--help"):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([*AES, word], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr.splitlines()) == (
            1, ["aes: error: standard output cannot be written: No space left on device"]
        )  # fmt: skip


def test_a_list_on_a_closed_standard_input_is_refused(photos: Path) -> None:
    for words in (["score", "-"], ["critique", "-"], ["merge", str(photos / "x.csv"), "--files-from", "-"]):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *AES, *words], capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 2


def test_a_signal_while_the_command_starts_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [*AES, "score", "."], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGINT, "")


def cull_for_nobody(photos: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Move the lower half of pictures away, into a pipe that nobody reads."""
    names = sorted(str(file) for file in photos.iterdir() if file.suffix == ".jpg")
    lines = [f"{name},ok,{at}.5,1,mini,,," for at, name in enumerate(names)]
    head = "path,status,overall,raw,model,flags,error_code,error"
    (folder / "s.csv").write_text("\n".join([head, *lines]) + "\n")
    words = ["cull", "--scores", str(folder / "s.csv"), "--apply", "--into", str(folder / "culled"), "--reject", "50"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*AES, *words], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    return done


def test_moving_is_not_up_to_who_reads_the_proposal(photos: Path, tmp_path: Path) -> None:
    done = cull_for_nobody(photos, tmp_path)
    assert "files moved to" in done.stderr
    assert done.returncode == 0
    assert list((tmp_path / "culled" / "reject").iterdir())


def test_what_could_not_be_moved_is_named_whoever_reads(photos: Path, tmp_path: Path) -> None:
    there = tmp_path / "culled" / "reject" / min(file.name for file in photos.glob("*.jpg"))
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    done = cull_for_nobody(photos, tmp_path)
    assert f"{there} exists" in done.stderr
    assert done.returncode == 3
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", "d", "--out", "{long}"), ("train", "--data", "{long}", "--out", "m"),
        ("bench", "scores", "--data", "{long}"), ("score", "a.png", "-o", "{long}"), ("models", "verify", "./{long}"),
        ("score", "{long}"), ("cull", "{long}"), ("report", "{long}", "-o", "o.html"), ("filter", "{long}"),
        ("merge", "{long}"),
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_no_bug(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "labels.csv").write_text("image,score\n")
    (tmp_path / "a.png").write_bytes(encoded(photograph(1, (32, 24))))
    spelled = [word.replace("{long}", "x" * 300) for word in words]
    done = subprocess.run([*AES, *spelled], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "xxx" in done.stderr
