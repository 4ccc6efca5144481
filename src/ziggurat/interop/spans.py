"""Chunks as spans of a file, and rows of samples that are cut into such."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import UnsupportedFeature
from ziggurat.geometry import Size
from ziggurat.interop.multiscale import Grid
from ziggurat.model import JSON

USUAL = 4 << 20
"""Bytes of a chunk of rows."""

LARGEST = 64 << 20
"""Bytes of a chunk of rows where it cannot be smaller."""

FEWEST = 16
"""Rows of a chunk below which a level is rather one chunk."""


@dataclass(frozen=True, slots=True)
class LevelReferences:
    """The chunks of one level.

    Attributes:
        grid: of the array.
        document: its ``zarr.json``.
        offset: first byte of each chunk in its file, int64 of shape
            ``grid.counts``, or ``grid.plane_counts`` while it is those of one plane.
        length: bytes of each chunk, int64 of the same shape; 0 for one that is not there.
    """

    grid: Grid
    document: dict[str, JSON]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]


def row_chunks(size: Size, row: int, start: int, end: int) -> int:
    """How many rows make a chunk of a plane whose rows follow each other in the file without a gap.

    All chunks have the same number of bytes. Where it does not divide the plane, the last one reaches beyond, into
    bytes that mean something else, which readers cut off; the file must have them.

    Args:
        size: of the plane.
        row: bytes of a row.
        start: first byte of the last plane of the level.
        end: bytes of the file.

    Raises:
        UnsupportedFeature: if no number of rows will do.
    """
    rows = max(1, min(USUAL // row, size.height))
    if start + -(-size.height // rows) * rows * row <= end:
        return rows
    divisors = (number for number in range(rows, 0, -1) if size.height % number == 0)
    best = next(divisors, 1)
    if best >= min(FEWEST, rows):
        return best
    if size.height * row <= LARGEST:
        return size.height
    raise UnsupportedFeature(
        f"its {size.height} rows cannot be divided into chunks of the same size, and the file ends with them"
    )
