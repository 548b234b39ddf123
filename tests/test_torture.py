"""Everything that breaks image tools, end to end, in a process of its own that has no right to read what it may not."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import torture
from tests.conftest import needs_posix

pytestmark = needs_posix

# Root reads everything; without these two capabilities it is refused as an ordinary user is.
_ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_input_has_the_row_that_it_must_have(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "torture"
    folder.mkdir()
    cases = torture.build(folder, seed)
    assert len(cases) >= 150
    rows, errors, code = score(folder)
    (folder / "odd" / "unlistable").chmod(0o700)
    assert code == 3
    assert "Traceback" not in errors
    expected = {case.path: case for case in cases if case.expect != torture.SKIP}
    assert set(rows) == set(expected)
    wrong = [(path, case.expect, rows[path]) for path, case in expected.items() if not meets(rows[path], case)]
    assert not wrong
    for path, case in expected.items():
        if case.twin:
            assert rows[path]["overall"] == pytest.approx(rows[case.twin]["overall"], abs=case.within), path
    skipped = [case for case in cases if case.expect == torture.SKIP]
    assert f"{len(skipped)} skipped" in errors


def test_good_rows_are_those_of_a_run_without_bad_neighbours(tmp_path: Path) -> None:
    folder = tmp_path / "torture"
    folder.mkdir()
    cases = torture.build(folder, 2)
    rows, _, _ = score(folder)
    (folder / "odd" / "unlistable").chmod(0o700)
    good = [case.path for case in cases if case.expect == torture.SCORE]
    listed = tmp_path / "list"
    listed.write_bytes(b"\0".join(os.fsencode(folder) + b"/" + path for path in good) + b"\0")
    alone, _, code = score(folder, "--files-from", str(listed), walk=False)
    assert code == 0
    for path in good:
        assert alone[path]["overall"] == rows[path]["overall"]


def meets(row: dict[str, object], case: torture.Case) -> bool:
    if case.expect == torture.ANY:
        return True
    if case.expect == torture.SCORE:
        return row["status"] == "ok"
    return row["error_code"] in case.expect


def score(folder: Path, *words: str, walk: bool = True) -> tuple[dict[bytes, dict[str, object]], str, int]:
    """Return rows by their path below the folder, what was said, and the exit code."""
    ordinary = _ORDINARY if os.geteuid() == 0 and shutil.which("setpriv") else []
    command = [*ordinary, sys.executable, "-m", "aescli", "score", "--no-store", "--format", "jsonl", *words]
    if walk:
        command += ["--all-files", str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=240, check=False)
    assert b"\x1b" not in done.stdout + done.stderr
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        path = base64.b64decode(row["path_b64"]) if "path_b64" in row else row["path"].encode()
        rows[path.removeprefix(os.fsencode(folder) + b"/")] = row
    return rows, done.stderr.decode(), done.returncode
