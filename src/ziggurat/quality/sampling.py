"""Which parts of a picture are measured when measuring all of it costs too much."""

import math
from collections.abc import Iterator

import numpy as np

from ziggurat.geometry import Size, Window
from ziggurat.model import Samples

SIDE = 256
"""Pixels along a measured square: SSIMULACRA2's six scales still have eight rows each."""

_COARSE = 8
"""Every so many rows and columns are looked at to see where a picture is busy."""


def sample_windows(size: Size, count: int = 2, *, side: int = SIDE) -> tuple[Window, ...]:
    """Windows spread over a picture, the same for every picture of this size.

    Their centres follow the golden-ratio lattice, whose points never line up in rows or columns, so that few of
    them meet a margin or a gutter.

    Args:
        size: of the picture.
        count: how many; fewer where the picture does not hold as many side by side.
        side: height and width of a window, cut to the picture's.

    Returns:
        Windows that do not overlap; a single one, the whole, where the picture is no larger than a window.
    """
    height, width = min(side, size.height), min(side, size.width)
    count = min(count, (size.height // height) * (size.width // width))
    golden = (math.sqrt(5) - 1) / 2
    found: list[Window] = []
    for index in range(16 * count):
        if len(found) == count:
            break
        y0 = round((size.height - height) * ((index + 0.5) / count % 1))
        x0 = round((size.width - width) * ((index + 0.5) * golden % 1))
        window = Window(y0, x0, y0 + height, x0 + width)
        if not any(window.intersect(other) for other in found):
            found.append(window)
    return tuple(found)


def busiest(pixels: Samples, count: int = 2, *, side: int = SIDE) -> tuple[Window, ...]:
    """The windows of a grid over a picture in memory that vary most: where compression shows first.

    Looks at every eighth pixel of every eighth row, of the middle band: green, where there are three.

    Args:
        pixels: (y, x, band).
        count: how many at most.
        side: height and width of a window, cut to the picture's.

    Returns:
        Windows that do not overlap, the busiest first; of equal ones the first in reading order.
    """
    return tuple(_by_variance(pixels, side)[:count])


def spread(pixels: Samples, count: int, *, side: int = SIDE) -> tuple[Window, ...]:
    """Windows of a grid over a picture in memory from the busiest to the flattest, in even steps of their order.

    So they hold of everything as much as the picture does.

    Args:
        pixels: (y, x, band).
        count: how many at most.
        side: height and width of a window, cut to the picture's.

    Returns:
        Windows that do not overlap, the busiest first.
    """
    ordered = _by_variance(pixels, side)
    count = min(count, len(ordered))
    return tuple(ordered[int((index + 0.5) * len(ordered) / count)] for index in range(count))


def _by_variance(pixels: Samples, side: int) -> list[Window]:
    sample = pixels[::_COARSE, ::_COARSE, pixels.shape[2] // 2]

    def variance(window: Window) -> float:
        rows, columns = (slice(-(-part.start // _COARSE), -(-part.stop // _COARSE)) for part in window.slices())
        part = sample[rows, columns]
        return float(np.var(part, dtype=np.float64)) if part.size else 0.0

    return sorted(_grid(Size(*pixels.shape[:2]), side), key=variance, reverse=True)


def _grid(size: Size, side: int) -> Iterator[Window]:
    """Whole windows in the middle of a picture, side by side."""
    height, width = min(side, size.height), min(side, size.width)
    top, left = size.height % height // 2, size.width % width // 2
    for y0 in range(top, size.height - height + 1, height):
        for x0 in range(left, size.width - width + 1, width):
            yield Window(y0, x0, y0 + height, x0 + width)
