"""References into FITS images that are stored as they are: rows of big-endian samples (FITS Standard 4.0, 3.3.2)."""

import numpy as np

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.fits.reader import FitsReader
from ziggurat.geometry import Size
from ziggurat.image import Image
from ziggurat.interop.multiscale import Grid, array
from ziggurat.interop.spans import LevelReferences, row_chunks
from ziggurat.model import JSON, Stack


def fits_levels(image: Image, stack: Stack) -> list[LevelReferences]:
    """The chunks of the only level.

    Args:
        image: it.
        stack: as in ``Pyramid``.

    Raises:
        UnsupportedFeature: if it is compressed, or its samples are not those that are stored.
    """
    reader = image.reader
    stored = reader.stored if isinstance(reader, FitsReader) else None
    if stored is None:
        raise UnsupportedFeature(
            f"{image.url}: its tiles are compressed, or its samples scaled (BSCALE, BZERO); ziggurat.zarr_store shows "
            "it"
        )
    size, bands = image.info.size, image.info.bands
    row = size.width * stored.item
    plane = stored.plane * stored.item
    rows = row_chunks(size, row, stored.start + (bands - 1) * plane, image.source.size)
    grid = Grid(size, bands, Size(rows, size.width), 1, stack)
    first = stored.start + np.arange(bands)[:, None] * plane + np.arange(-(-size.height // rows)) * rows * row
    offset = first.astype(np.int64).reshape(grid.plane_counts)
    order: JSON = {"name": "bytes", "configuration": {"endian": "big"}} if stored.item > 1 else {"name": "bytes"}
    document = array(grid, image.info.dtype, [order])
    return [LevelReferences(grid, document, offset, np.full_like(offset, rows * row))]
