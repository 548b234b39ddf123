import base64
import csv
import io
import json
import os
import re
from collections.abc import Callable

import pytest

from aescli.errors import ErrorCode, MissingExtra, UsageError
from aescli.results import Failure, Row, Score
from aescli.writers.opening import choose_format, open_writer
from aescli.writers.paths import PathWriter

NAMES = [
    b"plain.jpg", b"with space.jpg", b"comma,quote\".jpg", b"line\nfeed.jpg", b"cr\rlf\r\n.jpg", b"tab\t.jpg",
    b"=formula.jpg", b"+plus.jpg", b"-minus.jpg", b"@at.jpg", b"\xff\xfebytes.jpg", b"\x1b[31mred.jpg",
    b"\x1b]0;title\x07.jpg", "\u202egpj.exe".encode(), "line\u2028sep.jpg".encode(), b"[/b].png", b"[red]x.png",
    b"back\\slash.jpg", b"back\\slash\x01.jpg", b"a'b.jpg", "e\u0301.jpg".encode(), "\u00e9.jpg".encode(),
    "🌅.jpg".encode(), b"<script>.jpg", b"%41.jpg", b"$(x).jpg", b"\x7f.jpg", b"\x80.jpg", b"-", b"--help.jpg",
]  # fmt: skip
DIMENSIONS = ("sharpness", "noise")


def row(path: bytes, *, failed: bool = False) -> Row:
    name = os.fsdecode(path)
    if failed:
        return Failure(name, ErrorCode.CORRUPT, "=HYPERLINK\x1b[2J", "mini", "r", "onnx-cpu", "regression")
    dims = {"sharpness": 1 / 3, "noise": 9.0}
    return Score(name, 5.123456789, 4.1, "mini", "r", "onnx-cpu", "regression", dims, ("changed", "extreme_aspect"))


TINY = [4e-12, -1.5e-30, 0.0005, 0.0, 0.001]


def written(format: str, rows: list[Row], **options: bool) -> bytes:
    stream = io.BytesIO()
    writer = open_writer(format, stream, DIMENSIONS, **options)
    for each in rows:
        writer.write(each)
    writer.finish()
    return stream.getvalue()


def unescaped(shown: str) -> bytes:
    text = re.sub(
        r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(\\))", lambda m: "\\" if m[3] else chr(int(m[1] or m[2], 16)), shown
    )
    return os.fsencode(text)


def test_the_csv_header_and_numbers_are_the_contract() -> None:
    lines = written("csv", [row(b"a.jpg"), row(b"b.jpg", failed=True)]).decode().splitlines()
    assert lines[0] == "path,status,overall,sharpness,noise,raw,model,flags,error_code,error"
    assert lines[1] == "a.jpg,ok,5.123457,0.333333,9.000000,4.100000,mini,changed extreme_aspect,,"
    assert lines[2] == "b.jpg,error,,,,,mini,,corrupt,'=HYPERLINK\\x1b[2J"


def test_a_small_number_of_a_model_is_not_written_as_nothing() -> None:
    dims = {"sharpness": 1.0, "noise": 9.0}
    rows: list[Row] = [Score("a.jpg", 5.0, raw, "mini", "r", "onnx-cpu", "regression", dims) for raw in TINY]
    cells = [line.split(",")[5] for line in written("csv", rows).decode().splitlines()[1:]]
    assert [float(cell) for cell in cells] == TINY


@pytest.mark.parametrize("failed", [False, True])
def test_csv_names_change_no_structure_start_no_formula_and_read_back(failed: bool) -> None:
    content = written("csv", [row(name, failed=failed) for name in NAMES]).decode()
    assert "\x1b" not in content
    assert "\r" not in content
    rows = list(csv.DictReader(io.StringIO(content)))
    assert len(rows) == len(NAMES) == len(content.splitlines()) - 1
    for name, each in zip(NAMES, rows, strict=True):
        assert not any(re.match(r"[=+@\t\r-]", cell) for cell in each.values())
        path = each["path"]
        if "escaped_path" in each["flags"].split():
            assert unescaped(path) == name
        else:
            assert os.fsencode(path).removeprefix(b"./") == name


