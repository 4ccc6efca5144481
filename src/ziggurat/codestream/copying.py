"""Putting a large file together out of spans of another one, in bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.reads import Reads, Span, joined_spans
from ziggurat.errors import CorruptImage
from ziggurat.limited import limited

_MOST = 1 << 16
"""Spans of a batch at most."""

_GAP = 1 << 12
"""Bytes between two spans that are read in vain rather than asking twice."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Bytes of a file, span by span.

    Attributes:
        start, end: of each span; those past the file's end lie in ``own``, which begins where the file ends.
        own: bytes that are not in the file.
        size: bytes of the file.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    own: bytes
    size: int

    @property
    def length(self) -> int:
        """Bytes in all."""
        return int((self.end - self.start).sum())

    def pieces(self) -> Iterator[bytes | Span]:
        """The spans, or the bytes that are not in the file."""
        for start, end in zip(self.start.tolist(), self.end.tolist(), strict=True):
            if start < self.size:
                yield Span(start, end)
            else:
                yield self.own[start - self.size : end - self.size]


def joined(start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The spans without the empty ones, those joined that follow each other."""
    filled = end > start
    start, end = start[filled], end[filled]
    first = np.concatenate([np.ones(min(1, len(start)), np.bool_), start[1:] != end[:-1]])
    last = np.concatenate([first[1:], np.ones(min(1, len(start)), np.bool_)])
    return start[first], end[last]


def batches(pieces: Iterable[bytes | Span], *, hold: int) -> Iterator[Sequence[bytes | Span]]:
    """Pieces in batches of about ``hold`` bytes, the longest ones cut."""
    yield from limited((part for piece in pieces for part in _cut(piece, hold)), length_of, hold, _MOST)


def length_of(piece: bytes | Span) -> int:
    """Bytes of a piece."""
    return len(piece) if isinstance(piece, bytes) else piece.end - piece.start


def _cut(piece: bytes | Span, hold: int) -> Iterator[bytes | Span]:
    if isinstance(piece, bytes) or length_of(piece) <= hold:
        yield piece
        return
    for start in range(piece.start, piece.end, hold):
        yield Span(start, min(start + hold, piece.end))


def filled(batch: Sequence[bytes | Span]) -> Reads[list[bytes | memoryview]]:
    """The bytes of a batch, read in as few goes as is sensible.

    Returns:
        The parts, to be joined.

    Raises:
        CorruptImage: if the file ends before.
    """
    spans = sorted(piece for piece in batch if not isinstance(piece, bytes))
    if not spans:
        return [piece for piece in batch if isinstance(piece, bytes)]
    wanted = joined_spans(spans, gap=_GAP)
    data = [memoryview(item) for item in (yield wanted)]
    for span, item in zip(wanted, data, strict=True):
        if len(item) != span.end - span.start:
            raise CorruptImage(f"bytes {span.start} to {span.end} could not be read: the file is truncated")
    starts = np.array([span.start for span in wanted])
    places = np.searchsorted(starts, [0 if isinstance(piece, bytes) else piece.start for piece in batch], "right") - 1
    parts: list[bytes | memoryview] = []
    for piece, place in zip(batch, places.tolist(), strict=True):
        if isinstance(piece, bytes):
            parts.append(piece)
        else:
            first = wanted[place].start
            parts.append(data[place][piece.start - first : piece.end - first])
    return parts
