"""A small valid codestream that decodes to a window of a level of one tile.

Only the code-blocks that the window needs are in it, in new packets around their unchanged bytes: nothing is decoded.
The canvas is cropped with it, so that a decoder's memory follows the window and not the image. Tiles, precincts,
layers, progressions, packed headers and tile-parts of the source make no difference to what comes out: one tile, one
layer, LRCP.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.coding import HIGH_THROUGHPUT
from ziggurat.codestream.compose import Canvas, codestream, coding_of_slice
from ziggurat.codestream.gather import HEADERS, Held, Piece, gather
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.packet_picker import pick
from ziggurat.codestream.packet_writer import PacketWriter
from ziggurat.codestream.packets import Column, Grid, Picked, Slots, column, zeros
from ziggurat.codestream.partition import Partition, Rect, Resolution, ranges
from ziggurat.codestream.passes import PlanesLeftOut, Sparing
from ziggurat.codestream.precincts import Known, read_precincts
from ziggurat.codestream.reads import Reads, together
from ziggurat.codestream.select import Selection, canvas_rect, select, with_transform
from ziggurat.codestream.tile_index import TileIndex
from ziggurat.codestream.whole import Slice, area_of, grid_at, is_whole, whole_tiles
from ziggurat.errors import CorruptImage, UnsupportedFeature

_log = logging.getLogger(__name__)

_ALL_PASSES = 255


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


def slice_block(
    index: CodestreamIndex, level: int, wanted: Mapping[int, Mapping[int, Rect]], sparing: Sparing | None = None
) -> Reads[list[Slice]]:
    """Makes the codestreams of a rectangle of tiles: a single one where all of each is wanted and they are coded alike.

    Args:
        index: of the codestream.
        level: finest resolutions that are left out.
        wanted: samples by tile, row by row, and component.
        sparing: which bit-planes do not matter, by how a tile is coded.

    Raises:
        CorruptImage: see ``slice_tile``.
        UnsupportedFeature: see ``slice_tile``.
    """
    if sparing is not None:
        return (
            yield from together([_spared(index, number, level, rects, sparing) for number, rects in wanted.items()])
        )
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


def _spared(
    index: CodestreamIndex, number: int, level: int, wanted: Mapping[int, Rect], sparing: Sparing
) -> Reads[Slice]:
    tile = yield from index.tile(number)
    return (yield from slice_tile(index, number, level, wanted, leave_out=sparing(tile.coding)))


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
    known = yield from read_precincts(tile, selected, held)
    divided = Partition(canvas.siz, canvas.coding, rect)
    packets = _Packets(tile, divided, leave_out)
    order = sorted(
        (number, position) for position, inner in enumerate(divided.components) for number in range(len(inner))
    )
    of = {(item.component, item.number): (item, said) for item, said in zip(selected, known, strict=True)}
    for number, position in order:
        packets.add(position, number, *of[components[position], number])
    held.add(HEADERS, bytes(packets.headers))
    (body,) = yield from gather([packets.pieces], held, tile.size)
    return Slice(codestream(canvas, index.main, body), canvas, components, area_of(canvas, wanted))


class _Packets:
    """Makes the new packets of a canvas out of the source's.

    Attributes:
        headers: of all of them, at the addresses from ``HEADERS`` on.
        pieces: where headers and bodies lie.
    """

    def __init__(self, tile: TileIndex, divided: Partition, leave_out: PlanesLeftOut | None) -> None:
        self._tile = tile
        self._divided = divided
        self._leave_out = leave_out
        self.headers = bytearray()
        self.pieces: list[Piece] = []

    def add(self, position: int, number: int, selection: Selection, known: Sequence[Known]) -> None:
        """Makes the packets of one resolution of a component."""
        target = self._divided.components[position][number]
        coding = self._tile.coding.components[selection.component]
        slots = _collect(selection, known, self._caps(selection))
        writer = PacketWriter(slots.arrays)
        written = writer.packets(
            _grid(target, range(target.first, target.first + target.precincts), selection), coding.termination
        )
        chosen = np.asarray(written.slots)[: int(written.slot_end[-1]) if target.precincts else 0]
        used = np.asarray(slots.arrays.used)[chosen].astype(np.int64)
        rows = ranges(np.asarray(slots.arrays.first)[chosen], used)
        header_end = np.asarray(written.header_end)
        header_start = np.append(0, header_end)[: len(header_end)]
        # Every header lies before the pieces of its packet.
        first_slot = np.append(0, np.asarray(written.slot_end))[: len(header_end)]
        before = np.append(0, np.cumsum(used))[first_slot]
        offset = np.insert(slots.offset[rows], before, header_start + (HEADERS + len(self.headers)))
        length = np.insert(slots.length[rows], before, header_end - header_start)
        self.headers += written.headers
        self.pieces.append((offset, length))

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


def _bases(selection: Selection) -> tuple[list[int], int]:
    """The first slot of each subband, and how many slots there are: one for every code-block needed, row by row."""
    sizes = [(item.blocks.x1 - item.blocks.x0) * (item.blocks.y1 - item.blocks.y0) for item in selection.bands]
    return [sum(sizes[:place]) for place in range(len(sizes))], sum(sizes)


def _grid(resolution: Resolution, precincts: Sequence[int], selection: Selection) -> Grid:
    """The code-blocks of some precincts, and the slots of those that are needed.

    Args:
        resolution: the precincts', of the source or of what is made of it.
        precincts: their numbers.
        selection: what is needed.
    """
    bands = resolution.bands
    row, col = np.divmod(np.asarray(precincts, np.int64) - resolution.first, max(resolution.wide, 1))
    return Grid(
        bands=len(bands),
        wide=resolution.wide,
        high=resolution.high,
        row=column(row, "i4"),
        column=column(col, "i4"),
        x=column(np.ravel([band.columns.first for band in bands]), "i8"),
        width=column(np.ravel([band.columns.count for band in bands]), "i8"),
        y=column(np.ravel([band.rows.first for band in bands]), "i8"),
        height=column(np.ravel([band.rows.count for band in bands]), "i8"),
        needed=column(np.ravel([item.blocks for item in selection.bands]), "i8"),
        base=column(_bases(selection)[0], "i8"),
    )


@dataclass(frozen=True, slots=True)
class _Slots:
    """The code-blocks needed of a resolution, one slot each, subband by subband in raster order.

    Attributes:
        arrays: for the writer.
        offset, length: of every record, in the source's file.
    """

    arrays: Slots
    offset: NDArray[np.int64]
    length: NDArray[np.int64]


def _collect(selection: Selection, known: Sequence[Known], caps: Sequence[int | None]) -> _Slots:
    """All records of the code-blocks needed, sorted by slot, in the order of the layers within each."""
    bases, count = _bases(selection)
    planes = zeros(max(count, 1), "u1")
    found = [_picked(selection, item, planes) for item in known if item.precincts]
    slot, passes, length, offset = (
        (np.concatenate(values) for values in zip(*found, strict=True))
        if found
        else (np.zeros(0, np.int64) for _ in range(4))
    )
    order = np.argsort(slot, kind="stable")
    first = np.searchsorted(slot[order], np.arange(count + 1))
    cap = np.full(max(count, 1), _ALL_PASSES, np.uint8)
    for base, end, limit in zip(bases, [*bases[1:], count], caps, strict=True):
        if limit is not None:
            kept = limit - np.asarray(planes)[base:end].astype(np.int64)
            cap[base:end] = np.clip(3 * kept - 2, 0, _ALL_PASSES)
    arrays = Slots(
        planes=planes,
        cap=column(cap, "u1"),
        first=column(first, "i8"),
        passes=column(passes[order], "u1"),
        length=column(length[order], "u4"),
        used=zeros(max(count, 1), "u4"),
    )
    return _Slots(arrays, offset[order], length[order].astype(np.int64))


def _picked(selection: Selection, known: Known, planes: Column) -> tuple[NDArray[np.generic], ...]:
    """Slot, passes, length and offset of the records of some precincts that are needed."""
    insides = known.insides
    most = int(np.sum(np.asarray(insides.record_last) - np.asarray(insides.record_first)))
    out = Picked(planes, zeros(most, "i8"), zeros(most, "u1"), zeros(most, "u4"), zeros(most, "i8"))
    count = pick(_grid(selection.resolution, known.precincts, selection), insides, out)
    return tuple(np.asarray(values)[:count] for values in (out.slot, out.passes, out.length, out.offset))
