"""Which of a file's axes are rows, columns and bands."""

import math
from dataclasses import dataclass

from ziggurat.geometry import Size

MAX_BANDS = 4096
"""Planes of a cube that are read as bands; of more, only the first."""


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of an image, fastest first, and what they are taken for.

    Attributes:
        lengths: NAXIS1, NAXIS2 and on.
        x: index into ``lengths`` of the columns.
        y: of the rows.
        band: of the bands, or None where there is one.
        first_of: indexes of longer axes of which only the first plane is read.
    """

    lengths: tuple[int, ...]
    x: int
    y: int
    band: int | None
    first_of: tuple[int, ...]

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.lengths[self.y], self.lengths[self.x])

    @property
    def bands(self) -> int:
        """Number of bands."""
        return 1 if self.band is None else self.lengths[self.band]

    @property
    def plane(self) -> int:
        """Samples of one plane of rows and columns, which lie together in the file."""
        return math.prod(self.size)


def arrange(lengths: tuple[int, ...]) -> Axes:
    """Takes the first two axes longer than 1 for columns and rows, and the third for bands.

    Axes of length 1 are dropped while two remain. A third axis of more than ``MAX_BANDS`` planes, and all further
    axes, are read at their first plane.

    Args:
        lengths: two at least, none of them 0.
    """
    real = [index for index, length in enumerate(lengths) if length > 1]
    for index in range(len(lengths)):
        if len(real) < 2 and index not in real:  # noqa: PLR2004 - rows and columns
            real = sorted([*real, index])
    x, y, *further = real
    band = further[0] if further and lengths[further[0]] <= MAX_BANDS else None
    return Axes(lengths, x, y, band, tuple(index for index in further if index != band))
