"""How a tile is divided: components, resolutions, subbands, precincts, code-blocks (ISO/IEC 15444-1 B.3 to B.9).

All rectangles are half-open. Numbers given to precincts and code-blocks are this package's own: precincts by component,
resolution and raster order; code-blocks by precinct, subband and raster order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.segments import CodingStyle, Siz
from ziggurat.errors import LimitExceeded

MAX_PRECINCTS = 1 << 24
"""Precincts of one tile that are believed: a 10-gigapixel tile in precincts of 128 has two millions."""

MAX_BLOCKS = 1 << 27
"""Code-blocks of one tile that are believed, if it has the bytes for them."""

LL, HL, LH, HH = range(4)


class Rect(NamedTuple):
    """A half-open rectangle on some grid."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def empty(self) -> bool:
        """Whether it holds no point."""
        return self.x0 >= self.x1 or self.y0 >= self.y1

    def intersect(self, other: "Rect") -> "Rect":
        """The common part, perhaps empty."""
        return Rect(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))


def ceil_shift(value: int, shift: int) -> int:
    """Value / 2^shift, rounded up; negative values too."""
    return -(-value >> shift)


def shrunk(rect: Rect, dx: int, dy: int, shift: int = 0) -> Rect:
    """The rectangle on a grid that is coarser by dx, dy and then by 2^shift (B-12, B-14)."""
    return Rect(
        ceil_shift(-(-rect.x0 // dx), shift),
        ceil_shift(-(-rect.y0 // dy), shift),
        ceil_shift(-(-rect.x1 // dx), shift),
        ceil_shift(-(-rect.y1 // dy), shift),
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """The code-blocks of a subband along one axis, precinct by precinct.

    Attributes:
        first: absolute number of the first code-block (its position / its nominal size), by precinct.
        count: how many there are, by precinct; 0 where the precinct holds no sample of the subband.
    """

    first: Sequence[int]
    count: Sequence[int]

    def touching(self, start: int, end: int) -> list[int]:
        """The precincts that hold any of these code-blocks."""
        return [
            number
            for number, (first, count) in enumerate(zip(self.first, self.count, strict=True))
            if count and first < end and first + count > start
        ]


@dataclass(frozen=True, slots=True)
class Band:
    """One subband of a resolution.

    Attributes:
        orientation: LL, HL, LH or HH.
        depth: n_b, its decomposition level.
        rect: its samples, on its own grid (B-15).
        block_x, block_y: exponents of the nominal size of its code-blocks (B-17, B-18).
        columns, rows: its code-blocks by columns and rows of precincts.
    """

    orientation: int
    depth: int
    rect: Rect
    block_x: int
    block_y: int
    columns: Axis
    rows: Axis

    def blocks(self, precinct_column: int, precinct_row: int) -> Rect:
        """Absolute numbers of the code-blocks of a precinct; empty where there are none."""
        x0, y0 = self.columns.first[precinct_column], self.rows.first[precinct_row]
        width, height = self.columns.count[precinct_column], self.rows.count[precinct_row]
        return Rect(x0, y0, x0 + width, y0 + height) if width and height else Rect(x0, y0, x0, y0)

    def blocks_in(self, samples: Rect) -> Rect:
        """Absolute numbers of the code-blocks that hold any of these samples of the subband."""
        common = samples.intersect(self.rect)
        if common.empty:
            return Rect(0, 0, 0, 0)
        return Rect(
            common.x0 >> self.block_x,
            common.y0 >> self.block_y,
            ceil_shift(common.x1, self.block_x),
            ceil_shift(common.y1, self.block_y),
        )


@dataclass(frozen=True)
class Resolution:
    """One resolution of a tile-component.

    Attributes:
        style: of the component.
        samples: of the whole tile-component.
        number: 0 is the coarsest.
        rect: its samples (B-14).
        precinct_x, precinct_y: exponents of the size of its precincts.
        wide, high: its precincts (B-16); 0 where it has no samples.
        column, row: absolute number of its first precinct's column and row.
        first: number of its first precinct in the tile.
    """

    style: CodingStyle
    samples: Rect
    number: int
    rect: Rect
    precinct_x: int
    precinct_y: int
    wide: int
    high: int
    column: int
    row: int
    first: int

    @property
    def precincts(self) -> int:
        """How many there are."""
        return self.wide * self.high

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """LL alone for the coarsest, else HL, LH, HH."""
        return tuple(_band(self, kind) for kind in ((LL,) if self.number == 0 else (HL, LH, HH)))


class Partition:
    """The division of one tile.

    Args:
        siz: the geometry.
        coding: the tile's.
        rect: the tile on the reference grid.

    Attributes:
        rect: the tile on the reference grid.
        components: resolutions of each component, the coarsest first.
        precincts: how many there are in all.

    Raises:
        LimitExceeded: if there are implausibly many.
    """

    def __init__(self, siz: Siz, coding: TileCoding, rect: Rect) -> None:
        self.rect = rect
        components: list[tuple[Resolution, ...]] = []
        first = 0
        for index, item in enumerate(siz.components):
            style = coding.components[index].style
            samples = shrunk(rect, item.dx, item.dy)
            resolutions: list[Resolution] = []
            for number in range(style.levels + 1):
                resolution = _resolution(style, samples, number, first)
                resolutions.append(resolution)
                first += resolution.precincts
                if first > MAX_PRECINCTS:
                    raise LimitExceeded(
                        f"a tile of {rect.x1 - rect.x0} x {rect.y1 - rect.y0} has more than {MAX_PRECINCTS} precincts; "
                        "its header is not believed"
                    )
            components.append(tuple(resolutions))
        self.components = tuple(components)
        self.precincts = first

    def resolutions(self) -> Iterator[tuple[int, int, Resolution]]:
        """All of them with component and number, in the order of the precincts' numbers."""
        for component, resolutions in enumerate(self.components):
            for number, resolution in enumerate(resolutions):
                yield component, number, resolution

    @cached_property
    def tables(self) -> "Tables":
        """The precincts' code-blocks as flat arrays."""
        return _tables(self)


@dataclass(frozen=True, slots=True)
class Tables:
    """Every subband of every precinct, flat, in the order of the precincts' numbers.

    Attributes:
        band_first: by precinct, index of its first subband in the other arrays; one more at the end.
        width, height: by subband, its code-blocks across and down.
        block_first: by subband, number of its first code-block; one more at the end.
        component: by subband.
    """

    band_first: NDArray[np.int64]
    width: NDArray[np.int16]
    height: NDArray[np.int16]
    block_first: NDArray[np.int64]
    component: NDArray[np.uint16]

    def blocks(self, precinct: int) -> range:
        """Numbers of the code-blocks of a precinct."""
        first, last = self.band_first[precinct], self.band_first[precinct + 1]
        return range(int(self.block_first[first]), int(self.block_first[last]))


def tile_rect(siz: Siz, tile: int) -> Rect:
    """A tile on the reference grid (B-7 to B-10)."""
    row, column = divmod(tile, siz.tiles_across)
    return Rect(
        max(siz.tile_x0 + column * siz.tile_width, siz.x0),
        max(siz.tile_y0 + row * siz.tile_height, siz.y0),
        min(siz.tile_x0 + (column + 1) * siz.tile_width, siz.x1),
        min(siz.tile_y0 + (row + 1) * siz.tile_height, siz.y1),
    )


type Division = tuple[tuple[int, tuple[tuple[int, ...], ...]], ...]
"""How one axis of a tile is divided, by component and resolution: offset of the first precinct from the tile's edge,
and by low- and high-pass subband the code-blocks of every precinct."""

_MANY = 1 << 10
"""Precincts along an axis from which on tiles are not compared: there are few tiles then, or a header lies."""


def division(siz: Siz, coding: TileCoding, span: tuple[int, int], *, across: bool) -> Division | None:
    """How an axis of a tile is divided: tiles alike along both have the same packets in the same order.

    Args:
        siz: the geometry.
        coding: the tile's.
        span: of the tile on the reference grid.
        across: whether it is the columns' axis.

    Returns:
        None where there are too many precincts to compare.
    """
    start, end = span
    found = []
    for item, coded in zip(siz.components, coding.components, strict=True):
        spacing = item.dx if across else item.dy
        low, high = -(-start // spacing), -(-end // spacing)
        style = coded.style
        nominal = (style.block_width if across else style.block_height).bit_length() - 1
        for number, size in enumerate(style.precincts):
            shift = style.levels - number
            exponent = size[1 if across else 0].bit_length() - 1
            x0, x1 = ceil_shift(low, shift), ceil_shift(high, shift)
            first = x0 >> exponent
            precincts = range(first, ceil_shift(x1, exponent) if x1 > x0 else first)
            if len(precincts) > _MANY:
                return None
            depth, inner = (shift, 0) if number == 0 else (shift + 1, 1)
            blocks = []
            for half in (0, 1 << shift)[: 1 + inner]:
                samples = ceil_shift(low - half, depth), ceil_shift(high - half, depth)
                axis = _axis(samples, precincts, exponent - inner, min(nominal, exponent - inner))
                blocks.append(tuple(axis.count))
            offset = (first << (exponent + shift)) * spacing - start
            found.append((max(offset, 0) if len(precincts) <= 1 else offset, tuple(blocks)))
    return tuple(found)


def _resolution(style: CodingStyle, samples: Rect, number: int, first: int) -> Resolution:
    rect = shrunk(samples, 1, 1, style.levels - number)
    height, width = style.precincts[number]
    ppx, ppy = width.bit_length() - 1, height.bit_length() - 1
    column, row = rect.x0 >> ppx, rect.y0 >> ppy
    wide = 0 if rect.empty else ceil_shift(rect.x1, ppx) - column
    high = 0 if rect.empty else ceil_shift(rect.y1, ppy) - row
    return Resolution(style, samples, number, rect, ppx, ppy, wide, high, column, row, first)


def _band(resolution: Resolution, kind: int) -> Band:
    style, number = resolution.style, resolution.number
    depth = style.levels if number == 0 else style.levels - number + 1
    rect = band_rect(resolution.samples, kind, depth)
    # A precinct of a detail subband is half as large as on its resolution's grid (B.7).
    inner = 0 if number == 0 else 1
    ppx, ppy = resolution.precinct_x - inner, resolution.precinct_y - inner
    block_x = min(style.block_width.bit_length() - 1, ppx)
    block_y = min(style.block_height.bit_length() - 1, ppy)
    columns = _axis((rect.x0, rect.x1), range(resolution.column, resolution.column + resolution.wide), ppx, block_x)
    rows = _axis((rect.y0, rect.y1), range(resolution.row, resolution.row + resolution.high), ppy, block_y)
    return Band(kind, depth, rect, block_x, block_y, columns, rows)


def band_rect(samples: Rect, kind: int, depth: int) -> Rect:
    """A subband's samples, from those of its tile-component (B-15)."""
    if depth == 0:
        return samples
    half = 1 << (depth - 1)
    x, y = (half if kind & HL else 0), (half if kind & LH else 0)
    return Rect(
        ceil_shift(samples.x0 - x, depth),
        ceil_shift(samples.y0 - y, depth),
        ceil_shift(samples.x1 - x, depth),
        ceil_shift(samples.y1 - y, depth),
    )


def _axis(span: tuple[int, int], precincts: range, precinct_size: int, block_size: int) -> Axis:
    if len(precincts) == 1:
        low, high = span
        return Axis((low >> block_size,), (-(-high >> block_size) - (low >> block_size) if high > low else 0,))
    firsts, counts = [], []
    for precinct in precincts:
        low = max(precinct << precinct_size, span[0])
        high = min((precinct + 1) << precinct_size, span[1])
        firsts.append(low >> block_size)
        counts.append(ceil_shift(high, block_size) - (low >> block_size) if high > low else 0)
    return Axis(firsts, counts)


def _tables(partition: Partition) -> Tables:
    if all(resolution.precincts <= 1 for _, _, resolution in partition.resolutions()):
        return _single_tables(partition)
    bands, widths, heights, components = [], [], [], []
    for component, _, resolution in partition.resolutions():
        if not resolution.precincts:
            continue
        count = len(resolution.bands)
        across = np.array([band.columns.count for band in resolution.bands], np.int16).T
        down = np.array([band.rows.count for band in resolution.bands], np.int16).T
        shape = (resolution.high, resolution.wide, count)
        width, height = np.broadcast_to(across[None], shape), np.broadcast_to(down[:, None], shape)
        bands.append(np.full(resolution.precincts, count, np.int64))
        widths.append(width.ravel())
        heights.append(height.ravel())
        components.append(np.full(width.size, component, np.uint16))
    return _joined(np.concatenate(bands), np.concatenate(widths), np.concatenate(heights), np.concatenate(components))


def _single_tables(partition: Partition) -> Tables:
    """The same where no resolution is divided, as in most tiles, of which there may be thousands."""
    found = [(component, item) for component, _, item in partition.resolutions() if item.precincts]
    bands = [(band.columns.count[0], band.rows.count[0], component) for component, item in found for band in item.bands]
    table = np.array(bands, np.int64).reshape(len(bands), 3).T
    counts = np.array([len(item.bands) for _, item in found], np.int64)
    return _joined(counts, table[0].astype(np.int16), table[1].astype(np.int16), table[2].astype(np.uint16))


def _joined(
    bands: NDArray[np.int64], width: NDArray[np.int16], height: NDArray[np.int16], component: NDArray[np.uint16]
) -> Tables:
    block_first = _starts(np.multiply(width, height, dtype=np.int64))
    if block_first[-1] > MAX_BLOCKS:
        raise LimitExceeded(f"a tile of {block_first[-1]} code-blocks: its header is not believed")
    return Tables(_starts(bands), width, height, block_first, component)


def ranges(first: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers first[i] to first[i] + counts[i], one range behind the other."""
    before = np.cumsum(counts) - counts
    made: NDArray[np.int64] = np.arange(int(counts.sum()), dtype=np.int64) + np.repeat(first - before, counts)
    return made


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of several runs of these lengths begins, and where the last one ends."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
