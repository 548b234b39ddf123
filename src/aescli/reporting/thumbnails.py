"""Small pictures beside a page, each in a file of its own whose name tells the state of the picture that it is of."""

import hashlib
import io
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from aescli.errors import OutputFailed, PictureError
from aescli.images.find import Found
from aescli.images.opening import Opener
from aescli.names import escape
from aescli.runtime import usable_cpus

SIDE = 320  # pixels of the long side: sharp on a dense screen at the usual size

_QUALITY = 80
_AHEAD = 16  # pictures for each thread


def make_thumbnails(pictures: Iterable[Found], folder: Path, opener: Opener) -> Generator[str]:
    """Yield the name of each picture's thumbnail in `folder`, or nothing where it cannot be read.

    One that is there already is taken as it is: a picture that changes gets another name.

    Raises:
        OutputFailed: the folder cannot be written.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"{escape(str(folder))} cannot be written: {error.strerror}") from error
    waiting: deque[Future[str]] = deque()
    workers = usable_cpus()
    threads = ThreadPoolExecutor(workers)
    try:
        for picture in pictures:
            waiting.append(threads.submit(_make, picture, folder, opener))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _make(picture: Found, folder: Path, opener: Opener) -> str:
    identity = picture.identify()
    if identity is None:
        return ""
    state = b"%d\0%d\0%d\0%s" % (SIDE, identity.size, identity.mtime_ns, identity.path)
    target = folder / f"{hashlib.sha256(state).hexdigest()[:20]}.jpg"
    if target.exists():
        return target.name
    try:
        data = _shrink(picture, opener)
    except PictureError:
        return ""
    # Of this thread alone: a picture may stand twice in a report, and two reports may be written at once.
    part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)  # noqa: PTH105 - one that was killed half way has no name
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror}") from error
    return target.name


def _shrink(picture: Found, opener: Opener) -> bytes:
    from PIL import Image

    with opener.open(picture.read().data, picture.path) as view:
        width, height = view.size()
        ratio = min(1.0, SIDE / max(width, height))
        pixels = view.squeeze(max(1, round(width * ratio)), max(1, round(height * ratio)))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
