"""Which samples of which component a window of a level needs (ISO/IEC 15444-1 Annex B). Pure arithmetic.

The pixels of level k lie on the grid of the most finely sampled component, halved k times. A coarser component
is repeated: pixel column c takes the sample at or before it, sample floor(c * dx_min / dx) of the component.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.segments import Siz
from ziggurat.geometry import Size, Window


def _up(value: int, step: int, level: int) -> int:
    """Value / step, rounded up, / 2^level, rounded up."""
    samples = (value + step - 1) // step
    return (samples + (1 << level) - 1) >> level


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixel grid of an image.

    Attributes:
        siz: the codestream's geometry.
        dx, dy: spacing of the pixels on the reference grid: the smallest of any component.
    """

    siz: Siz
    dx: int
    dy: int

    @classmethod
    def of(cls, siz: Siz) -> "Grid":
        """The grid on which this image's pixels lie."""
        return cls(siz, min(c.dx for c in siz.components), min(c.dy for c in siz.components))

    def origin(self, level: int) -> tuple[int, int]:
        """Row and column of the level's first pixel on its grid."""
        return _up(self.siz.y0, self.dy, level), _up(self.siz.x0, self.dx, level)

    def size(self, level: int) -> Size:
        """Height and width of a level (B-15)."""
        y, x = self.origin(level)
        return Size(_up(self.siz.y1, self.dy, level) - y, _up(self.siz.x1, self.dx, level) - x)

    def component_size(self, component: int, level: int) -> Size:
        """Height and width of a component at a level, which may be 0."""
        siz, item = self.siz, self.siz.components[component]
        return Size(
            _up(siz.y1, item.dy, level) - _up(siz.y0, item.dy, level),
            _up(siz.x1, item.dx, level) - _up(siz.x0, item.dx, level),
        )

    def tile(self, level: int) -> Size | None:
        """Nominal size of a tile at a level, or None where the image is a single tile."""
        if self.siz.tiles == 1:
            return None
        return Size(max(1, _up(self.siz.tile_height, self.dy, level)), max(1, _up(self.siz.tile_width, self.dx, level)))

    def tile_is_empty(self, tile: int) -> bool:
        """Whether no component has a sample in a tile, which then need not be in the codestream."""
        siz = self.siz
        row, column = divmod(tile, siz.tiles_across)
        top, left = siz.tile_y0 + row * siz.tile_height, siz.tile_x0 + column * siz.tile_width
        y0, x0 = max(siz.y0, top), max(siz.x0, left)
        y1, x1 = min(siz.y1, top + siz.tile_height), min(siz.x1, left + siz.tile_width)
        return all(
            _up(y0, item.dy, 0) >= _up(y1, item.dy, 0) or _up(x0, item.dx, 0) >= _up(x1, item.dx, 0)
            for item in siz.components
        )

    def area(self, level: int, window: Window) -> tuple[int, int, int, int]:
        """The rectangle (x0, y0, x1, y1) of the reference grid that holds all samples of a window."""
        siz = self.siz
        oy, ox = self.origin(level)
        y0, x0 = window.y0 + oy, window.x0 + ox
        top = min(y0 * self.dy // item.dy * item.dy for item in siz.components)
        left = min(x0 * self.dx // item.dx * item.dx for item in siz.components)
        # A coarse component's first sample may lie beyond the window's end, and stands for what is before it too.
        bottom = max(_up(siz.y0, item.dy, level) * item.dy << level for item in siz.components) + 1
        right = max(_up(siz.x0, item.dx, level) * item.dx << level for item in siz.components) + 1
        return (
            max(siz.x0, left << level),
            max(siz.y0, top << level),
            min(siz.x1, max(right, (window.x1 + ox) * self.dx << level)),
            min(siz.y1, max(bottom, (window.y1 + oy) * self.dy << level)),
        )

    def tiled_area(self, area: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The same rectangle grown to whole tiles, cut at the image's border: what is decoded at least in part."""
        siz = self.siz
        x0, y0, x1, y1 = area
        left = (x0 - siz.tile_x0) // siz.tile_width * siz.tile_width + siz.tile_x0
        top = (y0 - siz.tile_y0) // siz.tile_height * siz.tile_height + siz.tile_y0
        right = -(-(x1 - siz.tile_x0) // siz.tile_width) * siz.tile_width + siz.tile_x0
        bottom = -(-(y1 - siz.tile_y0) // siz.tile_height) * siz.tile_height + siz.tile_y0
        return max(siz.x0, left), max(siz.y0, top), min(siz.x1, right), min(siz.y1, bottom)


def decoded_area(main: MainHeader, level: int, window: Window) -> tuple[int, int, int, int] | None:
    """What of the reference grid has to be decoded for a window, or None for all of it.

    OpenJPEG 2.5.4 decodes areas wrong where code-blocks are HT (without a word, all samples are grey) and where packet
    headers are gathered in the main header (PPM): it takes one tile's for another's.
    """
    grid = Grid.of(main.siz)
    if main.ht or "PPM" in main.markers or window.size == grid.size(level):
        return None
    return grid.area(level, window)


def sample_index(span: range, first: int, count: int, *, fine: int, coarse: int) -> slice | NDArray[np.intp]:
    """Which samples of a decoded plane the pixels of one axis take.

    Args:
        span: pixels, on the level's grid.
        first: on the component's own grid, the first sample that the plane holds.
        count: how many it holds.
        fine: spacing of the pixels on the reference grid.
        coarse: spacing of the samples.

    Returns:
        A slice where the spacing is the same, else an index per pixel.
    """
    if fine == coarse:
        return slice(span.start - first, span.stop - first)
    index = np.arange(span.start, span.stop, dtype=np.intp) * fine // coarse
    return np.clip(index, first, first + count - 1) - first
