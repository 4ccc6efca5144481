"""Low compressed strips, many at a time: decoded straight to where their rows belong.

libtiff makes strips of 8 KiB, and many writers strips of a row. What a call costs besides decoding then counts, and so
does every copy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    packing: Packing, strips: Sequence[tuple[Window, bytes]], samples: int, room: Samples | None
) -> tuple[Samples, list[int]]:
    """Decodes strips that lie below each other.

    Args:
        packing: how they were compressed.
        strips: the pixels of each, full-width, from top to bottom; its bytes.
        samples: samples of a pixel.
        room: where the pixels are to go, of their type and the size of all strips, in one piece; None makes it.

    Returns:
        The pixels (y, x, sample) in native byte order; numbers of the strips that do not decode to exactly their
        pixels, the rows of which hold anything.
    """
    top, bottom, width = strips[0][0].y0, strips[-1][0].y1, strips[0][0].width
    pixels: Samples = np.empty((bottom - top, width, samples), packing.stored) if room is None else room
    rows = pixels.reshape(bottom - top, -1).view(np.uint8)
    failed = []
    for number, (window, data) in enumerate(strips):
        out = rows[window.y0 - top : window.y1 - top].reshape(-1)
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


def groups[T](pieces: Sequence[tuple[T, Window]], row_bytes: int) -> Iterator[list[T]]:
    """Strips that lie below each other, in groups of about a mebibyte."""
    group: list[T] = []
    top = bottom = 0
    for item, window in pieces:
        if group and (window.y0 != bottom or (window.y1 - top) * row_bytes > GROUP):
            yield group
            group = []
        if not group:
            top = window.y0
        group.append(item)
        bottom = window.y1
    if group:
        yield group
