"""Levels that a file does not store, out of the resolutions of its JPEG 2000 tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from ziggurat.format.tiff.jpeg2000 import HEAD, decode_tile, decomposition_levels
from ziggurat.format.tiff.plane import JPEG_2000, Plane
from ziggurat.format.tiff.view import HeaderView
from ziggurat.geometry import Size
from ziggurat.model import Samples
from ziggurat.storage.ranges import ByteRange

SAME = 1.41
"""Ratio of widths below which two levels are of one scale: the middle between a level and the next, root of 2."""

type Level = tuple[Plane, ...]


def with_wavelet_levels(levels: Sequence[Level], view: HeaderView) -> tuple[Level, ...]:
    """All levels, finest first: those of the file, and between and behind them those of its tiles' wavelets.

    The number of resolutions is taken from the first tile of each level; the first bytes of these come in one batch.

    Args:
        levels: those that the file stores.
        view: the file.
    """
    heads = [_head(level, view) for level in levels]
    known = [item for item in heads if item is not None]
    data = dict(zip(known, view.read_many(known), strict=True)) if known else {}
    result: list[Level] = []
    for (level, head), (coarser, _) in pairwise([*zip(levels, heads, strict=True), ((), None)]):
        result.append(level)
        if head is not None:
            depth = decomposition_levels(data[head], level[0].segment)
            result += _between(level, coarser, depth)
    return tuple(result)


def _head(level: Level, view: HeaderView) -> ByteRange | None:
    """Where the first tile of a level begins that is JPEG 2000; None where there is none."""
    if not all(plane.tiled and plane.compression in JPEG_2000 for plane in level):
        return None
    size = view.seek(0, 2)
    place = level[0].places.first_stored()
    if place is None or place[0] >= size:
        return None
    return ByteRange(place[0], min(place[0] + min(place[1], HEAD), size))


def _between(level: Level, coarser: Level, depth: int) -> Iterator[Level]:
    """The levels between one that the file stores and its next one, or those down to a single tile."""
    size, tile = level[0].size, level[0].segment
    for reduce in range(1, depth + 1):
        finer = size.halved(reduce - 1)
        if finer.height <= tile.height and finer.width <= tile.width:
            return
        if coarser and size.halved(reduce).width < SAME * coarser[0].size.width:
            return
        yield tuple(_halved(plane, reduce) for plane in level)


def _halved(plane: Plane, reduce: int) -> Plane:
    return replace(
        plane,
        size=plane.size.halved(reduce),
        segment=Size(plane.segment.height >> reduce, plane.segment.width >> reduce),
        reduce=reduce,
        decode=partial(_decode, reduce),
    )


def _decode(reduce: int, data: bytes, _index: int) -> Samples:
    return decode_tile(data, reduce)
