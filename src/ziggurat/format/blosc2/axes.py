"""Which of an array's axes are rows, columns and bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ziggurat.errors import UnsupportedFeature
from ziggurat.geometry import Size, Window

MAX_TRAILING: Final = 16
"""Samples of a pixel up to which a last axis is bands where the file does not name its axes."""

MAX_BANDS: Final = 4096
"""Planes that are read as bands; of more, only the first."""

type Box = tuple[slice, ...]
"""A part of the array, an axis after the other."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes of an array are taken for.

    Attributes:
        shape: of the array.
        y: index of the rows.
        x: of the columns, behind the rows.
        band: of the bands, or None where there is one.
    """

    shape: tuple[int, ...]
    y: int
    x: int
    band: int | None

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.shape[self.y], self.shape[self.x])

    @property
    def bands(self) -> int:
        """Number of bands."""
        return 1 if self.band is None else self.shape[self.band]

    @property
    def order(self) -> tuple[int, ...]:
        """Axes of the array, the others first, then y, x and band: how it is transposed to end in (y, x, band)."""
        seen = (self.y, self.x) if self.band is None else (self.y, self.x, self.band)
        return tuple(axis for axis in range(len(self.shape)) if axis not in seen) + seen

    def box(self, window: Window) -> Box:
        """The samples of a window; of axes that are none of the three, the first plane."""
        found = [slice(0, 1)] * len(self.shape)
        found[self.y] = slice(window.y0, window.y1)
        found[self.x] = slice(window.x0, window.x1)
        if self.band is not None:
            found[self.band] = slice(0, self.bands)
        return tuple(found)


def arrange(shape: Sequence[int], names: Sequence[str] | None = None) -> Axes:
    """What every axis is.

    Where the file does not say: axes of length 1 in front do not count. The last axis is bands if there are at
    least three and it has at most 16 samples; the two before it, or else the last two, are rows and columns. A third
    axis before those is bands, if there are none yet and it has at most 4096 planes. Of all others, the first plane
    is read.

    Args:
        shape: of the array.
        names: "y", "x" and "band" in the order of the axes, if the file says so.

    Raises:
        UnsupportedFeature: if there are no two axes.
    """
    lengths = tuple(shape)
    if names is not None and sorted(names) in (["x", "y"], ["band", "x", "y"]) and len(names) == len(lengths):
        band = names.index("band") if "band" in names else None
        return Axes(lengths, names.index("y"), names.index("x"), band)
    count = len(lengths)
    if count < 2:  # noqa: PLR2004 - rows and columns
        raise UnsupportedFeature(f"an array of shape {lengths} has no rows and columns")
    if count > 2 and lengths[-1] <= MAX_TRAILING and (lengths[-3] > 1 or lengths[-1] == 1):  # noqa: PLR2004 - a third
        return Axes(lengths, count - 3, count - 2, count - 1)
    further = [axis for axis in range(count - 2) if 1 < lengths[axis] <= MAX_BANDS]
    return Axes(lengths, count - 2, count - 1, further[-1] if further else None)
