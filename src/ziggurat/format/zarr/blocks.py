"""A window in pieces that bound what reading holds at once. Pure planning."""

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple


class Span(NamedTuple):
    """Half-open."""

    start: int
    end: int


type Spans = tuple[Span, Span, Span]
"""Of bands, rows and columns."""

type Chunk = tuple[int, int, int]
"""Bands, rows and columns of a chunk."""


def touched(spans: Spans, chunk: Chunk) -> tuple[int, int, int]:
    """Chunks along each axis."""
    bands, rows, columns = (-(-span.end // side) - span.start // side for span, side in zip(spans, chunk, strict=True))
    return bands, rows, columns


def steps(spans: Spans, chunk: Chunk, room: int) -> tuple[int, int, int]:
    """Chunks along each axis of a piece that has at most ``room`` of them, and one at least: columns first."""
    bands, rows, columns = touched(spans, chunk)
    across = max(1, min(columns, room))
    down = max(1, min(rows, room // across))
    return max(1, min(bands, room // (across * down))), down, across


def blocks(spans: Spans, chunk: Chunk, room: int) -> Iterator[Spans]:
    """The pieces, each of whole chunks where the window has them whole."""
    sides = (side * step for side, step in zip(chunk, steps(spans, chunk, room), strict=True))
    yield from product(*(_pieces(span, side, one) for span, side, one in zip(spans, sides, chunk, strict=True)))


def _pieces(span: Span, side: int, chunk: int) -> list[Span]:
    """A span cut at every ``side`` from the start of its first chunk."""
    first = span.start // chunk * chunk
    starts = range(first, span.end, side)
    return [Span(max(start, span.start), min(start + side, span.end)) for start in starts]


def pixels(spans: Spans) -> int:
    """Samples in them."""
    return math.prod(span.end - span.start for span in spans)