def test_json_lines_are_one_ascii_line_each_and_exact() -> None:
    content = written("jsonl", [row(name) for name in NAMES])
    lines = content.decode("ascii").split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(NAMES)
    for name, line in zip(NAMES, lines, strict=True):
        record = json.loads(line)
        exact = base64.b64decode(record["path_b64"]) if "path_b64" in record else record["path"].encode()
        assert exact == name


def test_json_keys_are_the_contract() -> None:
    good, bad = map(json.loads, written("jsonl", [row(b"a.jpg"), row(b"b.jpg", failed=True)]).splitlines())
    keys = ["path", "status", "overall", "dims", "raw", "model", "revision", "backend", "read_out", "flags"]
    assert list(good) == list(bad) == [*keys, "error_code", "error"]
    assert good["dims"] == {"sharpness": 1 / 3, "noise": 9.0}
    assert good["error_code"] is None
    assert bad["status"] == "error"
    assert bad["overall"] is None
    assert bad["dims"] == {}


def test_parquet_has_the_columns_of_json() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [*(row(name) for name in NAMES), row(b"bad.jpg", failed=True)]
    table = parquet.read_table(io.BytesIO(written("parquet", rows)))
    keys = ["path", "status", "overall", "dims", "raw", "model", "revision", "backend", "read_out", "flags"]
    assert table.column_names == [*keys, "error_code", "error", "path_b64"]
    records = table.to_pylist()
    for name, record in zip(NAMES, records, strict=False):
        exact = base64.b64decode(record["path_b64"]) if record["path_b64"] else record["path"].encode()
        assert exact == name
        assert record["dims"] == {"sharpness": 1 / 3, "noise": 9.0}
    assert records[-1]["status"] == "error"
    assert records[-1]["dims"] is None


def test_parquet_without_dimensions_or_rows_is_still_a_table() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    open_writer("parquet", stream, ()).finish()
    assert parquet.read_table(stream).num_rows == 0


def test_parquet_without_pyarrow_gives_the_line_to_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        open_writer("parquet", io.BytesIO(), ())
    assert caught.value.hint == "pip install 'aescli[parquet]'"


@pytest.mark.parametrize("colour", [False, True])
def test_no_name_or_message_moves_a_terminal(colour: bool) -> None:
    rows = [row(name) for name in NAMES] + [row(name, failed=True) for name in NAMES]
    content = written("table", rows, colour=colour).decode()
    assert len(content.splitlines()) == len(rows) + 1
    ours = re.compile(r"\x1b\[(?:0|2|31|36)m")
    assert "\x1b" not in (ours.sub("", content) if colour else content)
    assert "5.12 █████" in ours.sub("", content)


def test_paths_are_raw_with_nul_and_escaped_on_lines() -> None:
    rows = [row(name) for name in NAMES] + [row(b"bad.jpg", failed=True)]

    def paths(nul: bool) -> bytes:
        stream = io.BytesIO()
        writer = PathWriter(stream, nul=nul)
        for each in rows:
            writer.write(each)
        return stream.getvalue()

    assert paths(nul=True) == b"".join(name + b"\0" for name in NAMES)
    assert len(paths(nul=False).decode().splitlines()) == len(NAMES)


def test_formats_are_chosen_by_word_suffix_or_terminal(tmp_path: object) -> None:
    from pathlib import Path

    choose: Callable[..., str] = choose_format
    assert choose("auto", None, on_terminal=True) == "table"
    assert choose("auto", None, on_terminal=False) == "csv"
    assert choose("auto", Path("x.JSONL"), on_terminal=True) == "jsonl"
    assert choose("jsonl", Path("x.csv"), on_terminal=True) == "jsonl"
    assert choose("auto", Path("/dev/null"), on_terminal=True) == "csv"
    for word, target in (("xml", None), ("auto", Path("x.doc"))):
        with pytest.raises(UsageError):
            choose(word, target, on_terminal=False)
