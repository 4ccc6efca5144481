"""The contiguous frame around the chunks: its header, its metalayers, the places of the chunks.

C-Blosc2, README_CFRAME_FORMAT.rst and README_B2ND_METALAYER.rst. A frame is header, chunks, a chunk of the chunks'
64-bit offsets from the header's end, and a trailer. Numbers of its msgpack are big-endian, those of chunks
little-endian.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.blosc2 import HEADER, MAX_BLOCK, MAX_CHUNK, parse_chunk, unpack
from ziggurat.codec.msgpack import Value
from ziggurat.codec.msgpack import unpack as unpack_msgpack
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.whole import Header

MAGIC = b"\x9e\xa8b2frame\0"

MAX_AXES = 8
"""B2ND_MAX_DIM, which C-Blosc2 sets."""

MAX_CHUNKS = 1 << 26
"""Chunks of a file: their offsets take half a gibibyte."""

_FIXED = 87
"""Bytes of the header before its metalayers."""

_FIELDS = 14

ZSTD = 5
"""C-Blosc2's number of zstd; those from 32 on are not its own."""

ZEROS = (0x81 << 56) - (1 << 64)
"""The offset of a chunk of nothing but zeros, which is not stored."""

_VERSION, _NO_SPLIT, _LEVEL, _USER_CODEC, _BITSHUFFLE = 0x12, 2, 1, 6, 2
_DTYPE = re.compile(r"[<>|=]?([ui][1248]|f[248])")


