"""What the header of a compressed image says. FITS Standard 4.0 section 10.1."""

import math
from dataclasses import dataclass
from typing import Literal

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.fits.axes import Axes
from ziggurat.format.fits.cards import Cards
from ziggurat.format.fits.codecs import CODECS, MAX_RICE_BLOCK, Codec
from ziggurat.format.fits.columns import Column, columns, descriptor, number
from ziggurat.format.fits.hdu import Hdu

DITHERS: dict[str, Literal[0, 1, 2]] = {
    "": 0,
    "NONE": 0,
    "NO_DITHER": 0,
    "SUBTRACTIVE_DITHER_1": 1,
    "SUBTRACTIVE_DITHER_2": 2,
}
"""ZQUANTIZ (section 10.2)."""

MAX_PARAMETERS = 99
"""Pairs of ZNAMEn and ZVALn."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """A compressed image's tiles and where their bytes are.

    Attributes:
        tile: lengths of a tile along the image's axes, fastest first.
        grid: numbers of tiles along the axes.
        codec: how tiles are compressed.
        data: column of the compressed tiles.
        gzip: column of tiles that are kept as gzip instead, or None.
        plain: column of tiles that are kept as they are instead, or None.
        scale: ZSCALE, a column or one number for all tiles; None where samples are not quantised.
        zero: ZZERO.
        blank: ZBLANK, a column or one number; None where nothing is undefined.
        dither: 0, 1 or 2 for ZQUANTIZ.
        seed: ZDITHER0.
        table: first byte of the table's rows.
        row: bytes of a row.
        heap: first byte of the heap.
        heap_bytes: its length.
    """

    tile: tuple[int, ...]
    grid: tuple[int, ...]
    codec: Codec
    data: Column
    gzip: Column | None
    plain: Column | None
    scale: Column | float | None
    zero: Column | float
    blank: Column | int | None
    dither: Literal[0, 1, 2]
    seed: int
    table: int
    row: int
    heap: int
    heap_bytes: int

    @property
    def pixels(self) -> int:
        """Samples of a whole tile."""
        return math.prod(self.tile)


def tiling(hdu: Hdu, axes: Axes) -> Tiling:
    """The tiles of a compressed image.

    Raises:
        CorruptImage: if the header contradicts itself.
        UnsupportedFeature: if the compression is none of the standard's.
    """
    cards = hdu.cards
    where = cards.where
    tile = _tile(cards, axes.lengths)
    grid = tuple(-(-length // side) for length, side in zip(axes.lengths, tile, strict=True))
    row, rows = cards.integer("NAXIS1"), cards.integer("NAXIS2")
    if math.prod(grid) > rows:
        raise CorruptImage(f"{where}: the image has {math.prod(grid)} tiles, its table only {rows} rows")
    found = columns(cards)
    if "NULL_PIXEL_MASK" in found:
        raise UnsupportedFeature(f"{where}: masks of undefined samples (NULL_PIXEL_MASK) are not supported")
    data = descriptor(found, "COMPRESSED_DATA", where)
    if data is None:
        raise CorruptImage(f"{where}: the table has no column COMPRESSED_DATA; it holds no compressed image")
    scale = number(found, "ZSCALE", where) or (cards.number("ZSCALE", 1.0) if "ZSCALE" in cards else None)
    method = cards.text("ZQUANTIZ").upper()
    if method not in DITHERS:
        raise UnsupportedFeature(f"{where}: quantisation {method!r:.40} is not supported")
    heap = cards.integer("THEAP", row * rows)
    length = hdu.length - heap
    if heap < row * rows or length < 0:
        raise CorruptImage(f"{where}: the heap begins at byte {heap} of {hdu.length}, the table has {row * rows}")
    return Tiling(
        tile=tile,
        grid=grid,
        codec=_codec(cards, hdu.bitpix, quantised=scale is not None),
        data=data,
        gzip=descriptor(found, "GZIP_COMPRESSED_DATA", where),
        plain=descriptor(found, "UNCOMPRESSED_DATA", where),
        scale=scale if hdu.bitpix < 0 else None,
        zero=number(found, "ZZERO", where) or cards.number("ZZERO", 0.0),
        blank=_blank(cards, found),
        dither=DITHERS[method],
        seed=cards.integer("ZDITHER0", 0),
        table=hdu.start,
        row=row,
        heap=hdu.start + heap,
        heap_bytes=length,
    )


def _tile(cards: Cards, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """ZTILEn, by default rows (section 10.1.1), cut at the image's size."""
    tile = tuple(cards.integer(f"ZTILE{n}", lengths[0] if n == 1 else 1) for n in range(1, len(lengths) + 1))
    if any(side < 1 for side in tile):
        raise CorruptImage(f"{cards.where}: tiles of {tile} samples make no sense")
    return tuple(min(side, length) for side, length in zip(tile, lengths, strict=True))


def _blank(cards: Cards, found: dict[str, Column]) -> Column | int | None:
    column = number(found, "ZBLANK", cards.where)
    if column is not None:
        return column
    for keyword in ("ZBLANK", "BLANK"):
        if keyword in cards:
            return cards.integer(keyword)
    return None


def _codec(cards: Cards, bitpix: int, *, quantised: bool) -> Codec:
    """ZCMPTYPE and its parameters (sections 10.1.2 and 10.4)."""
    name = cards.text("ZCMPTYPE").upper()
    if name not in CODECS:
        raise UnsupportedFeature(f"{cards.where}: compression {name!r:.40} is not one of {', '.join(sorted(CODECS))}")
    lossless = bitpix < 0 and not quantised
    if lossless and name not in {"GZIP_1", "GZIP_2", "NOCOMPRESS"}:
        raise CorruptImage(f"{cards.where}: {name} holds integers, and floats without ZSCALE are none")
    values: dict[str, str] = {}
    for index in range(1, MAX_PARAMETERS + 1):
        if f"ZNAME{index}" not in cards:
            break
        values[cards.text(f"ZNAME{index}").upper()] = f"ZVAL{index}"
    block = cards.integer(values["BLOCKSIZE"]) if "BLOCKSIZE" in values else 32
    width = cards.integer(values["BYTEPIX"]) if "BYTEPIX" in values else 4
    if name.startswith("RICE") and not (1 <= block <= MAX_RICE_BLOCK and width in {1, 2, 4}):
        raise CorruptImage(f"{cards.where}: Rice blocks of {block} samples of {width} bytes make no sense")
    smooth = "SMOOTH" in values and cards.number(values["SMOOTH"], 0) != 0
    shift = 1 << 15 if name == "PLIO_1" and bitpix == 16 and cards.number("BZERO", 0.0) == 1 << 15 else 0  # noqa: PLR2004 - BITPIX
    return Codec(name, block, width, smooth=smooth, shift=shift, lossless_floats=lossless)
