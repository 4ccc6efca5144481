"""Decoding a window tile by tile, each from a codestream that holds what the window needs and nothing else."""

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import cast

import numpy as np

from ziggurat.codec.openjpeg import Decoded, Plane
from ziggurat.codec.threads import decoding_threads
from ziggurat.codestream.coding import main_coding
from ziggurat.codestream.compose import Canvas
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.index_file import Identity, dump, dump_tile, identity, load
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.partition import Rect, shrunk, tile_rect
from ziggurat.codestream.passes import Sparing
from ziggurat.codestream.reads import Reads, Span, together
from ziggurat.codestream.segments import Siz
from ziggurat.codestream.slice import slice_block
from ziggurat.codestream.whole import Slice
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.jpeg2000.decode import decode_slice
from ziggurat.format.jpeg2000.grid import Grid, sample_span
from ziggurat.format.shelf import Shelf
from ziggurat.geometry import Window
from ziggurat.limited import limited
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

_log = logging.getLogger(__name__)

FEW_PIXELS = 1 << 16
"""Pixels up to which starting threads takes longer than they save."""

GROUP_SAMPLES = 1 << 24
"""Samples of the tiles whose bytes are fetched in one batch, if more than one."""

BLOCK_SAMPLES = 1 << 19
"""Samples of tiles that are decoded in one go, if more than one: small ones cost more to set up than to decode."""


@dataclass(frozen=True, slots=True)
class TileTask:
    """One tile of a window: the samples wanted of each component, on its grid at the level."""

    number: int
    wanted: dict[int, Rect]

    @property
    def samples(self) -> int:
        """How many they are."""
        return sum((rect.x1 - rect.x0) * (rect.y1 - rect.y0) for rect in self.wanted.values())


def drive[T](reads: Reads[T], source: ByteSource) -> T:
    """Runs a generator that asks for bytes, over a source."""
    try:
        spans = next(reads)
        while True:
            spans = reads.send(source.read_ranges([_within(span, source.size) for span in spans]))
    except StopIteration as done:
        result: T = done.value
        return result


def _within(span: Span, size: int) -> ByteRange:
    start = min(span.start, size)
    return ByteRange(start, max(start, min(span.end, size)))


