"""Upright pictures from pixels that are stored turned or mirrored: EXIF's and TIFF 6.0's tag 274."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ziggurat.geometry import Size, Window
from ziggurat.model import Samples

_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""Orientation to (rows become columns, then rows reversed, then columns reversed)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What makes stored pixels upright: rows and columns exchanged first, then either axis reversed."""

    swap: bool = False
    flip_y: bool = False
    flip_x: bool = False

    @classmethod
    def of(cls, orientation: int) -> Self:
        """The turn for an orientation of 1 to 8; none for other numbers, which mean nothing."""
        return cls(*_TURNS.get(orientation, _TURNS[1]))

    @property
    def is_none(self) -> bool:
        """Whether the stored pixels are upright."""
        return not (self.swap or self.flip_y or self.flip_x)

    def size(self, stored: Size) -> Size:
        """Upright size of stored pixels; and the other way round."""
        return Size(stored.width, stored.height) if self.swap else stored

    def stored(self, window: Window, upright: Size) -> Window:
        """Where an upright window lies on the stored grid of a picture of this upright size."""
        y0, y1, x0, x1 = window.y0, window.y1, window.x0, window.x1
        if self.flip_y:
            y0, y1 = upright.height - y1, upright.height - y0
        if self.flip_x:
            x0, x1 = upright.width - x1, upright.width - x0
        return Window(x0, y0, x1, y1) if self.swap else Window(y0, x0, y1, x1)

    def apply(self, pixels: Samples) -> Samples:
        """Stored pixels (y, x, band) upright, as a view."""
        turned = np.swapaxes(pixels, 0, 1) if self.swap else pixels
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
