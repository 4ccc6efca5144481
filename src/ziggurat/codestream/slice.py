"""A small valid codestream that decodes to a window of a level of one tile.

Only the code-blocks that the window needs are in it, in new packets around their unchanged bytes: nothing is decoded.
The canvas is cropped with it, so that a decoder's memory follows the window and not the image. Tiles, precincts,
layers, progressions, packed headers and tile-parts of the source make no difference to what comes out: one tile, one
layer, LRCP.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import HIGH_THROUGHPUT
from ziggurat.codestream.compose import Canvas, codestream, coding_of_slice
from ziggurat.codestream.gather import Held, Piece, gather
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.packet_writer import PacketWriter
from ziggurat.codestream.packets import Slots, column, zeros
from ziggurat.codestream.partition import Partition, Rect, Resolution
from ziggurat.codestream.precincts import read_precincts
from ziggurat.codestream.reads import Reads, together
from ziggurat.codestream.select import Selection, canvas_rect, select, with_transform
from ziggurat.codestream.tile_index import Parsed, TileIndex
from ziggurat.codestream.whole import Slice, area_of, grid_at, is_whole, whole_tiles
from ziggurat.errors import CorruptImage, UnsupportedFeature

_log = logging.getLogger(__name__)

_ALL_PASSES = 255

type PlanesLeftOut = Callable[[int, int, int], int]
"""Bit-planes to leave out of a subband, by component, decomposition level (1 is the finest) and orientation."""


def slice_tile(
    index: CodestreamIndex,
    number: int,
    level: int,
    wanted: Mapping[int, Rect],
    *,
    leave_out: PlanesLeftOut | None = None,
) -> Reads[Slice]:
    """Makes the codestream of a window of a tile.

    Args:
        index: of the codestream.
        number: of the tile.
        level: finest resolutions that are left out.
        wanted: samples by component, on the component's grid at that level, inside of the tile.
        leave_out: bit-planes that do not matter; None keeps all. HT code-blocks keep all of theirs.

    Raises:
        CorruptImage: if the packets contradict their headers or lie outside of the file.
        UnsupportedFeature: if a component of the tile has fewer levels.
    """
    tile = yield from index.tile(number)
    try:
        return (yield from _slice(index, tile, level, wanted, leave_out))
    except CorruptImage:
        if not tile.listed:
            raise
    # PLT may lie where the packets themselves do not.
    tile = yield from index.tile(number, use_lengths=False)
    return (yield from _slice(index, tile, level, wanted, leave_out))


def slice_block(index: CodestreamIndex, level: int, wanted: Mapping[int, Mapping[int, Rect]]) -> Reads[list[Slice]]:
    """Makes the codestreams of a rectangle of tiles: a single one where all of each is wanted and they are coded alike.

    Args:
        index: of the codestream.
        level: finest resolutions that are left out.
        wanted: samples by tile, row by row, and component.

    Raises:
        CorruptImage: see ``slice_tile``.
        UnsupportedFeature: see ``slice_tile``.
    """
    if len(wanted) > 1 and grid_at(index.main.siz, level, min(wanted)) is not None:
        tiles = yield from together([index.tile(number) for number in wanted])
        alike = all(tile.coding == tiles[0].coding for tile in tiles)
        if alike and all(is_whole(tile, level, rects) for tile, rects in zip(tiles, wanted.values(), strict=True)):
            try:
                return [(yield from whole_tiles(tiles, level, index.main))]
            except CorruptImage:
                # One by one: whether PLT was wrong, and of which tile.
                _log.debug("tiles %s are sliced one by one", list(wanted))
    return (yield from together([slice_tile(index, number, level, rects) for number, rects in wanted.items()]))


def _slice(
    index: CodestreamIndex,
    tile: TileIndex,
    level: int,
    wanted: Mapping[int, Rect],
    leave_out: PlanesLeftOut | None,
) -> Reads[Slice]:
    if level > tile.coding.levels:
        raise UnsupportedFeature(
            f"tile {tile.number} has {tile.coding.levels} decomposition levels; level {level} cannot be had of it"
        )
    if leave_out is None and is_whole(tile, level, wanted):
        return (yield from whole_tiles([tile], level, index.main))
    wanted = with_transform(tile.coding, wanted)
    selected = select(tile.partition, tile.coding, level, wanted)
    rect = canvas_rect(tile.siz, tile.partition, level, selected)
    components = tuple(wanted)
    spacings = tuple(tile.siz.components[component] for component in components)
    canvas = Canvas(rect, spacings, coding_of_slice(tile.coding, components, level))
    held = Held()
    parsed = yield from read_precincts(tile, selected, held)
    divided = Partition(canvas.siz, canvas.coding, rect)
    packets = _Packets(tile, divided, selected, parsed, leave_out)
    order = sorted(
        (number, position) for position, inner in enumerate(divided.components) for number in range(len(inner))
    )
    pieces = []
    for number, position in order:
        pieces += packets.of(position, number, components[position])
    (body,) = yield from gather([pieces], held, tile.size)
    return Slice(codestream(canvas, index.main, body), canvas, components, area_of(canvas, wanted))


class _Packets:
    """Makes the new packets of a canvas out of the source's."""

    def __init__(
        self,
        tile: TileIndex,
        divided: Partition,
        selected: Sequence[Selection],
        parsed: Mapping[int, Parsed],
        leave_out: PlanesLeftOut | None,
    ) -> None:
        self._tile = tile
        self._divided = divided
        self._selected = {(item.component, item.number): item for item in selected}
        self._parsed = parsed
        self._leave_out = leave_out

    def of(self, position: int, number: int, component: int) -> list[Piece]:
        """The packets of one resolution of a component: headers and bodies in turn."""
        selection = self._selected[component, number]
        target = self._divided.components[position][number]
        coding = self._tile.coding.components[component]
        slots = _collect(self._tile, selection, self._parsed, self._caps(selection))
        writer = PacketWriter(slots.arrays)
        pieces: list[Piece] = []
        for precinct in range(target.precincts):
            widths, heights, places = _places(target, selection, slots.bases, precinct)
            header = writer.header(
                column(widths, "i4"), column(heights, "i4"), column(places, "i8"), coding.termination
            )
            pieces.append(header)
            if len(header) > 1 or header != b"\0":
                pieces.append(slots.body(places))
        return pieces

    def _caps(self, selection: Selection) -> list[int | None]:
        """Bit-planes that are coded and kept at most, by subband: what is left of M_b (E-2)."""
        coding = self._tile.coding.components[selection.component]
        if self._leave_out is None or coding.termination == HIGH_THROUGHPUT:
            # The cleanup pass of an HT code-block holds all its planes at once, whatever its zero planes say.
            return [None] * len(selection.bands)
        quantization = coding.quantization
        caps: list[int | None] = []
        for offset, item in enumerate(selection.bands):
            step = 0 if selection.number == 0 else 3 * selection.number - 2 + offset
            if quantization.style == 1:
                exponent = quantization.steps[0][0] - max(0, selection.number - 1)
            else:
                exponent = quantization.steps[min(step, len(quantization.steps) - 1)][0]
            left_out = self._leave_out(selection.component, item.band.depth, item.band.orientation)
            planes = quantization.guard_bits + exponent - 1 + coding.roi
            caps.append(max(0, planes - left_out) if left_out else None)
        return caps


