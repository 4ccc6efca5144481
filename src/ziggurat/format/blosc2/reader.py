"""Opens an array by its frame's header and reads windows by the blocks that they touch."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.blosc2 import HEADER, Chunk, block_spans, parse_chunk
from ziggurat.codec.threads import decoding_threads, side_by_side
from ziggurat.errors import CorruptImage
from ziggurat.format.blosc2.axes import Axes, arrange
from ziggurat.format.blosc2.blocks import Cell, Touched, decode_blocks, decode_whole, touched
from ziggurat.format.blosc2.frame import Frame, filled, read_frame, read_offsets
from ziggurat.format.blosc2.metalayer import NAME, read_notes
from ziggurat.format.foreign import foreign_errors, named
from ziggurat.format.notes import Notes
from ziggurat.format.whole import Header
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, ImageInfo, Level, SampleKind, Samples
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

BATCH = 1 << 25
"""Encoded bytes held at a time: 32 MiB."""

PART = 1 << 22
"""Bytes of pixels that one thread decodes at once, where blocks are smaller: 4 MiB."""

LOOKED_AT = 4096
"""Chunks whose headers and places of blocks are held at a time."""

SCRATCH = 24
"""Bytes for a sample that decoding a JPEG 2000 block takes: wavelet coefficients of 32 bits, and copies."""

_COLOURS = {1: ColourSpace.GREY, 2: ColourSpace.GREY, 3: ColourSpace.RGB, 4: ColourSpace.RGB}
"""What bands of bytes and words are taken for where the file does not say; two and four have opacity."""


def open_reader(source: ByteSource) -> "B2ndReader":
    """Opens an array by the header of its frame.

    Raises:
        CorruptImage: if the header contradicts the format, or the file is shorter than it says.
        UnsupportedFeature: if it is no array of pixels.
    """
    with named(source.url):
        header = Header(source)
        frame = read_frame(header)
        notes = read_notes(frame.metalayers.get(NAME))
        axes = arrange(frame.shape, notes.axes)
        return B2ndReader(source, frame, axes, _describe(frame, axes, notes))


@dataclass(frozen=True, slots=True)
class _Work:
    """Blocks of one chunk that are decoded together.

    Attributes:
        chunk: its header.
        cells: the blocks.
        ranges: their bytes; one, of the whole chunk, where no block can be had alone.
    """

    chunk: Chunk
    cells: tuple[Cell, ...]
    ranges: tuple[ByteRange, ...]

    @property
    def length(self) -> int:
        """Bytes to be read."""
        return sum(item.length for item in self.ranges)


class B2ndReader:
    """One array of a frame. Safe to use from several threads."""

    def __init__(self, source: ByteSource, frame: Frame, axes: Axes, info: ImageInfo) -> None:
        self._source = source
        self._frame = frame
        self._axes = axes
        self._info = info
        self._lock = threading.Lock()
        self._places: NDArray[np.int64] | None = None

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:  # noqa: ARG002 - there is only level 0
        """Pixels of a window, from only the blocks that it touches.

        Returns:
            Array (y, x, band).

        Raises:
            CorruptImage: if a chunk or block lies outside the file or does not decode.
        """
        result: Samples = np.empty((*window.size, self._info.bands), self._info.dtype)
        target = self._as_array(result)
        with foreign_errors(self._source.url), named(self._source.url):
            offsets = self._offsets()
            chunks: list[tuple[int, Touched]] = []
            for item in touched(self._frame, self._axes.box(window)):
                offset = int(offsets[item.index])
                if offset < 0:
                    for cell in item.cells:
                        target[cell.target] = filled(offset, self._frame.dtype)
                    continue
                chunks.append((offset, item))
                if len(chunks) == LOOKED_AT:
                    self._fill(target, chunks)
                    chunks = []
            self._fill(target, chunks)
        return result

    def read_cost(self, level: int, window: Window) -> int:  # noqa: ARG002 - there is only level 0
        """Bytes of the window, of what is read for it and of the blocks that are decoded side by side."""
        frame, size = self._frame, window.size
        itemsize = frame.dtype.itemsize
        result = size.pixels * self._info.bands * itemsize
        block, whole = frame.block_bytes, frame.block_bytes * frame.blocks
        held = min(BATCH + whole, 2 * result + whole)
        # Where blocks cannot be had alone, a chunk is there packed, unpacked and as the library's blocks.
        decoding = max(2 * whole, max(PART, block) * (2 + SCRATCH // itemsize))
        return result + held + decoding * decoding_threads() + 8 * frame.chunks

    def _offsets(self) -> NDArray[np.int64]:
        with self._lock:
            if self._places is None:
                self._places = read_offsets(Header(self._source), self._frame)
            return self._places

    def _as_array(self, result: Samples) -> Samples:
        """The pixels seen with the axes of the array, of which those that are not seen have one sample."""
        seen = result if self._axes.band is not None else result[:, :, 0]
        order = self._axes.order
        seen = seen.reshape((1,) * (len(order) - seen.ndim) + seen.shape)
        return seen.transpose(np.argsort(order))

    def _fill(self, target: Samples, chunks: Sequence[tuple[int, Touched]]) -> None:
        frame = self._frame
        end = frame.header + frame.packed
        heads = self._source.read_ranges(
            [ByteRange(at, min(end, at + HEADER + max(8, 4 * frame.blocks))) for at, _ in chunks]
        )
        batch: list[_Work] = []
        held = 0
        for (at, item), head in zip(chunks, heads, strict=True):
            for work in self._works(at, item, head):
                if batch and held + work.length > BATCH:
                    self._decode(target, batch)
                    batch, held = [], 0
                batch.append(work)
                held += work.length
        self._decode(target, batch)

    def _works(self, at: int, item: Touched, head: bytes) -> Iterator[_Work]:
        frame = self._frame
        chunk = parse_chunk(head)
        if chunk.blocksize != frame.block_bytes or chunk.nbytes != frame.block_bytes * frame.blocks:
            raise CorruptImage(
                f"the chunk at byte {at} has {chunk.nbytes} bytes in blocks of {chunk.blocksize}, the header "
                f"declares {frame.block_bytes * frame.blocks} in blocks of {frame.block_bytes}"
            )
        if at + chunk.cbytes > frame.header + frame.packed:
            raise CorruptImage(f"the chunk at byte {at} has {chunk.cbytes} bytes, which leave the frame")
        if chunk.whole and not chunk.special and not chunk.stored:
            yield _Work(chunk, item.cells, (ByteRange(at, at + chunk.cbytes),))
            return
        if chunk.special:
            value = (HEADER, chunk.cbytes)
            if chunk.cbytes > HEADER + 8:
                raise CorruptImage(f"the chunk at byte {at} is one value of {chunk.cbytes - HEADER} bytes")
            spans = [value] * chunk.blocks
        else:
            spans = block_spans(chunk, head[HEADER:])
        step = max(1, PART // frame.block_bytes)
        for first in range(0, len(item.cells), step):
            cells = item.cells[first : first + step]
            found = (spans[cell.index] for cell in cells)
            yield _Work(chunk, cells, tuple(ByteRange(at + start, at + stop) for start, stop in found))

    def _decode(self, target: Samples, works: Sequence[_Work]) -> None:
        parts = iter(self._source.read_ranges([item for work in works for item in work.ranges]))
        held = [(work, [next(parts) for _ in work.ranges]) for work in works]
        side_by_side(partial(self._place, target), held, decoding_threads())

    def _place(self, target: Samples, item: tuple[_Work, list[bytes]]) -> None:
        work, parts = item
        if len(work.ranges) == 1 and work.chunk.whole and not work.chunk.special and not work.chunk.stored:
            blocks = decode_whole(self._frame, parts[0], [cell.index for cell in work.cells])
        else:
            blocks = decode_blocks(self._frame, work.chunk, parts)
        for cell, block in zip(work.cells, blocks, strict=True):
            target[cell.target] = block[cell.source]


def _describe(frame: Frame, axes: Axes, notes: Notes) -> ImageInfo:
    dtype = frame.dtype.newbyteorder("=")
    bits = 8 * dtype.itemsize
    kind: SampleKind = "unsigned" if dtype.kind == "u" else "signed" if dtype.kind == "i" else "float"
    depth = bits if notes.bit_depth is None or kind == "float" else notes.bit_depth
    if not 1 <= depth <= bits:
        raise CorruptImage(f"the metalayer ziggurat declares {depth} bits for samples of {bits}")
    bands = axes.bands
    alpha, space = notes.alpha, notes.colour_space
    if alpha is not None and bands == 1:
        raise CorruptImage("the metalayer ziggurat declares opacity for a single band")
    if space is None:
        # Bands of planes are no colours, nor are those of measurements.
        pixels = axes.band is None or axes.band > axes.x
        space = _COLOURS.get(bands, ColourSpace.UNKNOWN) if pixels and kind == "unsigned" else ColourSpace.UNKNOWN
        space = ColourSpace.GREY if bands == 1 else space
        alpha = "straight" if space is not ColourSpace.UNKNOWN and bands in {2, 4} else alpha
    elif space.bands not in {None, bands - (alpha is not None)}:
        space = ColourSpace.UNKNOWN
    return ImageInfo(
        format="b2nd",
        levels=(Level(axes.size, _tile(frame, axes)),),
        bands=bands,
        dtype=dtype.name,
        bit_depth=depth,
        kind=kind,
        colour_space=space,
        alpha=alpha,
        icc=notes.icc,
        resolution=notes.resolution,
        metadata=notes.metadata,
        details={"b2nd": {"shape": frame.shape, "chunk": frame.chunk, "block": frame.block}},
    )


def _tile(frame: Frame, axes: Axes) -> Size:
    """A block, or a chunk where blocks do not fill it: their grid begins anew in every chunk."""
    regular = all(
        frame.chunk[axis] % frame.block[axis] == 0 or frame.chunk_grid[axis] == 1 for axis in (axes.y, axes.x)
    )
    unit = frame.block if regular else frame.chunk
    return Size(unit[axes.y], unit[axes.x])
