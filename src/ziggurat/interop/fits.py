"""References into FITS images that are stored as they are: rows of big-endian samples (FITS Standard 4.0, 3.3.2)."""

import math
from typing import Final

import numpy as np

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.reader import FitsReader
from ziggurat.format.fits.samples import Scaling
from ziggurat.geometry import Size
from ziggurat.image import Image
from ziggurat.interop.multiscale import Grid, array
from ziggurat.interop.spans import LevelReferences, row_chunks
from ziggurat.model import JSON, Stack

_DOUBLES_HOLD: Final = 4
"""Bytes of the longest integers of the standard that are all doubles."""

_HALF: Final = 0.5
"""The fraction of a power of two, as ``math.frexp`` has it."""


def fits_levels(image: Image, stack: Stack) -> list[LevelReferences]:
    """The chunks of the only level.

    Args:
        image: it.
        stack: as in ``Pyramid``.

    Raises:
        UnsupportedFeature: if it is compressed, or nothing that reads Zarr scales its samples exactly as the standard
            says.
    """
    reader = image.reader
    stored = reader.stored if isinstance(reader, FitsReader) else None
    if stored is None:
        raise UnsupportedFeature(
            f"{image.url}: its tiles are compressed, which readers of Zarr do not undo; ziggurat.zarr_store shows it"
        )
    if not _is_exact(stored.scaling):
        raise UnsupportedFeature(
            f"{image.url}: readers of Zarr do not scale its samples (BSCALE {stored.scaling.scale:g}, BZERO "
            f"{stored.scaling.zero:g}) exactly; ziggurat.zarr_store shows it"
        )
    size, bands = image.info.size, image.info.bands
    item = stored.scaling.stored.itemsize
    row, plane = size.width * item, stored.plane * item
    rows = row_chunks(size, row, stored.start + (bands - 1) * plane, image.source.size)
    grid = Grid(size, bands, Size(rows, size.width), 1, stack)
    first = stored.start + np.arange(bands)[:, None] * plane + np.arange(-(-size.height // rows)) * rows * row
    offset = first.astype(np.int64).reshape(grid.plane_counts)
    document = array(grid, image.info.dtype, _codecs(stored.scaling))
    return [LevelReferences(grid, document, offset, np.full_like(offset, rows * row))]


def _is_exact(scaling: Scaling) -> bool:
    """Whether dividing doubles by 1 / BSCALE and adding BZERO gives the samples, bit for bit.

    It does for integers that doubles hold, and a BSCALE that is a power of two. Undefined samples (BLANK) are NaN where
    they are scaled, which no codec knows.
    """
    if scaling.rule == "as stored":
        return True
    if scaling.stored.kind == "f" or scaling.stored.itemsize > _DOUBLES_HOLD:
        return False
    return scaling.rule == "sign flipped" or (scaling.blank is None and abs(math.frexp(scaling.scale)[0]) == _HALF)


def _codecs(scaling: Scaling) -> list[JSON]:
    """How an array's chunks become samples."""
    order: JSON = {"name": "bytes"}
    if scaling.stored.itemsize > 1:
        order = {"name": "bytes", "configuration": {"endian": "big"}}
    if scaling.rule == "as stored":
        return [order]
    scaled: dict[str, JSON] = {
        "offset": scaling.zero,
        "scale": 1 / scaling.scale,
        "dtype": scaling.dtype.newbyteorder("<").str,
        "astype": scaling.stored.newbyteorder("<").str,
    }
    return [{"name": "numcodecs.fixedscaleoffset", "configuration": scaled}, order]
