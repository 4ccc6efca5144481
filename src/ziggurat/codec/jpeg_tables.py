"""JPEG with quantisation tables of its own: tables whose steps grow otherwise than T.81's, by any factor.

libjpeg's quality is one family of tables in steps of about 6 % of the bytes. Here a shape says how the steps grow with
frequency and how they differ between luma, blue and red, and a step says how coarse all are.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFile

from ziggurat.codec.jpeg import Subsampling, check_pixels
from ziggurat.errors import UsageError
from ziggurat.model import Samples

type Tables = tuple[tuple[int, ...], ...]
"""For each of Y, Cb and Cr, or Y alone, 64 steps by row of frequencies."""

FINEST = 1 / 256
"""The step at which all tables are ones, whatever their shape."""

_LIMIT = 255
"""The largest step of a baseline table (T.81 B.2.4.1)."""

_SUBSAMPLING: Mapping[Subsampling, int] = MappingProxyType({"444": 0, "422": 1, "420": 2})
"""Pillow's numbers."""

# T.81 tables K.1 and K.2.
# fmt: off
_LUMA = np.array((
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
), np.float64)
_CHROMA = np.array((
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *[99] * 32,
), np.float64)
# fmt: on

_MIDDLE = 16.0
"""What the steps of T.81's tables are spread around."""

_FREQUENCY = np.log1p(np.hypot(*np.mgrid[0:8, 0:8])).reshape(-1)


@dataclass(frozen=True, slots=True)
class Shape:
    """How the steps of a picture's tables relate to each other.

    Attributes:
        subsampling: of chroma.
        luma: how much of the spread of T.81's table of luma is kept: 1 all, 0 none.
        rise: by which power of 1 + frequency luma's steps grow besides.
        chroma: as ``luma``, of T.81's table of chroma.
        blue: factor of the steps of Cb.
        red: factor of the steps of Cr.
    """

    subsampling: Subsampling
    luma: float
    rise: float
    chroma: float
    blue: float
    red: float

    def tables(self, step: float, bands: int) -> Tables:
        """The tables of a step: twice the step is twice as coarse.

        Args:
            step: 1 is about as coarse as libjpeg's quality 50.
            bands: 1 or 3.
        """
        luma = _MIDDLE * (_LUMA / _MIDDLE) ** self.luma * np.exp(self.rise * _FREQUENCY)
        chroma = _MIDDLE * (_CHROMA / _MIDDLE) ** self.chroma
        exact = (luma, chroma * self.blue, chroma * self.red)[:bands]
        return tuple(tuple(int(value) for value in np.clip(np.rint(table * step), 1, _LIMIT)) for table in exact)


SHAPES = (
    Shape("444", luma=0.25, rise=0.2, chroma=1.1, blue=0.9, red=1.15),
    Shape("420", luma=0.05, rise=0.45, chroma=0.75, blue=0.75, red=0.6),
)
"""Those with which photographs and scans took the fewest bytes at a SSIMULACRA2 of 85 to 92 (``bench/same_as.py``)."""

FLAT = (
    Shape("444", luma=0.2, rise=0.0, chroma=0.2, blue=1.0, red=1.0),
    Shape("420", luma=0.2, rise=0.0, chroma=0.2, blue=0.7, red=0.7),
)
"""Those for decibels, to which all frequencies count alike: little spread, so that steps do not all grow at once."""


def standard(quality: int, bands: int) -> Tables:
    """The tables of a quality of libjpeg."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality  # noqa: PLR2004 - libjpeg's scale
    exact = (_LUMA, _CHROMA, _CHROMA)[:bands]
    return tuple(
        tuple(int(value) for value in np.clip((table * math.floor(percent) + 50) // 100, 1, _LIMIT)) for table in exact
    )


def encode(pixels: Samples, tables: Tables, *, subsampling: Subsampling, small: bool) -> bytes:
    """A JFIF file of grey or RGB pixels.

    Args:
        pixels: (y, x, 1 or 3) uint8.
        tables: as many as bands.
        subsampling: of chroma; without meaning for one band.
        small: progressive, with Huffman codes made for each scan: 6 to 8 % smaller at six times the time. Otherwise
            baseline with the codes of T.81 annex K, as ``codec.jpeg.encode`` makes it. The pixels are the same.

    Raises:
        UsageError: if the pixels are of another kind.
    """
    check_pixels(pixels)
    if len(tables) != pixels.shape[2]:
        raise UsageError(f"{len(tables)} quantisation tables do not suit {pixels.shape[2]} bands")
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    file = io.BytesIO()
    # Pillow's own guess is too little for noise at fine steps, and then fails.
    room, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, max(ImageFile.MAXBLOCK, pixels.size * 3 // 2)
    try:
        image.save(
            file,
            "jpeg",
            qtables=[list(table) for table in tables],
            subsampling=_SUBSAMPLING[subsampling],
            optimize=small,
            progressive=small,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{pixels.shape} pixels cannot be encoded as JPEG: {error}") from error
    finally:
        ImageFile.MAXBLOCK = room
    return file.getvalue()
