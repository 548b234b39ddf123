"""JSON lines: one object on one physical line for each picture, in ASCII, never NaN."""

import json
from typing import BinaryIO

from aescli.results import Row
from aescli.writers.record import record_of


class JsonLinesWriter:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, row: Row) -> None:
        # ASCII: some readers take U+2028 and U+0085 for the end of a line.
        self._stream.write(json.dumps(record_of(row), allow_nan=False).encode("ascii") + b"\n")

    def finish(self) -> None:
        pass
