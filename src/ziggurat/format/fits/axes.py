"""Which of a file's axes are rows, columns and bands."""

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul

from ziggurat.geometry import Size
from ziggurat.model import Stack

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
        first_of: indexes of longer axes of which only one plane is read.
        at: which one, by axis; 0 of all that are read whole.
    """

    lengths: tuple[int, ...]
    x: int
    y: int
    band: int | None
    first_of: tuple[int, ...]
    at: tuple[int, ...]

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

    @property
    def first(self) -> int:
        """Samples that lie before the first one in the file."""
        strides = accumulate(self.lengths[:-1], mul, initial=1)
        return sum(at * stride for at, stride in zip(self.at, strides, strict=True))

    @property
    def stack(self) -> Stack:
        """The third axis as depth, the fourth as time; of further ones the first plane is read."""
        lengths = [self.lengths[index] for index in self._further[:2]]
        return Stack(depth=lengths[0] if lengths else None, times=lengths[1] if len(lengths) > 1 else None)

    @property
    def _further(self) -> list[int]:
        return sorted([*([] if self.band is None else [self.band]), *self.first_of])

    def only(self, number: int) -> "Axes":
        """A single plane of the stack.

        Args:
            number: from 0; the depth runs faster than time.
        """
        further = self._further
        at = list(self.at)
        for index in further[:2]:
            number, at[index] = divmod(number, self.lengths[index])
        return replace(self, band=None, first_of=tuple(further), at=tuple(at))


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
    return Axes(lengths, x, y, band, tuple(index for index in further if index != band), (0,) * len(lengths))
