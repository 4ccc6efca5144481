"""FITS files of images, from headers that are text already. FITS Standard 4.0 sections 3 and 4, checksums appendix J.

Thousands of cutouts share most of their header: astropy would check and format every card of every one of them again,
which takes ten times as long as reading the pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from astropy.io.fits import Card

from ziggurat.format.fits.blocks import padded
from ziggurat.sky.images import Plane

NO_SUM: Final = "0" * 16
"""What stands for the checksum while it is computed."""

_PUNCTUATION: Final = frozenset(range(0x3A, 0x41)) | frozenset(range(0x5B, 0x61))
"""What must not be in a checksum: characters between digits and letters."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One HDU.

    Attributes:
        name: EXTNAME; empty for none.
        cards: of the header without those that say how the data are stored, 80 bytes each.
        data: samples (y, x), float32 or float64; None in a primary HDU without an image.
    """

    name: str
    cards: bytes
    data: Plane | None


# Typed: 1, 1.0 and true are equal, and other cards.
@lru_cache(maxsize=4096, typed=True)
def card(keyword: str, value: str | float, comment: str = "") -> bytes:
    """One card, 80 bytes, or more where the value is long."""
    text: str = Card(keyword, value, comment).image
    return text.encode("ascii")


def fits_file(units: Sequence[Unit]) -> bytes:
    """The bytes of a file, with checksums; the first unit is the primary one."""
    return b"".join(_bytes(unit, primary=index == 0) for index, unit in enumerate(units))


def _bytes(unit: Unit, *, primary: bool) -> bytes:
    data = b"" if unit.data is None else unit.data.astype(unit.data.dtype.newbyteorder(">"), copy=False).tobytes()
    data = data.ljust(padded(len(data)), b"\0")
    total = _sum(data)
    head = _stored(unit, primary=primary) + unit.cards + card("DATASUM", str(total))
    header = head + card("CHECKSUM", NO_SUM)
    whole = (header + b"END").ljust(padded(len(header) + 3))
    summed = _folded(_sum(whole) + total)
    return whole.replace(NO_SUM.encode(), _encoded(0xFFFFFFFF - summed), 1) + data


def _stored(unit: Unit, *, primary: bool) -> bytes:
    """The cards that say how the data are stored (section 4.4.1)."""
    shape = () if unit.data is None else unit.data.shape
    bits = 8 if unit.data is None else -8 * unit.data.dtype.itemsize
    cards = [card("SIMPLE", value=True) if primary else card("XTENSION", "IMAGE")]
    cards += [card("BITPIX", bits), card("NAXIS", len(shape))]
    cards += [card(f"NAXIS{axis}", length) for axis, length in enumerate(reversed(shape), 1)]
    cards += [card("EXTEND", value=True)] if primary else [card("PCOUNT", 0), card("GCOUNT", 1)]
    if unit.name:
        cards.append(card("EXTNAME", unit.name))
    return b"".join(cards)


def _sum(data: bytes) -> int:
    """The sum of 32-bit words in ones' complement; of whole blocks."""
    return _folded(int(np.frombuffer(data, ">u4").sum(dtype=np.uint64)))


def _folded(total: int) -> int:
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> bytes:
    """A sum as sixteen letters and digits whose bytes, in fours, add up to it (appendix J.3)."""
    text = bytearray(16)
    for index, byte in enumerate(value.to_bytes(4, "big")):
        quarter, rest = divmod(byte, 4)
        parts = [quarter + 0x30 + rest, quarter + 0x30, quarter + 0x30, quarter + 0x30]
        # A pair keeps its sum while one goes up and the other down.
        while _PUNCTUATION & set(parts):
            for low in (0, 2):
                if _PUNCTUATION & set(parts[low : low + 2]):
                    parts[low] += 1
                    parts[low + 1] -= 1
        for place, part in enumerate(parts):
            text[4 * place + index] = part
    # The value of a card begins one byte behind a word.
    return bytes(text[-1:] + text[:-1])
