"""References into TIFF: tiles as they are; strips of samples that are not compressed, cut into rows anew."""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.tiff.plane import Plane
from ziggurat.format.tiff.reader import TiffReader
from ziggurat.geometry import Size
from ziggurat.image import Image
from ziggurat.interop.multiscale import Grid, array
from ziggurat.interop.spans import LevelReferences, row_chunks
from ziggurat.model import JSON, Stack

_PACKED: Final[Mapping[int, JSON]] = MappingProxyType(
    {
        5: {"name": "imagecodecs_lzw"},
        8: {"name": "imagecodecs_zlib"},
        32773: {"name": "imagecodecs_packbits"},
        32946: {"name": "imagecodecs_zlib"},
        34925: {"name": "imagecodecs_lzma"},
        50000: {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
    }
)
"""Compressions (tag 259) that are undone before samples are seen."""

_PLAIN, _JPEG, _JPEG_2000 = 1, 7, frozenset({33005, 34712})
_DIFFERENCES: Final = 2
"""Predictor of integers (TIFF 6.0 section 14)."""

_JPEG_COLOURS: Final = {"grey": "GRAYSCALE", "ycc": "YCBCR", "rgb": "RGB"}


def tiff_levels(image: Image, stack: Stack) -> list[LevelReferences]:
    """The chunks of all levels that the file stores.

    Args:
        image: it.
        stack: as in ``Pyramid``.

    Raises:
        UnsupportedFeature: if its pixels are not those of its tiles or rows, or nothing that reads Zarr decodes them.
        CorruptImage: if its directories are damaged.
    """
    reader = image.reader
    if not isinstance(reader, TiffReader) or not reader.as_stored:
        raise UnsupportedFeature(
            f"{image.url}: its colours are converted when it is read; ziggurat.zarr_store shows it"
        )
    try:
        return [_level(level, image, stack) for level in reader.planes]
    except UnsupportedFeature as error:
        raise UnsupportedFeature(f"{image.url}: {error}; ziggurat.zarr_store shows it") from error


def _level(directories: Sequence[Plane], image: Image, stack: Stack) -> LevelReferences:
    first = directories[0]
    if any(_kind(item) != _kind(first) for item in directories) or first.reduce:
        raise UnsupportedFeature("the directories of a level are not stored alike")
    found = [_spans(item, image.source.size) for item in directories]
    chunk, offset, length = found[0][0], *(np.concatenate([item[at] for item in found]) for at in (1, 2))
    if any(item[0] != chunk for item in found):
        raise UnsupportedFeature("the directories of a level are not divided alike")
    bands = image.info.bands
    grid = Grid(first.size, bands, chunk, first.samples if bands > 1 else 1, stack)
    document = array(grid, image.info.dtype, _codecs(first, grid.axes))
    if (length == 0).any():
        document["fill_value"] = first.dtype.type(first.nodata).item()
    if int((offset + length)[length > 0].max(initial=0)) > image.source.size:
        raise CorruptImage(f"{image.url}: a strip or tile lies beyond the end of the file; it is truncated")
    return LevelReferences(grid, document, offset.reshape(grid.plane_counts), length.reshape(grid.plane_counts))


def _kind(plane: Plane) -> tuple[object, ...]:
    return (
        plane.size, plane.segment, plane.tiled, plane.samples, plane.planes, plane.dtype, plane.compression,
        plane.predictor, plane.jpeg, plane.reduce,
    )  # fmt: skip


def _spans(plane: Plane, end: int) -> tuple[Size, NDArray[np.int64], NDArray[np.int64]]:
    """Size of the chunks of a directory, and their offsets and lengths: sample planes, then rows, then columns."""
    count = plane.stride * plane.planes
    offset, length = plane.places.part(range(count))
    if plane.tiled:
        return plane.segment, offset, length
    if plane.raw is None:
        if plane.size.height % plane.segment.height and plane.segment.height < plane.size.height:
            raise UnsupportedFeature("its last strip is lower than the others, and compressed")
        return Size(min(plane.segment.height, plane.size.height), plane.size.width), offset, length
    row = plane.row_bytes
    starts = offset.reshape(plane.planes, -1)
    heights = np.minimum(plane.segment.height, plane.size.height - np.arange(plane.stride) * plane.segment.height)
    if (length.reshape(plane.planes, -1) < heights * row).any():
        raise UnsupportedFeature("its strips are shorter than their rows")
    if (np.diff(starts, axis=1) != heights[:-1] * row).any():
        raise UnsupportedFeature("its strips do not follow each other")
    rows = row_chunks(plane.size, row, int(starts[:, 0].max()), end)
    made = starts[:, :1] + np.arange(-(-plane.size.height // rows)) * rows * row
    return Size(rows, plane.size.width), made.ravel(), np.full(made.size, rows * row)


def _codecs(plane: Plane, axes: Sequence[str]) -> list[JSON]:
    """How an array's chunks become samples."""
    several = plane.samples > 1
    turned: list[JSON] = []
    if several:
        # From (t, c, z, y, x) to the order of the file: (t, z, y, x, c).
        order = sorted(range(len(axes)), key=lambda number: axes[number] == "c")
        turned = [{"name": "transpose", "configuration": {"order": order}}]
    if plane.compression == _JPEG:
        return [*turned, _jpeg(plane)]
    if plane.compression in _JPEG_2000:
        return [*turned, {"name": "imagecodecs_jpeg2k"}]
    packed = _PACKED.get(plane.compression)
    if plane.compression != _PLAIN and packed is None:
        raise UnsupportedFeature(f"compression {plane.compression} is not among those that readers of Zarr undo")
    if plane.bits != 8 * plane.dtype.itemsize:
        raise UnsupportedFeature(
            f"its samples are of {plane.bits} bits in the file, {8 * plane.dtype.itemsize} outside"
        )
    if plane.predictor == _DIFFERENCES:
        turned.append({"name": "imagecodecs_delta", "configuration": {"axis": -2 if several else -1}})
    elif plane.predictor != 1:
        raise UnsupportedFeature(f"predictor {plane.predictor} is not among those that readers of Zarr undo")
    endian = {"configuration": {"endian": "big" if plane.order == ">" else "little"}}
    samples: JSON = {"name": "bytes", **(endian if plane.dtype.itemsize > 1 else {})}
    return [*turned, samples, *([] if packed is None else [packed])]


def _jpeg(plane: Plane) -> JSON:
    if plane.jpeg is None:
        raise UnsupportedFeature("its JPEG tiles are not plain grey, RGB or YCbCr")
    colours = _JPEG_COLOURS[plane.jpeg.colour]
    tables = {} if plane.jpeg.tables is None else {"tables": base64.b64encode(plane.jpeg.tables).decode()}
    shown = "GRAYSCALE" if plane.jpeg.colour == "grey" else "RGB"
    return {
        "name": "imagecodecs_jpeg",
        "configuration": {"colorspace_jpeg": colours, "colorspace_data": shown, **tables},
    }
