"""Predicting, from the header, how much memory reading a window takes."""

import numpy as np

from ziggurat.format.jpeg2000.bands import BandPlan
from ziggurat.format.jpeg2000.container import Container
from ziggurat.format.jpeg2000.grid import decoded_area
from ziggurat.format.jpeg2000.pixels import BLOCK_SAMPLES
from ziggurat.geometry import Window

_SAMPLE = 4
"""Both decoders hold samples as 32-bit numbers."""

_BLOCK = 600
"""Bytes that OpenJPEG keeps per code-block: its record, ten segments, two tag tree nodes. Measured."""

_BASE = 2 << 20
"""Bytes that any decoding takes: buffers, tables, fragmentation. Measured."""

_TILE = 1 << 20
_TILE_COLUMN = 1280
"""Bytes that OpenJPH sets aside for every tile of the image, and for every column of it, by three components: it
prepares all tiles before it decodes the first. Measured with 33 to 1024 columns, memory in huge pages."""

_SCRATCH_ARRAYS = 8
"""Arrays of a block of rows that a conversion holds at once."""


def read_cost(container: Container, plan: BandPlan, level: int, window: Window) -> int:
    """Peak bytes of a read, its result included, should OpenJPEG have to do it (OpenJPH takes less).

    Args:
        container: with the codestream's header.
        plan: how components become bands.
        level: of the window.
        window: what is read.
    """
    main = container.main
    siz = main.siz
    x0, y0, x1, y1 = decoded_area(main, level, window) or (siz.x0, siz.y0, siz.x1, siz.y1)
    pixels = (x1 - x0) * (y1 - y0)
    tile = min(siz.tile_width, siz.x1 - siz.x0) * min(siz.tile_height, siz.y1 - siz.y0)
    # What is wanted of the largest tile; a tile wanted in part takes its samples sparse and dense, with margins.
    wanted = min(siz.tile_width, x1 - x0) * min(siz.tile_height, y1 - y0)
    if wanted < tile:
        wanted *= 3
    elif siz.tiles == 1:
        wanted = 0  # the tile's buffer becomes the image's
    planes = blocks = 0
    for index, component in enumerate(siz.components):
        spacing = component.dx * component.dy
        planes += _SAMPLE * ((pixels + wanted) // (spacing << (2 * level)) + 1)
        style = main.coding(index)
        height = min(style.block_height, max(size[0] for size in style.precincts))
        width = min(style.block_width, max(size[1] for size in style.precincts))
        blocks += _BLOCK * (tile // (spacing * height * width) + 1)
    result = window.size.pixels * len(plan.bands) * np.dtype(plan.dtype).itemsize
    scratch = 0 if plan.plain else _SCRATCH_ARRAYS * _SAMPLE * BLOCK_SAMPLES
    columns = min(siz.tile_width, siz.x1 - siz.x0)
    prepared = siz.tiles * (_TILE + _TILE_COLUMN * columns) * len(siz.components) // 3 if main.ht else 0
    return _BASE + _compressed(container, tile) + planes + blocks + result + scratch + prepared


def _compressed(container: Container, tile: int) -> int:
    """Bytes of the codestream and of what OpenJPEG copies of it: one tile where tiles come one by one, else all."""
    siz, length = container.main.siz, container.codestream.length
    one_by_one = container.first is not None and container.first.parts == 1
    if not one_by_one:
        return 2 * length
    return length + min(length, 2 * length * tile // ((siz.x1 - siz.x0) * (siz.y1 - siz.y0)))
