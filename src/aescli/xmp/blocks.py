"""XMP packets in formats that are a row of blocks, each with its length: JPEG, PNG, WebP, GIF, Fujifilm's raw."""

from collections.abc import Iterator
from typing import BinaryIO

from aescli.images.blocks import application_segments, fujifilm_jpeg, inflate, png_chunks, raw_profile, webp_chunks
from aescli.images.reading import take
from aescli.xmp.packet import LARGEST, take_packet

_SPACE = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_HEAD = 40  # bytes: a name of 32, the length of the whole, where this part begins

_KEYWORD = b"XML:com.adobe.xmp\0"


def jpeg_packets(file: BinaryIO, start: int = 0) -> Iterator[bytes]:
    """Yield the packet of a JPEG that begins at `start`, and what was too long for it."""
    extensions: dict[bytes, dict[int, bytes]] = {}
    for segment in application_segments(file, start):
        if segment.startswith(_SPACE):
            yield segment[len(_SPACE) :]
        elif segment.startswith(_EXTENSION):
            part = segment[len(_EXTENSION) :]
            offset = int.from_bytes(part[36:_EXTENSION_HEAD], "big")
            extensions.setdefault(part[:36], {})[offset] = part[_EXTENSION_HEAD:]
    for head, parts in extensions.items():
        packet = b"".join(part for _, part in sorted(parts.items()))
        if len(packet) == int.from_bytes(head[32:], "big"):
            yield packet


def png_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a PNG, before or behind its pixels."""
    for kind, at, size in png_chunks(file):
        if kind == b"iTXt" and take(file, at, min(size, len(_KEYWORD))) == _KEYWORD:
            text = take_packet(file, at, size)[len(_KEYWORD) :]
            packet = text[2:].split(b"\0", 2)[-1]  # behind a language and the keyword in it
            yield inflate(packet, LARGEST) if text[:1] == b"\1" else packet
        elif profile := raw_profile(file, kind, at, size, b"xmp", LARGEST):
            yield profile


def webp_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a WebP."""
    for kind, at, size in webp_chunks(file):
        if kind == b"XMP ":
            yield take_packet(file, at, size)


def gif_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a GIF."""
    at = 13 + _palette(take(file, 10, 1)[0])
    while (kind := take(file, at, 1)) != b";":
        if kind == b",":
            at += 11 + _palette(take(file, at + 9, 1)[0])
            at = _end_of_blocks(file, at)
        elif kind == b"!":
            start = at + 2
            at = _end_of_blocks(file, start)
            if take(file, start, min(12, at - start)) == b"\x0bXMP DataXMP":
                yield take_packet(file, start + 12, at - start - 12)  # it stands there whole, not in blocks
        else:
            raise EOFError


def fujifilm_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of the JPEG in a raw file of Fujifilm's."""
    return jpeg_packets(file, fujifilm_jpeg(file))


def _palette(flags: int) -> int:
    """Return the bytes of a GIF's table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(file: BinaryIO, at: int) -> int:
    while size := take(file, at, 1)[0]:
        at += 1 + size
    return at + 1
