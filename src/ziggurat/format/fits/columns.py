"""The columns of a compressed image's table. FITS Standard 4.0 sections 7.3.2, 7.3.5 and 10.1.3."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage
from ziggurat.format.fits.cards import Cards

_WIDTHS = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_DTYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_FORM = re.compile(r"(\d{0,9})([LXBIJKAEDCMPQ])([A-Z]?)")

MAX_ROW = 1 << 16
"""Bytes of a table's row: a tile takes a few descriptors and numbers."""

type Rows = NDArray[np.uint8]
"""Rows of the table, axes (row, byte)."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        offset: its first byte in a row.
        code: its TFORM's letter.
        repeat: elements in a row.
        element: the letter of what a descriptor (P, Q) points to, or "".
    """

    offset: int
    code: str
    repeat: int
    element: str

    @property
    def width(self) -> int:
        """Bytes in a row."""
        return -(-self.repeat // 8) if self.code == "X" else self.repeat * _WIDTHS[self.code]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the numbers that a descriptor points to, or of the column's own."""
        return np.dtype(_DTYPES[self.element or self.code])

    def numbers(self, rows: Rows) -> NDArray[np.generic]:
        """One number a row."""
        return self._field(rows, self.dtype)[:, 0]

    def descriptors(self, rows: Rows) -> tuple[list[int], list[int]]:
        """Lengths in bytes and offsets in the heap, one of each a row (section 7.3.5)."""
        pairs = self._field(rows, np.dtype(">i4" if self.code == "P" else ">i8"))
        size = self.dtype.itemsize
        return [int(count) * size for count in pairs[:, 0].tolist()], pairs[:, 1].tolist()

    def _field(self, rows: Rows, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(rows[:, self.offset : self.offset + self.width]).view(dtype)


def columns(cards: Cards) -> dict[str, Column]:
    """The columns by TTYPE, in upper case; the first of each name.

    Raises:
        CorruptImage: if a format is malformed, or the columns are longer than a row.
    """
    found: dict[str, Column] = {}
    offset = 0
    row = cards.integer("NAXIS1")
    for number in range(1, cards.integer("TFIELDS") + 1):
        form = _FORM.match(cards.text(f"TFORM{number}").upper())
        if form is None:
            raise CorruptImage(f"{cards.where}: TFORM{number} is {cards.text(f'TFORM{number}')!r:.40}, no format")
        repeat, code, element = form.groups()
        column = Column(offset, code, int(repeat or 1), element if code in "PQ" else "")
        offset += column.width
        if offset > min(row, MAX_ROW):
            raise CorruptImage(f"{cards.where}: column {number} ends at byte {offset} of rows of {row} bytes")
        found.setdefault(cards.text(f"TTYPE{number}").upper(), column)
    return found


def descriptor(found: dict[str, Column], name: str, where: str) -> Column | None:
    """A column of descriptors, or None where there is none of this name.

    Raises:
        CorruptImage: if the column is of another kind.
    """
    column = found.get(name)
    if column is None:
        return None
    if column.code not in "PQ" or column.repeat != 1 or column.element not in _DTYPES:
        raise CorruptImage(f"{where}: column {name} is no variable-length array of numbers")
    return column


def number(found: dict[str, Column], name: str, where: str) -> Column | None:
    """A column of one number a row, or None where there is none of this name.

    Raises:
        CorruptImage: if the column is of another kind.
    """
    column = found.get(name)
    if column is None:
        return None
    if column.repeat != 1 or column.code not in _DTYPES:
        raise CorruptImage(f"{where}: column {name} does not hold one number a row")
    return column