@dataclass(frozen=True, slots=True)
class Frame:
    """An array as its header describes it.

    Attributes:
        header: bytes of the header; offsets count from there.
        packed: bytes of all chunks; the offsets lie behind them.
        shape: of the array.
        chunk: shape of a chunk; those at the end are filled up.
        block: shape of a block; the last ones of a chunk are filled up.
        dtype: of the samples, in the file's byte order.
        metalayers: by name, as they lie in the header.
    """

    header: int
    packed: int
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    block: tuple[int, ...]
    dtype: np.dtype[np.generic]
    metalayers: Mapping[bytes, Value]

    @property
    def chunk_grid(self) -> tuple[int, ...]:
        """Chunks along every axis."""
        return tuple(-(-length // chunk) for length, chunk in zip(self.shape, self.chunk, strict=True))

    @property
    def block_grid(self) -> tuple[int, ...]:
        """Blocks of a chunk along every axis."""
        return tuple(-(-chunk // block) for chunk, block in zip(self.chunk, self.block, strict=True))

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return math.prod(self.chunk_grid)

    @property
    def blocks(self) -> int:
        """Number of blocks of a chunk."""
        return math.prod(self.block_grid)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block's pixels."""
        return math.prod(self.block) * self.dtype.itemsize


def read_frame(header: Header) -> Frame:
    """Reads the header of a frame and its array's shape.

    Raises:
        CorruptImage: if it contradicts the format, or the file is shorter than it says.
        UnsupportedFeature: if it is no array, or its samples are of no type that pixels have.
    """
    if header.size < _FIXED:
        raise CorruptImage(f"the file ends at byte {header.size}, inside the header of the frame")
    start = header.read(0, _FIXED)
    length, total = struct.unpack_from(">i", start, 11)[0], struct.unpack_from(">Q", start, 16)[0]
    if not start.startswith(MAGIC) or not _FIXED <= length <= total:
        raise CorruptImage(f"the frame's header declares {length} of {total} bytes")
    if total > header.size:
        raise CorruptImage(f"the frame has {total} bytes, the file ends at {header.size}: truncated")
    fields = unpack_msgpack(header.read(0, length))
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise CorruptImage("the frame's header does not have its 14 fields")
    flags, packed = fields[3], fields[5]
    if not isinstance(flags, bytes) or not isinstance(packed, int) or not 0 <= packed <= total - length:
        raise CorruptImage(f"the frame declares {packed!r} bytes of chunks, it has {total - length}")
    if len(flags) != 4 or flags[0] >> 4 != 1 or flags[1]:  # noqa: PLR2004 - bytes of flags
        raise UnsupportedFeature("only contiguous frames of chunks of one size are supported; copy the array")
    metalayers = _metalayers(fields[13])
    if b"b2nd" not in metalayers:
        raise UnsupportedFeature("the frame holds bytes without a shape: it is no array (.b2nd)")
    shape, chunk, block, dtype = _array(metalayers[b"b2nd"])
    found = Frame(length, packed, shape, chunk, block, dtype, metalayers)
    _check(found)
    return found


def _metalayers(field: Value) -> dict[bytes, Value]:
    match field:
        case [int(), dict() as places, list() as contents] if len(places) == len(contents):
            return dict(zip(places, contents, strict=True))
    raise CorruptImage("the frame's metalayers are not as they must be")


def _array(layer: Value) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], np.dtype[np.generic]]:
    fields = unpack_msgpack(layer) if isinstance(layer, bytes) else None
    match fields:
        case [int(), int() as axes, list() as shape, list() as chunk, list() as block, 0, bytes() as dtype]:
            lengths = (_lengths(shape, axes), _lengths(chunk, axes), _lengths(block, axes))
        case _:
            raise CorruptImage("the metalayer b2nd is not as it must be")
    name = dtype.decode("latin-1")
    if _DTYPE.fullmatch(name) is None:
        raise UnsupportedFeature(f"samples of type {name[:40]!r} are no pixels; integers and floats are")
    return (*lengths, np.dtype(name))


def _lengths(values: Sequence[Value], axes: int) -> tuple[int, ...]:
    found = tuple(value for value in values if isinstance(value, int) and 0 < value < 1 << 62)
    if not 0 < len(found) == len(values) == axes <= MAX_AXES:
        raise CorruptImage(f"the metalayer b2nd declares {values} for {axes} axes")
    return found


def _check(frame: Frame) -> None:
    if any(block > chunk for block, chunk in zip(frame.block, frame.chunk, strict=True)):
        raise CorruptImage(f"blocks of {frame.block} are larger than their chunks of {frame.chunk}")
    if frame.block_bytes > MAX_BLOCK or frame.block_bytes * frame.blocks > MAX_CHUNK:
        raise CorruptImage(f"chunks of {frame.chunk} in blocks of {frame.block} are larger than Blosc2 allows")
    if frame.chunks > MAX_CHUNKS:
        raise CorruptImage(f"{frame.shape} in chunks of {frame.chunk} are more than {MAX_CHUNKS} chunks")


def read_offsets(header: Header, frame: Frame) -> NDArray[np.int64]:
    """Where every chunk lies, from the frame's first byte; negative where all of a chunk is zero or not a number.

    Raises:
        CorruptImage: if the offsets are not as many as the shape needs, or leave the chunks.
        UnsupportedFeature: if chunks are marked with a value that is not known.
    """
    start = frame.header + frame.packed
    index = parse_chunk(header.read(start, HEADER))
    if index.nbytes != 8 * frame.chunks or index.cbytes > header.size - start or index.codec is not None:
        raise CorruptImage(f"byte {start}: {index.nbytes} bytes of offsets for {frame.chunks} chunks")
    offsets = np.frombuffer(unpack(header.read(start, index.cbytes), index.nbytes), "<i8")
    if np.any(offsets + HEADER > frame.packed):
        raise CorruptImage(f"byte {start}: a chunk lies outside the {frame.packed} bytes of all of them")
    return np.where(offsets < 0, offsets, offsets + frame.header).astype(np.int64)


def filled(offset: int, dtype: np.dtype[np.generic]) -> float:
    """The value of all samples of a chunk that an offset stands for.

    Args:
        offset: negative.
        dtype: of the samples.

    Raises:
        UnsupportedFeature: if it is not known.
    """
    match (offset >> 56) & 0x7F:
        case 1 | 4:  # zeros, and what was never written
            return 0.0
        case 2 if dtype.kind == "f":
            return math.nan
        case value:
            raise UnsupportedFeature(f"a chunk is marked with the value {value}, which is not known")


def frame_header(frame: Frame, metalayers: Mapping[bytes, bytes], *, codec: int, length: int) -> bytes:
    """The header of a frame.

    Args:
        frame: ``header`` is not looked at.
        metalayers: further ones, each msgpack.
        codec: identifier of what packs the chunks, which readers copy into new ones.
        length: bytes of the whole frame.
    """
    itemsize = frame.dtype.itemsize
    chunk_bytes = frame.block_bytes * frame.blocks
    nbytes = chunk_bytes * frame.chunks
    layers = {b"b2nd": _b2nd(frame), **metalayers}
    names = b"".join(bytes([0xA0 | len(name), *name]) + b"\xd2\0\0\0\0" for name in layers)
    first = _FIXED + 7 + len(names) + 3
    places, contents, at = b"", b"", first
    for name, layer in layers.items():
        places += bytes([0xA0 | len(name), *name]) + struct.pack(">Bi", 0xD2, at)
        contents += struct.pack(">BI", 0xC6, len(layer)) + layer
        at += 5 + len(layer)
    map_bytes = 4 + 3 + len(names)
    return b"".join(
        (
            MAGIC,
            struct.pack(">BiBQ", 0xD2, at, 0xCF, length),
            # Format 2 of offsets of 64 bits; contiguous; the codec, or 6 for one that stands with the filters.
            bytes([0xA4, _VERSION, 0, min(codec, _USER_CODEC) | _LEVEL << 4, _NO_SPLIT]),
            struct.pack(">BqBq", 0xD3, nbytes, 0xD3, frame.packed),
            struct.pack(">BiBiBi", 0xD2, itemsize, 0xD2, frame.block_bytes, 0xD2, chunk_bytes),
            b"\xd1\0\1\xd1\0\1\xc2",
            b"\xd8\6" + bytes(5) + bytes([_BITSHUFFLE if codec == ZSTD else 0, codec, 0]) + bytes(8),
            struct.pack(">BBHBH", 0x93, 0xCD, map_bytes, 0xDE, len(layers)),
            places,
            struct.pack(">BH", 0xDC, len(layers)),
            contents,
        )
    )


def frame_trailer() -> bytes:
    """The trailer of a frame without further metalayers and without a fingerprint."""
    length = 35
    return b"\x94\1\x93\xcd\0\6\xde\0\0\xdc\0\0" + struct.pack(">BI", 0xCE, length) + b"\xd8\0" + bytes(16)


def text_layer(text: bytes) -> bytes:
    """A metalayer that is one string."""
    return struct.pack(">BI", 0xDB, len(text)) + text


def _b2nd(frame: Frame) -> bytes:
    axes = len(frame.shape)
    dtype = frame.dtype.str.encode()
    listed = bytes([0x90 | axes])
    return b"".join(
        (
            bytes([0x97, 0, axes]),
            listed + b"".join(struct.pack(">Bq", 0xD3, length) for length in frame.shape),
            listed + b"".join(struct.pack(">Bi", 0xD2, length) for length in frame.chunk),
            listed + b"".join(struct.pack(">Bi", 0xD2, length) for length in frame.block),
            struct.pack(">BBI", 0, 0xDB, len(dtype)) + dtype,
        )
    )