class WindowDecoder:
    """Decodes windows of one codestream. Safe to use from several threads.

    Args:
        source: the file.
        main: the codestream's main header.
        head: its bytes.
        span: where the codestream lies; beyond the end of a file that is cut short.
    """

    def __init__(self, source: ByteSource, main: MainHeader, head: bytes, span: Span) -> None:
        self._source = source
        self._main = main
        self._head = head
        self._span = span
        self._lock = threading.Lock()
        self._index: CodestreamIndex | None = None
        self._identity: Identity | None = None
        self._stored: Mapping[int, bytes] = {}
        self._kept = 0
        self._sparing: Sparing | None = None
        self.shelf: Shelf | None = None

    @property
    def index(self) -> CodestreamIndex:
        """The codestream's index, made when first asked for."""
        if self._index is None:
            head, source = self._head, self._source
            self._identity = identity(source.size, source.version.tag, head, self._span)
            self._stored = {} if self.shelf is None else _stored(self.shelf, self._identity)
            self._index = CodestreamIndex(self._main, head, self._span, source.size, self._stored)
        return self._index

    def spared(self, sparing: Sparing) -> "WindowDecoder":
        """One of the same codestream, with the same index, that leaves out bit-planes."""
        with self._lock:
            other = copy(self)
            other._index, other._sparing = self.index, sparing  # noqa: SLF001 - of this class
        return other

    def make_index(self) -> bytes:
        """The complete index, see ``codestream.index_file``.

        Raises:
            CorruptImage: if the codestream is damaged.
            UnsupportedFeature: if it cannot be taken apart.
        """
        with self._lock:
            index = self.index
            found = drive(index.parts(), self._source)
            tiles = {number: dump_tile(drive(index.complete(number), self._source)) for number in sorted(found)}
            return dump(cast("Identity", self._identity), tiles)

    def _keep(self, index: CodestreamIndex) -> None:
        """Keeps what was found out, each time that it has doubled."""
        if self.shelf is None or self.shelf.cache is None:
            return
        walked = index.walked()
        if len(walked) >= 2 * self._kept and len(walked) > self._kept:
            self._kept = len(walked)
            tiles = {number: dump_tile(tile) for number, tile in walked.items()}
            self.shelf.keep(dump(cast("Identity", self._identity), {**self._stored, **tiles}))

    def planes(self, level: int, window: Window, components: Sequence[int]) -> tuple[dict[int, Plane], list[str]]:
        """The samples of a window.

        Args:
            level: finest resolutions that are left out.
            window: on the pixel grid of that level.
            components: numbers of the components wanted.

        Returns:
            A plane a component, which holds at least the samples of the window's pixels, and the decoder's remarks.

        Raises:
            CorruptImage: if the codestream is damaged there.
        """
        siz = self._main.siz
        wanted = {component: component_rect(siz, component, level, window) for component in components}
        tasks = list(tile_tasks(siz, level, wanted))
        planes: dict[int, Plane] = {}
        remarks: list[str] = []
        if len(tasks) > 1:
            planes = {component: _empty(siz, component, rect) for component, rect in wanted.items()}
        for group in limited(tasks, _samples, GROUP_SAMPLES):
            for numbers, decoded in self._decoded(self.slices(level, group), tiles=len(tasks)):
                remarks += decoded.warnings
                found = dict(zip(numbers, decoded.planes, strict=True))
                if len(tasks) == 1:
                    return {component: found[component] for component in wanted}, remarks
                for component, target in planes.items():
                    if component in found:
                        _paste(target, found[component])
        return planes, remarks

    def _decoded(self, slices: Iterator[Slice], *, tiles: int) -> Iterator[tuple[Sequence[int], Decoded]]:
        """Slices decoded, in their order: several tiles side by side, a single one by as many threads."""
        threads = decoding_threads()
        if tiles == 1 or threads == 1:
            for made in slices:
                area = (made.area.x1 - made.area.x0) * (made.area.y1 - made.area.y0)
                worth = threads if area > FEW_PIXELS else 1
                yield made.components, decode_slice(made, self._main, threads=worth)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="ziggurat-decode") as pool:
            # As many as decode at once are under way, so that no decoded ones gather.
            under_way: deque[tuple[Sequence[int], Future[Decoded]]] = deque()
            for made in slices:
                under_way.append((made.components, pool.submit(decode_slice, made, self._main)))
                if len(under_way) == threads:
                    number, future = under_way.popleft()
                    yield number, future.result()
            for number, future in under_way:
                yield number, future.result()

    def slices(self, level: int, group: Sequence[TileTask]) -> Iterator[Slice]:
        """The codestreams of some tiles of a window, whose bytes are read in one go."""
        if self._main.part_2:
            yield self._everything()
            return
        with self._lock:
            index = self.index
            if not all(index.knows(task.number) for task in group):
                drive(index.parts(), self._source)
            wanted = [{task.number: task.wanted for task in block} for block in _blocks(self._main.siz, group)]
            found = drive(together([slice_block(index, level, of, self._sparing) for of in wanted]), self._source)
            self._keep(index)
        made = [item for items in found for item in items]
        del found
        made.reverse()
        while made:
            yield made.pop()

    def _everything(self) -> Slice:
        """The whole codestream as it is: nobody here can take one of Part 2 apart."""
        main = self._main
        if main.siz.tiles > 1:
            raise UnsupportedFeature("a codestream of ISO/IEC 15444-2 in several tiles is not read")
        rect = tile_rect(main.siz, 0)
        canvas = Canvas(rect, main.siz.components, main_coding(main))
        data = self._source.read_ranges([_within(self._span, self._source.size)])[0]
        return Slice(data, canvas, tuple(range(len(main.siz.components))), rect)


def _stored(shelf: Shelf, of: Identity) -> Mapping[int, bytes]:
    """The tiles of the first index that lies ready and is of this file."""
    for place, data in shelf.found():
        try:
            return load(data, of)
        except CorruptImage as error:
            if place == shelf.place:
                raise CorruptImage(f"{place}: {error}") from error
            _log.info("%s is not used: %s", place, error)
    return {}


