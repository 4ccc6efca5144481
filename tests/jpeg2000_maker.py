"""Huge JPEG 2000 files in the time that writing their bytes takes: the code-blocks of a small sample, repeated.

The picture is the sample side by side with itself; only where the wavelet crosses the seams is it not quite. Used by
tests of memory and by benchmarks.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drive import Drive
from ziggurat.codestream.compose import Canvas, main_header, with_wide_precincts
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.insides import walked
from ziggurat.codestream.markers import MainHeader, Marker, parse_main_header
from ziggurat.codestream.packet_writer import PacketWriter
from ziggurat.codestream.packets import Slots
from ziggurat.codestream.partition import Partition, Rect, Resolution
from ziggurat.codestream.reads import Span
from ziggurat.codestream.segments import Progression
from ziggurat.codestream.tile_index import TileIndex, walk_to

EOC = b"\xff\xd9"


def segment(marker: Marker, content: bytes) -> bytes:
    return marker.to_bytes(2) + (len(content) + 2).to_bytes(2) + content


def parsed(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def write_tiled(path: Path, sample: bytes, repeats: int, *, tlm: bool) -> None:
    """A codestream of ``repeats`` x ``repeats`` tiles, each of which is the sample (a codestream of one tile)."""
    main = parsed(sample)
    head = bytearray(sample[: main.length])
    for at in (8, 12):
        side = int.from_bytes(head[at : at + 4])
        head[at : at + 4] = (side * repeats).to_bytes(4)
    part = bytearray(sample[main.length : -2])
    entries = [tile.to_bytes(2) + len(part).to_bytes(4) for tile in range(repeats * repeats)]
    with path.open("wb") as out:
        out.write(head)
        for number, first in enumerate(range(0, len(entries) if tlm else 0, 10_000)):
            out.write(segment(Marker.TLM, bytes([number, 0x60]) + b"".join(entries[first : first + 10_000])))
        for tile in range(repeats * repeats):
            part[4:6] = tile.to_bytes(2)
            out.write(part)
        out.write(EOC)


@dataclass(frozen=True)
class Patterns:
    """The code-blocks of the sample: by component and resolution a list of bands, each a grid of slots."""

    slots: Slots
    bytes: list[bytes]
    grids: dict[tuple[int, int], list[np.ndarray]]


def patterns(sample: bytes) -> tuple[TileIndex, Patterns]:
    main = parsed(sample)
    drive = Drive(sample)
    index = CodestreamIndex(main, sample[: main.length], Span(0, len(sample)), len(sample))
    tile = drive(index.tile(0))
    drive(walk_to(tile, len(tile.order.precinct)))
    planes, passes, bodies, grids = [], [], [], {}
    for component, number, resolution in tile.partition.resolutions():
        said = walked(tile, [resolution.first])
        rows = slice(said.record_first[0], said.record_last[0])
        block, length = np.asarray(said.rows.block)[rows], np.asarray(said.rows.length)[rows].astype(np.int64)
        offset = said.body[0] + np.cumsum(length) - length
        at = said.block_first[0]
        for band in resolution.bands:
            grid = np.full((band.rows.count[0], band.columns.count[0]), -1, np.int64)
            for place in range(grid.size):
                found = np.flatnonzero(block == at + place)
                if len(found):
                    (row,) = found
                    start = int(offset[row])
                    grid.flat[place] = len(bodies)
                    planes.append(said.planes[at + place])
                    passes.append(said.rows.passes[rows.start + row])
                    bodies.append(sample[start : start + int(length[row])])
            grids.setdefault((component, number), []).append(grid)
            at += grid.size
    count = len(bodies)
    slots = Slots(
        planes=array("B", planes),
        cap=array("B", [255] * count),
        first=array("q", range(count + 1)),
        passes=array("B", passes),
        length=array("I", map(len, bodies)),
        used=array("I", bytes(4 * count)),
    )
    return tile, Patterns(slots, bodies, grids)


def write_single(path: Path, sample: bytes, repeats: int, *, precinct: int | None = None, listed: bool = False) -> None:
    """A codestream of one tile, the sample ``repeats`` x ``repeats`` times.

    Args:
        path: file to write.
        sample: a codestream of one tile without precincts, of one layer, whose sides are multiples of the code-blocks'
            at every resolution.
        repeats: how often in each direction.
        precinct: side of the precincts; None is as large as can be.
        listed: with PLT.
    """
    tile, pattern = patterns(sample)
    rect = Rect(0, 0, tile.partition.rect.x1 * repeats, tile.partition.rect.y1 * repeats)
    components = []
    for item in tile.coding.components:
        style = with_wide_precincts(item.style)
        if precinct is not None:
            style = replace(style, precincts=((precinct, precinct),) * (style.levels + 1))
        components.append(replace(item, style=style))
    progression = Progression.LRCP if precinct is None else Progression.RPCL
    coding = replace(tile.coding, components=tuple(components), progression=progression)
    canvas = Canvas(rect, tile.siz.components, coding)
    made = _Maker(Partition(canvas.siz, coding, rect), pattern, canvas)
    with path.open("wb") as out:
        out.write(main_header(canvas, parsed(sample)))
        made.write(out, listed=listed)
        out.write(EOC)


class _Maker:
    def __init__(self, partition: Partition, pattern: Patterns, canvas: Canvas) -> None:
        self._partition = partition
        self._pattern = pattern
        self._canvas = canvas
        self._writer = PacketWriter(pattern.slots)
        self._made: dict[object, list[bytes]] = {}

    def write(self, out, *, listed: bool) -> None:  # noqa: ANN001 - a binary file
        lengths = array("q")
        start = out.tell()
        if listed:
            lengths.extend(sum(map(len, packet)) for packet in self._packets())
        plt = b"".join(_plt(lengths))
        out.write(segment(Marker.SOT, bytes(2) + bytes(4) + b"\0\1") + plt + b"\xff\x93")
        for packet in self._packets():
            out.writelines(packet)
        end = out.tell()
        if end - start < 1 << 32:
            out.seek(start + 6)
            out.write((end - start).to_bytes(4))
            out.seek(end)

    def _packets(self) -> Iterator[list[bytes]]:
        """All packets, in LRCP or RPCL."""
        components = range(len(self._canvas.components))
        for number in range(len(self._partition.components[0])):
            resolution = self._partition.components[0][number]
            if resolution.precincts == 1:
                for component in components:
                    yield self._packet(component, number, resolution, 0, 0)
                continue
            for row in range(resolution.high):
                for column in range(resolution.wide):
                    for component in components:
                        yield self._packet(component, number, resolution, row, column)

    def _packet(self, component: int, number: int, resolution: Resolution, row: int, column: int) -> list[bytes]:
        grids = self._pattern.grids[component, number]
        rects = [band.blocks(column, row) for band in resolution.bands]
        key = (
            component,
            number,
            *(
                (r.x0 % g.shape[1], r.y0 % g.shape[0], r.x1 - r.x0, r.y1 - r.y0)
                for r, g in zip(rects, grids, strict=True)
            ),
        )
        found = self._made.get(key)
        if found is not None:
            return found
        places = [
            grid[
                np.arange(rect.y0, rect.y1)[:, None] % grid.shape[0], np.arange(rect.x0, rect.x1)[None] % grid.shape[1]
            ]
            for grid, rect in zip(grids, rects, strict=True)
        ]
        flat = np.concatenate([item.ravel() for item in places])
        column_places = array("q")
        column_places.frombytes(flat.tobytes())
        header = self._writer.header(
            array("i", [r.x1 - r.x0 for r in rects]), array("i", [r.y1 - r.y0 for r in rects]), column_places, 0
        )
        bodies = self._pattern.bytes
        made = [header, *(bodies[slot] for slot in flat.tolist() if slot >= 0)]
        if len(flat) < 10_000:
            made = [b"".join(made)]
            self._made[key] = made
        return made


def _plt(lengths: "array[int]") -> Iterator[bytes]:
    content, number = bytearray(), 0
    for length in lengths:
        digits = [length & 127]
        while length := length >> 7:
            digits.append(length & 127 | 128)
        content += bytes(reversed(digits))
        if len(content) > 65_000:
            yield segment(Marker.PLT, bytes([number % 256]) + content)
            content, number = bytearray(), number + 1
    if content:
        yield segment(Marker.PLT, bytes([number % 256]) + content)
