"""Boxes of the ISO base media file format (ISO/IEC 14496-12 4.2), walked within bounds."""

from collections.abc import Iterator
from typing import NamedTuple

from ziggurat.errors import CorruptImage
from ziggurat.format.whole import Header

MAX_BOXES = 10_000
"""Boxes looked at in one container."""


class Box(NamedTuple):
    """One box.

    Attributes:
        kind: four characters.
        start: offset of its contents in the file.
        end: behind its contents.
    """

    kind: bytes
    start: int
    end: int


def boxes(header: Header, start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets of a file.

    Raises:
        CorruptImage: if one leaves its container, or there are absurdly many.
    """
    at = start
    for _ in range(MAX_BOXES):
        if at >= end:
            return
        if at + 8 > end:
            raise CorruptImage(f"{header.url}: {end - at} stray bytes at byte {at} are no box")
        head = header.read(at, 8)
        length, kind, body = int.from_bytes(head[:4], "big"), head[4:], at + 8
        if length == 1:
            if at + 16 > end:
                raise CorruptImage(f"{header.url}: the box {kind!r} at byte {at} is cut short")
            length, body = int.from_bytes(header.read(at + 8, 8), "big"), at + 16
        # Length 0: up to the end of the container.
        stop = at + length if length else end
        if not body <= stop <= end:
            raise CorruptImage(f"{header.url}: the box {kind!r} at byte {at} leaves its container; truncated")
        yield Box(kind, body, stop)
        at = stop
    raise CorruptImage(f"{header.url} has over {MAX_BOXES} boxes at byte {start}")
