"""Which samples of which component a window of a level needs (ISO/IEC 15444-1 Annex B). Pure arithmetic.

The pixels of level k lie on the grid of the most finely sampled component, halved k times. A coarser component
is repeated: pixel column c takes the sample at or before it, sample floor(c * dx_min / dx) of the component.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.segments import Siz
from ziggurat.geometry import Size


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


def sample_span(span: range, bounds: tuple[int, int], *, fine: int, coarse: int) -> tuple[int, int]:
    """First sample and the one past the last that the pixels of one axis take, see ``sample_index``.

    Args:
        span: pixels, on the level's grid; not empty.
        bounds: of the component's samples at that level.
        fine: spacing of the pixels on the reference grid.
        coarse: spacing of the samples.
    """
    first = min(max(span.start * fine // coarse, bounds[0]), bounds[1] - 1)
    last = min(max((span.stop - 1) * fine // coarse, bounds[0]), bounds[1] - 1)
    return first, last + 1