def _places(
    target: Resolution, selection: Selection, bases: Sequence[int], precinct: int
) -> tuple[list[int], list[int], NDArray[np.int64]]:
    """The slot of every code-block of a new precinct, -1 where the window does not need it."""
    row, column = divmod(precinct, target.wide)
    widths, heights, found = [], [], []
    for band, item, base in zip(target.bands, selection.bands, bases, strict=True):
        grid = band.blocks(column, row)
        widths.append(grid.x1 - grid.x0)
        heights.append(grid.y1 - grid.y0)
        places = np.full((grid.y1 - grid.y0, grid.x1 - grid.x0), -1, np.int64)
        common = grid.intersect(item.blocks)
        if not common.empty:
            wide = item.blocks.x1 - item.blocks.x0
            slots = base + np.arange(wide * (item.blocks.y1 - item.blocks.y0)).reshape(-1, wide)
            places[common.y0 - grid.y0 : common.y1 - grid.y0, common.x0 - grid.x0 : common.x1 - grid.x0] = slots[
                common.y0 - item.blocks.y0 : common.y1 - item.blocks.y0,
                common.x0 - item.blocks.x0 : common.x1 - item.blocks.x0,
            ]
        found.append(places.ravel())
    return widths, heights, np.concatenate(found)


@dataclass(frozen=True, slots=True)
class _Slots:
    """The code-blocks needed of a resolution, one slot each, subband by subband in raster order.

    Attributes:
        bases: each subband's first slot.
        arrays: for the writer.
        offset, length: of every record, in the source's file.
    """

    bases: tuple[int, ...]
    arrays: Slots
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def body(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Offsets and lengths of what the packet of these slots holds, in order."""
        chosen = places[places >= 0]
        first = np.asarray(self.arrays.first)[chosen]
        counts = np.asarray(self.arrays.used)[chosen].astype(np.int64)
        rows = ranges(first, counts)
        return self.offset[rows], self.length[rows]


def ranges(first: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers first[i] to first[i] + counts[i], one range behind the other."""
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    made: NDArray[np.int64] = np.arange(total, dtype=np.int64) + np.repeat(first - before, counts)
    return made


def _collect(tile: TileIndex, selection: Selection, parsed: Mapping[int, Parsed], caps: Sequence[int | None]) -> _Slots:
    """All records of the code-blocks needed, sorted by slot, in the order of the layers within each."""
    sizes = [(item.blocks.x1 - item.blocks.x0) * (item.blocks.y1 - item.blocks.y0) for item in selection.bands]
    bases = tuple(int(number) for number in np.cumsum([0, *sizes])[:-1])
    count = sum(sizes)
    planes = np.zeros(max(count, 1), np.uint8)
    found: list[tuple[NDArray[np.int64], ...]] = []
    for precinct in selection.precincts:
        rows = parsed[precinct]
        runs = _runs(tile, selection, bases, precinct)
        planes[ranges(runs.slot, runs.count)] = rows.planes[ranges(runs.block, runs.count)]
        found += [_records(rows, span, runs) for span in pairwise(rows.packet.tolist()) if span[0] < span[1]]
    slot, passes, length, offset = (
        (np.concatenate(column) for column in zip(*found, strict=True))
        if found
        else (np.zeros(0, np.int64) for _ in range(4))
    )
    order = np.argsort(slot, kind="stable")
    first = np.searchsorted(slot[order], np.arange(count + 1))
    cap = np.full(max(count, 1), _ALL_PASSES, np.uint8)
    for base, size, limit in zip(bases, sizes, caps, strict=True):
        if limit is not None:
            kept = limit - planes[base : base + size].astype(np.int64)
            cap[base : base + size] = np.clip(3 * kept - 2, 0, _ALL_PASSES)
    arrays = Slots(
        planes=column(planes, "u1"),
        cap=column(cap, "u1"),
        first=column(first, "i8"),
        passes=column(passes[order], "u1"),
        length=column(length[order], "u4"),
        used=zeros(max(count, 1), "u4"),
    )
    return _Slots(bases, arrays, offset[order], length[order])


@dataclass(frozen=True, slots=True)
class _Runs:
    """Code-blocks of a precinct that are needed, by runs along their rows.

    Attributes:
        block: number of a run's first within the precinct.
        slot: its slot.
        count: length of the run.
    """

    block: NDArray[np.int64]
    slot: NDArray[np.int64]
    count: NDArray[np.int64]


def _runs(tile: TileIndex, selection: Selection, bases: Sequence[int], precinct: int) -> _Runs:
    tables = tile.partition.tables
    first = int(tables.band_first[precinct])
    row, column = divmod(precinct - selection.resolution.first, selection.resolution.wide)
    blocks, slots, counts = [], [], []
    for offset, (item, base) in enumerate(zip(selection.bands, bases, strict=True)):
        grid = item.band.blocks(column, row)
        common = grid.intersect(item.blocks)
        if common.empty:
            continue
        before = int(tables.block_first[first + offset] - tables.block_first[first])
        down = np.arange(common.y0, common.y1, dtype=np.int64)
        blocks.append(before + (down - grid.y0) * (grid.x1 - grid.x0) + common.x0 - grid.x0)
        slots.append(base + (down - item.blocks.y0) * (item.blocks.x1 - item.blocks.x0) + common.x0 - item.blocks.x0)
        counts.append(np.full(len(down), common.x1 - common.x0, np.int64))
    return _Runs(np.concatenate(blocks), np.concatenate(slots), np.concatenate(counts))


def _records(rows: Parsed, span: tuple[int, int], runs: _Runs) -> tuple[NDArray[np.int64], ...]:
    """Slot, passes, length and offset of the records of one packet that are needed."""
    block = rows.block[slice(*span)]
    low = np.searchsorted(block, runs.block)
    counts = np.searchsorted(block, runs.block + runs.count) - low
    chosen = span[0] + ranges(low, counts)
    slot = rows.block[chosen] + np.repeat(runs.slot - runs.block, counts)
    return slot, rows.passes[chosen].astype(np.int64), rows.length[chosen], rows.offset[chosen]
