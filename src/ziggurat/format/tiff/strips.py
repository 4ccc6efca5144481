"""Low compressed strips, many at a time: decoded straight to where their rows belong.

libtiff makes strips of 8 KiB, and many writers strips of a row. What a call costs besides decoding then counts, and so
does every copy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import imagecodecs
import numpy as np
from tifffile import TiffPage

from ziggurat.geometry import Window
from ziggurat.model import Samples

CODECS: Final[Mapping[int, str]] = MappingProxyType(
    {5: "lzw_decode", 8: "deflate_decode", 32946: "deflate_decode", 50000: "zstd_decode"}
)
"""Compressions that give the bytes of the rows: tag 259 → the decoder's name."""

GROUP: Final = 1 << 20
"""Bytes of decoded rows that are worked on at a time: 1 MiB, which stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How bytes of plain rows were compressed.

    Attributes:
        decode: compressed bytes, and ``out``, where the others go → those that it filled.
        stored: type of the stored samples, with their byte order.
        differences: each sample is stored as its difference from the one to its left (TIFF 6.0 section 14).
    """

    decode: Callable[..., Any]
    stored: np.dtype[np.generic]
    differences: bool


def packing_of(page: TiffPage) -> Packing | None:
    """The packing of a directory's strips; None where they are anything else, or not low."""
    name = CODECS.get(int(page.compression))
    plain = page.fillorder == 1 and page.sampleformat in {1, 2, 3} and page.bitspersample in {8, 16, 32, 64}
    if name is None or not plain or page.is_tiled or page.is_subsampled or page.imagedepth != 1:
        return None
    if page.dtype is None or page.dtype.kind not in ("uif" if page.predictor == 1 else "ui"):
        return None
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.predictor not in {1, 2} or page.rowsperstrip * page.imagewidth * samples * page.dtype.itemsize > GROUP:
        return None
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    return Packing(getattr(imagecodecs, name), stored, page.predictor == 2)  # noqa: PLR2004 - TIFF 6.0 section 14


def unpack(
    packing: Packing, strips: Sequence[tuple[int, bytes | memoryview]], width: int, samples: int, room: Samples | None
) -> tuple[Samples, list[int]]:
    """Decodes strips, one below the other.

    Args:
        packing: how they were compressed.
        strips: rows of each; its bytes.
        width: of a row, in pixels.
        samples: samples of a pixel.
        room: where the pixels are to go, of their type and the size of all strips, in one piece; None makes it.

    Returns:
        The pixels (y, x, sample) in native byte order; numbers of the strips that do not decode to exactly their
        pixels, the rows of which hold anything.
    """
    height = sum(count for count, _ in strips)
    pixels: Samples = np.empty((height, width, samples), packing.stored) if room is None else room
    rows = pixels.reshape(height, -1).view(np.uint8)
    failed, at = [], 0
    for number, (count, data) in enumerate(strips):
        out = rows[at : at + count].reshape(-1)
        at += count
        try:
            whole = len(packing.decode(data, out=out)) == len(out)
        except Exception:  # noqa: BLE001 - the libraries raise almost any kind on damaged bytes, and are asked again
            whole = False
        if not whole:
            failed.append(number)
    pixels = pixels.astype(packing.stored.newbyteorder("="), copy=False)
    if packing.differences:
        imagecodecs.delta_decode(pixels, axis=-2, out=pixels)
    return pixels, failed


def groups[T](strips: Iterable[tuple[T, Window]], row_bytes: int, *, apart: bool) -> Iterator[list[T]]:
    """Strips from top to bottom in groups of about a mebibyte.

    Args:
        strips: anything, with the pixels that it covers.
        row_bytes: of one row.
        apart: there may be rows between those of a group.
    """
    group: list[T] = []
    rows = bottom = 0
    for item, window in strips:
        if group and ((window.y0 != bottom and not apart) or (rows + window.height) * row_bytes > GROUP):
            yield group
            group, rows = [], 0
        group.append(item)
        bottom = window.y1
        rows += window.height
    if group:
        yield group
