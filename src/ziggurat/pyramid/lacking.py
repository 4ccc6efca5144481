"""Which levels a file lacks, and what making them takes."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ziggurat.format.protocol import Reader
from ziggurat.geometry import Size
from ziggurat.model import Level
from ziggurat.pyramid.blocks import pass_cost, sample_bytes
from ziggurat.pyramid.cascade import cascade_cost

SMALLEST: Final = 512
"""Pixels of the longer side at which no coarser level is made: a thumbnail of it costs nothing."""

TILE: Final = 256
"""Pixels a side of a tile: rows of tiles wait in memory, and a viewer's tiles are as large."""


def made_sizes(size: Size) -> list[Size]:
    """Sizes of the levels to be made below the coarsest stored one, finest first."""
    sizes = []
    while max(size) > SMALLEST:
        size = size.halved(1)
        sizes.append(size)
    return sizes


def made_levels(stored: Sequence[Level]) -> tuple[Level, ...]:
    """The levels that a file lacks."""
    return tuple(Level(size, made=True) for size in made_sizes(stored[-1].shape))


def write_cost(reader: Reader) -> int:
    """Peak bytes of memory that ``write_overview`` takes."""
    info = reader.info
    level = len(info.levels) - 1
    half = info.levels[level].shape.halved(1)
    strips = 2 * sample_bytes(reader, Size(TILE, half.width))
    pixel = info.bands * np.dtype(info.dtype).itemsize
    return strips + pass_cost(reader, level) + cascade_cost(half, TILE, pixel)
