"""Bytes of the file put together from many places, with as few reads as can be."""

from bisect import bisect_right, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.reads import Reads, joined_spans
from ziggurat.errors import CorruptImage

type Piece = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Offsets and lengths of bytes in the file, or of new ones from ``HEADERS`` on."""

HEADERS = -(1 << 62)
"""Offset of new bytes that are not in the file; they have been given to ``Held``."""

_GAP = 256
"""Bytes between two spans that are read in vain rather than asking twice."""


class Held:
    """Spans of the file that have been read."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._data: dict[int, bytes] = {}

    def add(self, start: int, data: bytes) -> None:
        """Keeps bytes; a longer read replaces a shorter one that begins at the same place."""
        if not data:
            return
        old = self._data.get(start)
        if old is not None:
            if len(old) >= len(data):
                return
            self._spans.remove((start, start + len(old)))
        insort(self._spans, (start, start + len(data)))
        self._data[start] = data

    def find(self, start: int, end: int) -> memoryview | None:
        """The bytes of a span, if one read brought all of them."""
        at = bisect_right(self._spans, (start, 1 << 63)) - 1
        if at < 0 or self._spans[at][1] < end:
            return None
        first = self._spans[at][0]
        return memoryview(self._data[first])[start - first : end - first]


def runs(offset: NDArray[np.int64], length: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Start and end of pieces, those joined that follow each other in the file as they do here."""
    filled = length > 0
    offset, length = offset[filled], length[filled]
    if not len(offset):
        return []
    ends = offset + length
    breaks = np.flatnonzero(offset[1:] != ends[:-1]) + 1
    first = np.concatenate([np.zeros(1, np.int64), breaks])
    last = np.concatenate([breaks - 1, np.array([len(offset) - 1])])
    return list(zip(offset[first].tolist(), ends[last].tolist(), strict=True))


def gather(several: Sequence[Sequence[Piece]], held: Held, size: int) -> Reads[list[list[bytes | memoryview]]]:
    """Puts pieces together, reading what is not held yet in one go.

    Args:
        several: sequences of pieces, each in order.
        held: what has been read before.
        size: bytes of the file.

    Returns:
        The parts of each, to be joined.

    Raises:
        CorruptImage: if a piece lies outside of the file.
    """
    wanted = [[run for piece in pieces for run in runs(*piece)] for pieces in several]
    missing = [run for items in wanted for run in items if held.find(*run) is None]
    spans = joined_spans(sorted(set(missing)), gap=_GAP)
    if spans:
        if spans[-1].end > size:
            raise CorruptImage(
                f"packets lie at bytes {spans[-1].start} to {spans[-1].end}, the file ends at {size}: it is truncated"
            )
        for span, data in zip(spans, (yield spans), strict=True):
            held.add(span.start, data)
    return [_parts(items, held) for items in wanted]


def _parts(wanted: Sequence[tuple[int, int]], held: Held) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for start, end in wanted:
        found = held.find(start, end)
        if found is None or len(found) < end - start:
            raise CorruptImage(f"bytes {start} to {end} could not be read")
        parts.append(found)
    return parts
