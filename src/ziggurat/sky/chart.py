"""The way from a mosaic's pixels to an image's, and the image's values along it: bilinear, as ``--method interp``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ziggurat.format.fits.places import Numbers, pixel_to_pixel
from ziggurat.geometry import Size, Window
from ziggurat.sky.grid import Grid

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from ziggurat.sky.coarse import Values

POINTS: Final = 17
"""Points along either axis where places are computed; between them they are interpolated, to a hundredth of a pixel of
a survey's image."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Where the pixels of a window of a mosaic's level lie in an image.

    Attributes:
        window: on the level's grid.
        y: rows of the image's full resolution, from 0 (y, x).
        x: columns.
        area: how many of the image's pixels a pixel of the mosaic's full resolution covers (y, x).
        halvings: by which the image is as coarse as the level, or up to a fifth finer.
    """

    window: Window
    y: Numbers
    x: Numbers
    area: Numbers
    halvings: int

    @classmethod
    def of(cls, grid: Grid, level: int, window: Window, wcs: "WCS") -> "Chart | None":
        """The chart of a window; None if the image has no pixels there.

        Args:
            grid: of the mosaic.
            level: of the mosaic.
            window: on that level's grid.
            wcs: of the image.
        """
        step = 1 << level
        down = np.linspace(window.y0 - 0.5, window.y1 - 0.5, POINTS)
        across = np.linspace(window.x0 - 0.5, window.x1 - 0.5, POINTS)
        rows, columns = np.meshgrid((down + 0.5) * step - 0.5, (across + 0.5) * step - 0.5, indexing="ij")
        x, y = pixel_to_pixel(grid.wcs, columns, rows, wcs)
        by_row, by_column = rows[1, 0] - rows[0, 0], columns[0, 1] - columns[0, 0]
        (x_down, x_across), (y_down, y_across) = (np.gradient(part, by_row, by_column) for part in (x, y))
        area = np.abs(x_across * y_down - x_down * y_across)
        usual = area[np.isfinite(area)]
        if not usual.size:
            return None
        halvings = max(0, int(np.floor(np.log2(max(1e-9, float(np.median(usual)))) / 2 + level + 0.25)))
        size = window.size
        return cls(window, _spread(y, size), _spread(x, size), _spread(area, size), halvings)

    def needed(self, size: Size) -> Window | None:
        """The pixels of the image, of so many halvings, that the chart needs; None if it needs none.

        Args:
            size: of the image at full resolution.
        """
        inside = self.inside(size)
        if not inside.any():
            return None
        small = size.halved(self.halvings)
        low = [max(0, int(np.floor(self.coarse(values[inside].min())))) for values in (self.y, self.x)]
        high = [int(np.floor(self.coarse(values[inside].max()))) + 2 for values in (self.y, self.x)]
        return Window(
            min(low[0], small.height - 1),
            min(low[1], small.width - 1),
            min(high[0], small.height),
            min(high[1], small.width),
        )

    def inside(self, size: Size) -> "NDArray[np.bool_]":
        """Which pixels of the window lie in an image of this size."""
        down, across = self.y + 0.5, self.x + 0.5
        return (down >= 0) & (down <= size.height) & (across >= 0) & (across <= size.width)

    def coarse[Place: (float, Numbers)](self, place: Place) -> Place:
        """A row or column of full resolution on the grid that is so many times halved."""
        step = 1 << self.halvings
        return (place + 0.5) / step - 0.5

    def values(self, size: Size, pixels: "Values", corner: tuple[int, int]) -> Numbers:
        """The image's values at the pixels of the window, between its own; NaN outside.

        Args:
            size: of the image at full resolution.
            pixels: of the image (y, x), so many times halved.
            corner: row and column of the first of them.
        """
        inside = self.inside(size)
        y, x = self.coarse(self.y[inside]) - corner[0], self.coarse(self.x[inside]) - corner[1]
        found = np.full(self.window.size, np.nan)
        found[inside] = _between(pixels, y, x)
        return found


def _between(pixels: "Values", y: Numbers, x: Numbers) -> Numbers:
    """Values between four pixels; beyond the outermost ones, theirs."""
    height, width = pixels.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.minimum(y.astype(np.intp), max(0, height - 2)), np.minimum(x.astype(np.intp), max(0, width - 2))
    down, across = y - top, x - left
    flat = pixels.ravel()
    at = top * width + left
    right, below = int(width > 1), width * int(height > 1)
    upper = flat[at] * (1 - across) + flat[at + right] * across
    lower = flat[at + below] * (1 - across) + flat[at + below + right] * across
    between: Numbers = upper * (1 - down) + lower * down
    return between


def _spread(points: Numbers, size: Size) -> Numbers:
    """Values at all pixels of a window, from those of a mesh from edge to edge of it."""
    rows = _along(points, size.height)
    return _along(rows.T, size.width).T


def _along(points: Numbers, count: int) -> Numbers:
    """Linear interpolation along the first axis, at the middles of so many pixels."""
    at = (np.arange(count) + 0.5) * (len(points) - 1) / count
    before = np.minimum(at.astype(np.intp), len(points) - 2)
    share = (at - before)[:, np.newaxis]
    found: Numbers = points[before] * (1 - share) + points[before + 1] * share
    return found
