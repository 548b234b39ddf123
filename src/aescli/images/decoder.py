"""A process that decodes pictures for another one, so that a crash, a hang or a bomb ends it and not the run.

Started as `python -m aescli.images.decoder LIMITS`. A message is a line of JSON and, where the line says `bytes`, that
many raw bytes. It answers `open`, `size` and the views of a picture as `aescli.images.picture` does; to `close` there
is no answer.
"""

import json
import math
import signal
import sys
from typing import Any, BinaryIO

from PIL import ImageFile

from aescli.errors import PictureError
from aescli.images.picture import Decoding, Picture, open_picture, take_over_pillow
from aescli.images.view import Pixels

_VIEWS = frozenset({"squeeze", "square", "whole", "luma"})


def main() -> None:
    """Answer until stdin ends."""
    limits = json.loads(sys.argv[1])
    _limit_memory(limits["memory_bytes"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    take_over_pillow()
    serve(sys.stdin.buffer, sys.stdout.buffer, limits["seconds"])


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Answer each request; one that takes longer than `seconds` kills the process, even inside a decoder."""
    picture: Picture | None = None
    while received := receive(requests):
        request, payload = received
        if request["do"] == "close":
            picture = None
            continue
        _set_alarm(seconds)
        try:
            if request["do"] == "open":
                picture = _open(request, payload)
                send(answers, {"flags": sorted(picture.flags), "footprint": picture.footprint})
            elif request["do"] == "size":
                send(answers, {"flags": sorted(_open_one(picture).flags), "size": _open_one(picture).size()})
            else:
                pixels = _pixels(picture, request)
                send(answers, {"flags": sorted(_open_one(picture).flags), "shape": pixels.shape}, pixels.tobytes())
        except PictureError as error:
            send(answers, {"error_code": error.code, "error": error.message})
        _set_alarm(0)


def send(stream: BinaryIO, message: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message and its payload."""
    stream.write(json.dumps({**message, "bytes": len(payload)}).encode() + b"\n")
    stream.write(payload)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read one message and its payload; None when the other side is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    payload = stream.read(message["bytes"])
    return (message, payload) if len(payload) == message["bytes"] else None


def _open(request: dict[str, Any], data: bytes) -> Picture:
    # This process decodes one picture at a time, so Pillow's one flag for all concerns this picture alone.
    ImageFile.LOAD_TRUNCATED_IMAGES = request["truncated"]
    return open_picture(data, Decoding(exact=request["exact"], max_pixels=request["max_pixels"]))


def _pixels(picture: Picture | None, request: dict[str, Any]) -> Pixels:
    if request["do"] not in _VIEWS:
        raise AssertionError(f"{request['do']} gives no pixels")
    found: Pixels = getattr(_open_one(picture), request["do"])(*request["of"])
    return found


def _open_one(picture: Picture | None) -> Picture:
    if picture is None:
        raise AssertionError("nothing is open")
    return picture


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "alarm"):
        # The default action ends the process without asking Python, which a decoder in C would not return to.
        signal.alarm(math.ceil(seconds) + 1 if seconds else 0)


if __name__ == "__main__":
    main()
