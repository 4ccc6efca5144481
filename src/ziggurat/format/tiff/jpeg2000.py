"""Tiles that are JPEG 2000 codestreams, decoded at any of their resolutions.

Compression 33003 (Aperio, YCbCr), 33005 (Aperio, RGB) and 34712 hold one codestream a tile (ISO/IEC 15444-1),
bare or in a JP2 file.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.openjpeg import Plane
from ziggurat.codestream.fields import Incomplete
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.reads import Span
from ziggurat.errors import CorruptImage, FormatError, UnsupportedFeature
from ziggurat.format.jpeg2000.grid import Grid
from ziggurat.format.jpeg2000.windows import WindowDecoder
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.storage.memory import MemorySource

HEAD = 1 << 12
"""Bytes of a tile in which its main header lies: it has no profile and no table, and takes about a hundred."""

_START = b"\xff\x4f\xff\x51"
"""SOC and SIZ."""


def decode_tile(data: bytes, reduce: int) -> Samples:
    """Pixels of a tile, halved ``reduce`` times by leaving out its finest resolutions.

    Args:
        data: the tile's bytes.
        reduce: finest resolutions left out.

    Returns:
        Array (y, x, sample) of the smallest type that holds the samples. A subsampled component is repeated.

    Raises:
        CorruptImage: if it is incomplete, has fewer resolutions, or does not decode.
        UnsupportedFeature: if components are not spaced by whole pixels, or are of several types.
    """
    data = data[max(0, data.find(_START)) :]
    main = parse_main_header(data)
    if isinstance(main, Incomplete):
        raise CorruptImage("its codestream ends inside the main header")
    if main.levels < reduce:
        raise CorruptImage(f"its codestream has {main.levels} decomposition levels, level {reduce} of it is asked for")
    decoder = WindowDecoder(MemorySource("tile", data), main, data[: main.length], Span(0, len(data)))
    window = Window.full(Grid.of(main.siz).size(reduce))
    planes, _ = decoder.planes(reduce, window, range(len(main.siz.components)))
    return _assembled(list(planes.values()))


def _assembled(planes: Sequence[Plane]) -> Samples:
    first = planes[0]
    dx, dy = min(plane.dx for plane in planes), min(plane.dy for plane in planes)
    height, width = (max(plane.data.shape[axis] for plane in planes) for axis in (0, 1))
    if any(plane.dx % dx or plane.dy % dy or plane.signed != first.signed for plane in planes):
        raise UnsupportedFeature("components of several types, or not spaced by whole pixels, are not supported")
    depth = max(plane.depth for plane in planes)
    dtype = np.dtype(f"{'i' if first.signed else 'u'}{1 if depth <= 8 else 2 if depth <= 16 else 4}")  # noqa: PLR2004 - bits
    result: Samples = np.empty((height, width, len(planes)), dtype)
    for band, plane in enumerate(planes):
        result[..., band] = _repeated(plane.data, plane.dy // dy, plane.dx // dx)[:height, :width]
    return result


def _repeated(data: NDArray[np.int32], rows: int, columns: int) -> NDArray[np.int32]:
    if rows > 1:
        data = np.repeat(data, rows, axis=0)
    return np.repeat(data, columns, axis=1) if columns > 1 else data


def decomposition_levels(head: bytes, tile: Size) -> int:
    """How often a tile can be halved, by the beginning of its codestream; 0 where it does not tell.

    Args:
        head: the first bytes of a tile.
        tile: its height and width by the directory.
    """
    try:
        main = parse_main_header(head[max(0, head.find(_START)) :])
    except FormatError:
        return 0
    if isinstance(main, Incomplete) or not _plain(main, tile):
        return 0
    return min(main.levels, *((side & -side).bit_length() - 1 for side in tile))


def _plain(main: MainHeader, tile: Size) -> bool:
    """Whether the codestream's pixels are the tile's, from the origin on, so that halves of tiles join seamlessly."""
    siz = main.siz
    return (siz.x0, siz.y0, siz.y1, siz.x1) == (0, 0, *tile)
