"""Coarse pictures from single pixels of a finer level: quick, and as rough as that is."""

import numpy as np
from numpy.typing import NDArray

from ziggurat.format.protocol import Picking, Reader
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.pyramid.blocks import block_size, parts, sample_bytes

type Places = NDArray[np.intp]


def sampled_places(start: int, end: int, times: int, size: int) -> Places:
    """The pixels that stand for some of a level: of 2^times each, the one behind the middle, or the last there is.

    Args:
        start: first pixel on the coarser level, along one axis.
        end: behind the last.
        times: halvings.
        size: pixels of the finer level along the axis.
    """
    step = 1 << times
    return np.minimum(np.arange(start, end, dtype=np.intp) * step + step // 2, size - 1)


def centres(size: int, target: int) -> Places:
    """The pixels in the middle of so many equal parts of an axis."""
    return (2 * np.arange(target, dtype=np.intp) + 1) * size // (2 * target)


def picked(reader: Reader, level: int, rows: Places, columns: Places) -> Samples:
    """Pixels at the crossings of rows and columns of a level, both ascending.

    Returns:
        Array (y, x, band) of the image's type, one pixel a crossing.
    """
    if isinstance(reader, Picking):
        return reader.read_picked(level, rows, columns)
    result: Samples = np.empty((len(rows), len(columns), reader.info.bands), reader.info.dtype)
    for part in _blocks(reader, level, rows, columns):
        top, bottom = np.searchsorted(rows, [part.y0, part.y1])
        left, right = np.searchsorted(columns, [part.x0, part.x1])
        if top < bottom and left < right:
            # Not from row to row: where there is no reading of single rows, a strip or tile is decoded for any of them.
            pixels = reader.read(level, part)
            result[top:bottom, left:right] = pixels[np.ix_(rows[top:bottom] - part.y0, columns[left:right] - part.x0)]
    return result


def picked_cost(reader: Reader, level: int, rows: Places, columns: Places) -> int:
    """Peak bytes of memory that ``picked`` takes, its result included."""
    if isinstance(reader, Picking):
        return reader.picked_cost(level, rows, columns)
    result = sample_bytes(reader, Size(len(rows), len(columns)))
    return result + max(reader.read_cost(level, part) for part in _blocks(reader, level, rows, columns)[:1])


def _blocks(reader: Reader, level: int, rows: Places, columns: Places) -> list[Window]:
    wanted = Window(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return parts(wanted, block_size(reader, level, 1))
