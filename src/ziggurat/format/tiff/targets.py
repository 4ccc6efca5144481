"""Where decoded pixels go: all pixels of a window, or those at chosen rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ziggurat.format.tiff.colour import Finish
from ziggurat.geometry import Window
from ziggurat.model import Samples

type Places = NDArray[np.intp]


class Target(Protocol):
    """What takes pixels of a level, in any order and from several threads."""

    def room(self, rows: Window, samples: int, dtype: np.dtype[np.generic]) -> Samples | None:
        """Where whole rows of the level may be decoded in place; None where they are not wanted as they are."""
        ...

    def paste(self, pixels: Samples, covered: Sequence[Window], band: int) -> None:
        """Copies what is wanted of some pixels.

        Args:
            pixels: (y, x, sample), those of the windows below each other.
            covered: windows of the level, as wide as each other, from top to bottom.
            band: that the first sample goes to.
        """
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """All pixels of a window.

    Attributes:
        pixels: the result (y, x, band).
        window: of the level.
        finish: what makes bands of stored samples.
    """

    pixels: Samples
    window: Window
    finish: Finish | None

    def room(self, rows: Window, samples: int, dtype: np.dtype[np.generic]) -> Samples | None:
        """As ``Target`` has it."""
        window = self.window
        inside = window.y0 <= rows.y0 and rows.y1 <= window.y1 and (window.x0, window.x1) == (rows.x0, rows.x1)
        if self.finish is not None or not inside or (samples, dtype) != (self.pixels.shape[2], self.pixels.dtype):
            return None
        return self.pixels[rows.y0 - window.y0 : rows.y1 - window.y0]

    def paste(self, pixels: Samples, covered: Sequence[Window], band: int) -> None:
        """As ``Target`` has it; the windows follow each other."""
        area = Window(covered[0].y0, covered[0].x0, covered[-1].y1, covered[0].x1)
        common = self.window.intersect(area)
        if common is None:
            return
        rows, columns = common.shifted(-area.y0, -area.x0).slices()
        wanted = pixels[rows, columns]
        if self.finish is not None:
            wanted = self.finish(wanted)
        rows, columns = common.shifted(-self.window.y0, -self.window.x0).slices()
        self.pixels[rows, columns, band : band + wanted.shape[2]] = wanted


@dataclass(frozen=True, slots=True)
class Picked:
    """The pixels at the crossings of some rows and columns.

    Attributes:
        pixels: the result (y, x, band).
        rows: of the level, ascending.
        columns: of the level, ascending.
        finish: what makes bands of stored samples.
    """

    pixels: Samples
    rows: Places
    columns: Places
    finish: Finish | None

    def room(self, _rows: Window, _samples: int, _dtype: np.dtype[np.generic]) -> Samples | None:
        """Never: rows are left out."""
        return None

    def paste(self, pixels: Samples, covered: Sequence[Window], band: int) -> None:
        """As ``Target`` has it; wanted rows between the windows are left alone."""
        x0, x1 = covered[0].x0, covered[0].x1
        a, b = np.searchsorted(self.columns, [x0, x1])
        tops, heights = np.array([(window.y0, window.height) for window in covered], np.intp).T
        c, d = np.searchsorted(self.rows, [tops[0], tops[-1] + heights[-1]])
        rows = self.rows[c:d]
        number = np.searchsorted(tops, rows, side="right") - 1
        there = np.flatnonzero(rows < (tops + heights)[number])
        sources = (np.cumsum(heights) - heights - tops)[number] + rows
        if a == b or not len(there):
            return
        wanted = pixels[_slice(sources[there])][:, _slice(self.columns[a:b] - x0)]
        if self.finish is not None:
            wanted = self.finish(wanted)
        self.pixels[_slice(c + there), a:b, band : band + wanted.shape[2]] = wanted


def _slice(numbers: Places) -> slice | Places:
    """The same numbers, one or more, as a slice where they are equally far apart: numpy is then much faster."""
    step = int(numbers[1] - numbers[0]) if len(numbers) > 1 else 1
    if step < 1 or not np.all(np.diff(numbers) == step):
        return numbers
    return slice(int(numbers[0]), int(numbers[-1]) + 1, step)
