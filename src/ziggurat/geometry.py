"""Windows, sizes and the grids of tiles they touch. Pure arithmetic, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from ziggurat.errors import UsageError


class Size(NamedTuple):
    """A height and a width in pixels, in this order everywhere."""

    height: int
    width: int

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def halved(self, times: int) -> "Size":
        """The size after ``times`` halvings that round up, as wavelet levels do."""
        return Size(-(-self.height >> times), -(-self.width >> times))


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels on one level's grid: rows y0 to y1, columns x0 to x1.

    Raises:
        UsageError: if it is empty, reversed or has a negative corner.
    """

    y0: int
    x0: int
    y1: int
    x1: int

    def __post_init__(self) -> None:
        if not (0 <= self.y0 < self.y1 and 0 <= self.x0 < self.x1):
            raise UsageError(
                f"window ({self.y0}, {self.x0}, {self.y1}, {self.x1}) is not 0 <= y0 < y1 and 0 <= x0 < x1"
            )

    @classmethod
    def full(cls, size: Size) -> Self:
        """The window that covers a whole level of this size."""
        return cls(0, 0, size.height, size.width)

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.height, self.width)

    def within(self, size: Size) -> bool:
        """Whether the whole window lies inside a level of this size."""
        return self.y1 <= size.height and self.x1 <= size.width

    def intersect(self, other: "Window") -> "Window | None":
        """The common rectangle, or None where there is none."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        y1, x1 = min(self.y1, other.y1), min(self.x1, other.x1)
        return Window(y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None

    def shifted(self, dy: int, dx: int) -> "Window":
        """The same rectangle moved by (dy, dx)."""
        return Window(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def slices(self) -> tuple[slice, slice]:
        """Index of a (y, x, ...) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


class Tile(NamedTuple):
    """One cell of a tile grid: its row and column in the grid, and the pixels it covers."""

    row: int
    column: int
    window: Window


def tiles_touching(window: Window, tile: Size, level: Size) -> Iterator[Tile]:
    """The tiles of a level's grid that a window touches, row by row.

    Args:
        window: pixels wanted, inside the level.
        tile: height and width of a tile; edge tiles are cut at the level's border.
        level: the level's size.
    """
    for row in range(window.y0 // tile.height, -(-window.y1 // tile.height)):
        for column in range(window.x0 // tile.width, -(-window.x1 // tile.width)):
            y0, x0 = row * tile.height, column * tile.width
            y1, x1 = min(y0 + tile.height, level.height), min(x0 + tile.width, level.width)
            yield Tile(row, column, Window(y0, x0, y1, x1))


def row_bands(size: Size, rows: int) -> Iterator[Window]:
    """Full-width windows of at most ``rows`` rows that cover a level from top to bottom."""
    for y0 in range(0, size.height, rows):
        yield Window(y0, 0, min(y0 + rows, size.height), size.width)
