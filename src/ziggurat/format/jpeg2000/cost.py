"""Predicting, from the header, how much memory reading a window takes."""

import numpy as np

from ziggurat.codec.threads import decoding_threads
from ziggurat.codestream.partition import Rect, shrunk
from ziggurat.format.jpeg2000.bands import BandPlan
from ziggurat.format.jpeg2000.container import Container
from ziggurat.format.jpeg2000.pixels import BLOCK_SAMPLES
from ziggurat.format.jpeg2000.windows import GROUP_SAMPLES, component_rect
from ziggurat.geometry import Window

_SAMPLE = 4
"""Both decoders hold samples as 32-bit numbers."""

_BLOCK = 600
"""Bytes that OpenJPEG keeps per code-block: its record, ten segments, two tag tree nodes. Measured."""

_BASE = 2 << 20
"""Bytes that any decoding takes: buffers, tables, fragmentation. Measured."""

_HT_SAMPLE = 6
"""Bytes that OpenJPH's result takes a sample, with its lines and what was prepared. Measured."""

_PARTIAL = 3
"""Times that an area's samples are held where it is not all of the canvas: sparse, dense, with margins."""

_COPIES = 2
"""Times that compressed bytes are held at once: as fetched and joined, then joined and in OpenJPEG's own buffer."""

_INDEXED_BLOCK = 24
"""Bytes of the index for a code-block: its record, twice while room for more is made, and tag trees."""

_INDEXED_PACKET = 48

_WALK = 2 << 23
"""Bytes read ahead in search of packet headers, at most."""

_SCRATCH_ARRAYS = 8
"""Arrays of a block of rows that a conversion holds at once."""


def read_cost(container: Container, plan: BandPlan, level: int, window: Window) -> int:
    """Peak bytes of a read, its result included.

    Args:
        container: with the codestream's header.
        plan: how components become bands.
        level: of the window.
        window: what is read.
    """
    siz = container.main.siz
    components = sorted({band.component for band in plan.bands})
    rects = {index: component_rect(siz, index, level, window) for index in components}
    wanted = sum((rect.x1 - rect.x0) * (rect.y1 - rect.y0) for rect in rects.values())
    canvas, blocks = _largest_tile(container, level, rects)
    many = _several_tiles(container, level, rects)
    whole = canvas <= wanted if not many else wanted >= canvas
    decoding = _SAMPLE * (min(canvas, wanted) if whole else min(canvas, _PARTIAL * min(wanted, canvas)))
    if container.main.ht:
        # OpenJPH decodes all of the canvas, into a type of up to 16 bits where there are 8.
        decoding = _HT_SAMPLE * canvas + _SAMPLE * min(canvas, wanted)
    if many:
        decoding *= decoding_threads()
        blocks *= decoding_threads()
    held = _SAMPLE * wanted if many else 0
    samples = sum(
        (siz.x1 - siz.x0) * (siz.y1 - siz.y0) // (siz.components[index].dx * siz.components[index].dy)
        for index in components
    )
    group = max(min(wanted, GROUP_SAMPLES), canvas if whole else 0)
    compressed = _compressed(container.codestream.length, group << (2 * level), samples)
    result = window.size.pixels * len(plan.bands) * np.dtype(plan.dtype).itemsize
    scratch = 0 if plan.plain else _SCRATCH_ARRAYS * _SAMPLE * BLOCK_SAMPLES
    index = _index(container)
    return _BASE + _COPIES * compressed + decoding + _BLOCK * blocks + held + result + scratch + index


def _compressed(length: int, wanted: int, samples: int) -> int:
    """Bytes of the codestream that a part of its samples takes: twice its share, for parts differ."""
    return length if wanted >= samples else min(length, 2 * length * wanted // max(1, samples))


def _several_tiles(container: Container, level: int, rects: dict[int, Rect]) -> bool:
    siz = container.main.siz
    for index, rect in rects.items():
        item = siz.components[index]
        width, height = siz.tile_width // item.dx >> level, siz.tile_height // item.dy >> level
        if siz.tiles > 1 and (rect.x1 - rect.x0 > width or rect.y1 - rect.y0 > height):
            return True
    return False


def _largest_tile(container: Container, level: int, rects: dict[int, Rect]) -> tuple[int, int]:
    """Samples and code-blocks of the largest canvas that one tile's slice of the window can have."""
    siz = container.main.siz
    samples = blocks = 0
    for index, rect in rects.items():
        item, style = siz.components[index], container.main.coding(index)
        width, height = min(siz.tile_width, siz.x1 - siz.x0), min(siz.tile_height, siz.y1 - siz.y0)
        tile = shrunk(Rect(0, 0, width, height), item.dx, item.dy, level)
        depth = max(0, style.levels - level)
        across = _canvas(rect.x1 - rect.x0, tile.x1, style.block_width << depth)
        down = _canvas(rect.y1 - rect.y0, tile.y1, style.block_height << depth)
        samples += across * down
        block_height = min(style.block_height, max(size[0] for size in style.precincts))
        block_width = min(style.block_width, max(size[1] for size in style.precincts))
        blocks += across * down // (block_height * block_width) + 1
    return samples, blocks


def _canvas(wanted: int, tile: int, unit: int) -> int:
    """Samples of a canvas along one axis: whole units around what is wanted, at most the tile."""
    return min(tile, (-(-wanted // unit) + 1) * unit)


def _index(container: Container) -> int:
    """Bytes of the index of the largest tile."""
    main = container.main
    siz = main.siz
    width, height = min(siz.tile_width, siz.x1 - siz.x0), min(siz.tile_height, siz.y1 - siz.y0)
    blocks = packets = 0
    for index, item in enumerate(siz.components):
        style = main.coding(index)
        tile = width * height // (item.dx * item.dy)
        blocks += tile * 4 // (3 * style.block_height * style.block_width) + 1
        packets += sum(
            tile // (size[0] * size[1] << (2 * (style.levels - number))) + 1
            for number, size in enumerate(style.precincts)
        )
    known = _INDEXED_BLOCK * blocks * min(main.cod.layers, 8) + _INDEXED_PACKET * packets * main.cod.layers
    return known + min(_WALK, container.codestream.length)
