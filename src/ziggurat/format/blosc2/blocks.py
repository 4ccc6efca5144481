"""Which blocks of which chunks a part of an array needs, and what their bytes become. Pure but for decoding."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ziggurat.codec.blosc2 import CODESTREAMS, Chunk, payload, unpack, unpack_blocks
from ziggurat.codestream.fields import Incomplete
from ziggurat.codestream.markers import parse_main_header
from ziggurat.errors import CorruptImage
from ziggurat.format.blosc2.axes import Box
from ziggurat.format.blosc2.frame import Frame
from ziggurat.format.tiff.jpeg2000 import decode_tile
from ziggurat.model import Samples

_START = b"\xff\x4f\xff\x51"
"""SOC and SIZ."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A block that a part of the array touches.

    Attributes:
        index: of the block in its chunk.
        target: its samples in the part.
        source: those samples in the block.
    """

    index: int
    target: Box
    source: Box


@dataclass(frozen=True, slots=True)
class Touched:
    """A chunk that a part of the array touches.

    Attributes:
        index: of the chunk.
        cells: its blocks that are touched.
    """

    index: int
    cells: tuple[Cell, ...]


def touched(frame: Frame, box: Box) -> Iterator[Touched]:
    """The chunks and blocks of a part, in the order of the file."""
    ranges = [range(part.start // side, -(-part.stop // side)) for part, side in zip(box, frame.chunk, strict=True)]
    grid = frame.chunk_grid
    for place in product(*ranges):
        yield Touched(_ravel(place, grid), tuple(_cells(frame, box, place)))


def _cells(frame: Frame, box: Box, place: Sequence[int]) -> Iterator[Cell]:
    corner = [number * side for number, side in zip(place, frame.chunk, strict=True)]
    inside = [
        slice(max(part.start - at, 0), min(part.stop - at, side))
        for part, at, side in zip(box, corner, frame.chunk, strict=True)
    ]
    ranges = [range(part.start // side, -(-part.stop // side)) for part, side in zip(inside, frame.block, strict=True)]
    grid = frame.block_grid
    for block in product(*ranges):
        target, source = [], []
        for number, side, part, at, whole in zip(block, frame.block, inside, corner, box, strict=True):
            start, stop = max(part.start, number * side), min(part.stop, (number + 1) * side)
            target.append(slice(at + start - whole.start, at + stop - whole.start))
            source.append(slice(start - number * side, stop - number * side))
        yield Cell(_ravel(block, grid), tuple(target), tuple(source))


def _ravel(place: Sequence[int], grid: Sequence[int]) -> int:
    index = 0
    for number, count in zip(place, grid, strict=True):
        index = index * count + number
    return index


def decode_whole(frame: Frame, data: bytes, wanted: Sequence[int]) -> Iterator[Samples]:
    """Some blocks of a chunk that has to be unpacked whole.

    Args:
        frame: the array.
        data: the chunk.
        wanted: indexes of the blocks.
    """
    pixels = unpack(data, frame.block_bytes * frame.blocks)
    for index in wanted:
        yield _shaped(frame, pixels[index * frame.block_bytes : (index + 1) * frame.block_bytes])


def decode_blocks(frame: Frame, chunk: Chunk, blocks: Sequence[bytes]) -> Iterator[Samples]:
    """Blocks of a chunk, from their own bytes.

    Args:
        frame: the array.
        chunk: its header.
        blocks: their packed bytes.

    Raises:
        CorruptImage: if one does not decode to a block's samples.
    """
    if chunk.codec in CODESTREAMS and not chunk.stored and not chunk.special:
        for block in blocks:
            yield _from_codestream(frame, payload(block, frame.block_bytes))
        return
    pixels = unpack_blocks(chunk, blocks)
    for at in range(0, len(pixels), frame.block_bytes):
        yield _shaped(frame, pixels[at : at + frame.block_bytes])


def _shaped(frame: Frame, pixels: bytes) -> Samples:
    if len(pixels) != frame.block_bytes:
        raise CorruptImage(f"a block has {len(pixels)} bytes, {frame.block_bytes} are expected")
    return np.frombuffer(pixels, frame.dtype).reshape(frame.block)


def _from_codestream(frame: Frame, data: bytes) -> Samples:
    """A block that is a JPEG 2000 file or codestream.

    The plugins lay a block's samples out one by one, and some take height for width: order counts, not shape.
    """
    if len(data) == frame.block_bytes:
        return _shaped(frame, data)
    count = math.prod(frame.block)
    main = parse_main_header(data[max(0, data.find(_START)) :])
    if isinstance(main, Incomplete):
        raise CorruptImage("a block's codestream ends inside the main header")
    siz = main.siz
    declared = (siz.y1 - siz.y0) * (siz.x1 - siz.x0) * len(siz.components)
    if declared != count:
        raise CorruptImage(f"a block's codestream declares {declared} samples, the block has {count}")
    pixels = decode_tile(data, 0)
    if pixels.size != count or pixels.dtype.itemsize != frame.dtype.itemsize:
        raise CorruptImage(f"a block decodes to {pixels.shape} {pixels.dtype} for {frame.block} {frame.dtype}")
    native = frame.dtype.newbyteorder("=")
    return np.ascontiguousarray(pixels).view(native).reshape(frame.block)
