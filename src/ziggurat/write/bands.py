"""Reading a picture from top to bottom within a memory limit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.write.protocol import Picture


@dataclass(frozen=True, slots=True)
class BandPlan:
    """How a picture is read.

    Attributes:
        rows: rows of a band, a multiple of the tile's height; the picture's height to read it at once.
        columns: columns of one read; the picture's width where a band is read at once.
        cost: peak bytes of reading and holding one band.
    """

    rows: int
    columns: int
    cost: int


def plan_bands(picture: Picture, tile: int, *, memory: int) -> BandPlan:
    """The fewest and largest reads that fit; where none fits, the smallest.

    A picture that can only be read whole is read once. Bands that are multiples of the picture's own grain
    come first, since others decode grains more than once.
    """
    height, width = picture.size
    if picture.grain is None:
        return BandPlan(height, width, picture.read_cost(Window.full(picture.size)))
    grain = picture.grain
    aligned = -(-max(grain.height, tile) // tile) * tile
    heights = sorted(
        {min(rows, aligned) for rows in (aligned, aligned // 2 // tile * tile, tile) if rows}, reverse=True
    )
    widths = [width]
    while widths[-1] > max(grain.width, tile):
        half = -(-widths[-1] // 2)
        widths.append(min(widths[-1] - 1, -(-half // grain.width) * grain.width))
    plans = [_plan(picture, rows, columns) for rows in heights for columns in widths]
    return next((plan for plan in plans if plan.cost <= memory), min(plans, key=lambda plan: plan.cost))


def _plan(picture: Picture, rows: int, columns: int) -> BandPlan:
    height, width = picture.size
    rows = min(rows, -(-height // 16) * 16)
    starts = {0, (height // 2) // rows * rows, (height - 1) // rows * rows}
    lefts = {0, (width - 1) // columns * columns}
    cost = max(
        picture.read_cost(Window(y, x, min(y + rows, height), min(x + columns, width))) for y in starts for x in lefts
    )
    if columns < width:
        cost += min(rows, height) * width * picture.bands * picture.dtype.itemsize
    return BandPlan(rows, columns, cost)


def tile_rows(picture: Picture, plan: BandPlan, tile: int) -> Iterator[Samples]:
    """Arrays (y, x, band) of the picture's full width and a tile's height, the last one perhaps lower."""
    size: Size = picture.size
    for y0 in range(0, size.height, plan.rows):
        band = _band(picture, Window(y0, 0, min(y0 + plan.rows, size.height), size.width), plan.columns)
        for y in range(0, band.shape[0], tile):
            yield band[y : y + tile]
        del band


def _band(picture: Picture, window: Window, columns: int) -> Samples:
    if columns >= window.width:
        return picture.read(window)
    band: Samples = np.empty((window.height, window.width, picture.bands), picture.dtype)
    for x0 in range(0, window.width, columns):
        x1 = min(x0 + columns, window.width)
        band[:, x0:x1] = picture.read(Window(window.y0, x0, window.y1, x1))
    return band
