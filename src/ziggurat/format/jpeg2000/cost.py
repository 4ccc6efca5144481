"""Predicting, from the header, how much memory reading a window takes."""

from ziggurat.codestream.markers import MainHeader
from ziggurat.format.jpeg2000.bands import BandPlan
from ziggurat.format.jpeg2000.grid import Grid
from ziggurat.format.jpeg2000.pixels import BLOCK_SAMPLES
from ziggurat.geometry import Window

_SAMPLE = 4
"""Both decoders hold samples as 32-bit numbers."""

_BLOCK = 600
"""Bytes that OpenJPEG keeps per code-block: its record, ten segments, two tag tree nodes. Measured."""

_BASE = 6 << 20
"""Bytes that any decoding takes: buffers, tables, threads, fragmentation. Measured."""


def read_cost(main: MainHeader, plan: BandPlan, level: int, window: Window, *, compressed: int) -> int:
    """Peak bytes of a read, its result included.

    Args:
        main: the codestream's header.
        plan: how components become bands.
        level: of the window.
        window: what is read.
        compressed: bytes of the codestream.
    """
    grid = Grid.of(main.siz)
    area = grid.area(level, window)
    x0, y0, x1, y1 = area
    tx0, ty0, tx1, ty1 = grid.tiled_area(area)
    whole = area == (main.siz.x0, main.siz.y0, main.siz.x1, main.siz.y1)
    planes = tiles = blocks = 0
    largest = min(main.siz.tile_width, tx1 - tx0) * min(main.siz.tile_height, ty1 - ty0)
    for index, component in enumerate(main.siz.components):
        density = component.dx * component.dy << (2 * level)
        planes += _SAMPLE * ((x1 - x0) * (y1 - y0) // density + 1)
        tiles += _SAMPLE * (min(largest, (tx1 - tx0) * (ty1 - ty0)) // density + 1)
        style = main.coding(index)
        height = min(style.block_height, max(size[0] for size in style.precincts))
        width = min(style.block_width, max(size[1] for size in style.precincts))
        blocks += _BLOCK * (largest // (component.dx * component.dy * height * width) + 1)
    if whole and main.siz.tiles == 1:
        tiles = 0  # the tile's buffer becomes the image's
    result = window.size.pixels * len(plan.bands) * (int(plan.dtype.lstrip("uint")) // 8)
    scratch = 0 if plan.plain else 8 * _SAMPLE * BLOCK_SAMPLES
    return _BASE + 2 * compressed + planes + tiles + blocks + result + scratch