def component_rect(siz: Siz, component: int, level: int, window: Window) -> Rect:
    """The samples of a component that the pixels of a window take, on the component's grid at the level."""
    grid = Grid.of(siz)
    item = siz.components[component]
    oy, ox = grid.origin(level)
    whole = shrunk(Rect(siz.x0, siz.y0, siz.x1, siz.y1), item.dx, item.dy, level)
    x0, x1 = sample_span(range(window.x0 + ox, window.x1 + ox), (whole.x0, whole.x1), fine=grid.dx, coarse=item.dx)
    y0, y1 = sample_span(range(window.y0 + oy, window.y1 + oy), (whole.y0, whole.y1), fine=grid.dy, coarse=item.dy)
    return Rect(x0, y0, x1, y1)


def tile_tasks(siz: Siz, level: int, wanted: dict[int, Rect]) -> Iterator[TileTask]:
    """The tiles that hold the samples wanted, in their order."""
    pairs = [(siz.components[component], rect) for component, rect in wanted.items()]
    x0 = min(max(siz.x0, ((rect.x0 - 1) * item.dx << level) + 1) for item, rect in pairs)
    y0 = min(max(siz.y0, ((rect.y0 - 1) * item.dy << level) + 1) for item, rect in pairs)
    x1 = max((((rect.x1 - 1) * item.dx) << level) + 1 for item, rect in pairs)
    y1 = max((((rect.y1 - 1) * item.dy) << level) + 1 for item, rect in pairs)
    columns = range((x0 - siz.tile_x0) // siz.tile_width, -(-(x1 - siz.tile_x0) // siz.tile_width))
    rows = range((y0 - siz.tile_y0) // siz.tile_height, -(-(y1 - siz.tile_y0) // siz.tile_height))
    for row in rows:
        for column in columns:
            if not (0 <= row < siz.tiles_down and 0 <= column < siz.tiles_across):
                continue
            number = row * siz.tiles_across + column
            rect = tile_rect(siz, number)
            inside = {}
            for component, samples in wanted.items():
                item = siz.components[component]
                common = shrunk(rect, item.dx, item.dy, level).intersect(samples)
                if not common.empty:
                    inside[component] = common
            if inside:
                yield TileTask(number, inside)


def _samples(task: TileTask) -> int:
    return task.samples


def _blocks(siz: Siz, group: Sequence[TileTask]) -> Iterator[list[TileTask]]:
    """Rectangles of neighbouring tiles, none of many samples."""
    rows: list[list[TileTask]] = []
    for task in group:
        if not rows or task.number != rows[-1][-1].number + 1 or task.number % siz.tiles_across == 0:
            rows.append([])
        rows[-1].append(task)
    block: list[TileTask] = []
    held = 0
    for row in rows:
        for run in limited(row, _samples, BLOCK_SAMPLES):
            below = bool(block) and len(run) == len(row) and _continues(siz, block, run)
            samples = sum(map(_samples, run))
            if not below or held + samples > BLOCK_SAMPLES:
                if block:
                    yield block
                block, held = [], 0
            block += run
            held += samples
    if block:
        yield block


def _continues(siz: Siz, block: Sequence[TileTask], run: Sequence[TileTask]) -> bool:
    """Whether a run of tiles lies right below a rectangle and is as wide."""
    above = block[-len(run) :]
    rectangle = len(block) % len(run) == 0 and block[0].number % siz.tiles_across == run[0].number % siz.tiles_across
    return rectangle and above[0].number + siz.tiles_across == run[0].number


def _empty(siz: Siz, component: int, rect: Rect) -> Plane:
    item = siz.components[component]
    data = np.empty((rect.y1 - rect.y0, rect.x1 - rect.x0), np.int32)
    return Plane(data, item.depth, item.signed, item.dx, item.dy, rect.x0, rect.y0)


def _paste(target: Plane, plane: Plane) -> None:
    """Copies what a decoded plane has of another."""
    height, width = plane.data.shape
    y0, x0 = max(target.y0, plane.y0), max(target.x0, plane.x0)
    y1 = min(target.y0 + target.data.shape[0], plane.y0 + height)
    x1 = min(target.x0 + target.data.shape[1], plane.x0 + width)
    if y0 < y1 and x0 < x1:
        target.data[y0 - target.y0 : y1 - target.y0, x0 - target.x0 : x1 - target.x0] = plane.data[
            y0 - plane.y0 : y1 - plane.y0, x0 - plane.x0 : x1 - plane.x0
        ]
