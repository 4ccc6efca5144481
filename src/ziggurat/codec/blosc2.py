"""Blosc2 chunks: their header, single blocks out of them, and chunks of blocks that are encoded elsewhere.

C-Blosc2, README_CHUNK_FORMAT.rst. All numbers are little-endian. What a chunk's own codecs pack is unpacked by the
Blosc2 of imagecodecs; nothing is loaded that a chunk names.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage, UnsupportedFeature

HEADER = 32
"""Bytes of a chunk's header."""

MAX_BLOCK = 536_866_816
"""Bytes of a block: BLOSC2_MAXBLOCKSIZE."""

MAX_CHUNK = (1 << 31) - 1 - HEADER
"""Bytes of a chunk's pixels."""

JPEG2K, HTJ2K = 200, 201
"""Identifiers of the range for users (160 to 255) by which Ziggurat's blocks of JPEG 2000 and HTJ2K are known."""

GROK, J2K_PLUGIN, HTJ2K_PLUGIN = 37, 39, 40
"""Identifiers of the plugins blosc2-grok, blosc2-j2k and blosc2-htj2k."""

CODESTREAMS: Mapping[int, str] = MappingProxyType(
    {
        36: "openhtj2k",
        GROK: "grok",
        J2K_PLUGIN: "j2k",
        HTJ2K_PLUGIN: "htj2k",
        JPEG2K: "Ziggurat's JPEG 2000",
        HTJ2K: "Ziggurat's HTJ2K",
    }
)
"""Codecs whose blocks are JPEG 2000 files or codestreams, by identifier."""

_FOREIGN = MappingProxyType({32: "NDLZ", 33: "ZFP", 34: "ZFP", 35: "ZFP", 38: "openzl"})
"""Codecs that need the array's shape, or a library of their own."""

_MEMCPYED, _UNSPLIT, _EXTENDED = 0x02, 0x10, 0x05
"""Bits of a chunk's flags."""

_USER_CODEC = 6
"""Upper three bits of the flags: the codec is named in the extended header."""

_DICTIONARY, _LAZY = 0x01, 0x08
"""Bits of ``blosc2_flags``."""

_DELTA = 3
"""The filter that takes a chunk's first block for the reference of the others."""

_FILTERS = frozenset({0, 1, 2, _DELTA, 4, 34, 35})
"""None, shuffle, bitshuffle, delta, truncated precision, truncated integers, byte delta: all that need no shape."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the header of a chunk says.

    Attributes:
        head: the header's bytes.
        nbytes: bytes of pixels.
        blocksize: bytes of pixels of a block.
        cbytes: bytes of the whole chunk, this header included.
        codec: identifier of a codec outside Blosc2, or None.
        special: all of it is one value, and there are no blocks.
        stored: blocks lie one behind the other, as they are.
        whole: no block can be had alone.
        split: a block may be several streams.
    """

    head: bytes
    nbytes: int
    blocksize: int
    cbytes: int
    codec: int | None
    special: bool
    stored: bool
    whole: bool
    split: bool

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.nbytes // self.blocksize)


def parse_chunk(head: bytes) -> Chunk:
    """Reads a chunk's header.

    Raises:
        CorruptImage: if its lengths make no sense.
        UnsupportedFeature: if it has a codec or a filter that is not here.
    """
    if len(head) < HEADER:
        raise CorruptImage(f"a chunk's header is cut short at byte {len(head)} of {HEADER}")
    flags, bits = head[2], head[31]
    nbytes, blocksize, cbytes = struct.unpack_from("<iii", head, 4)
    if flags & _EXTENDED != _EXTENDED:
        raise UnsupportedFeature("a chunk is of Blosc 1; copy the array with a current python-blosc2")
    if nbytes <= 0 or not 0 < blocksize <= MAX_BLOCK or cbytes < HEADER or bits & _LAZY:
        raise CorruptImage(f"a chunk declares {nbytes} bytes in blocks of {blocksize}, packed in {cbytes}")
    filters = frozenset(head[16:22])
    if not filters <= _FILTERS:
        raise UnsupportedFeature(f"filters {sorted(filters - _FILTERS)} of Blosc2 are not supported; copy the array")
    codec = head[22] if flags >> 5 == _USER_CODEC else None
    stored = bool(flags & _MEMCPYED)
    special = bool(bits >> 4 & 7)
    if codec is not None and not stored and not special and codec not in CODESTREAMS:
        name = _FOREIGN.get(codec, "a user's own")
        raise UnsupportedFeature(
            f"chunks are packed by codec {codec} ({name}); open the array with python-blosc2 where that codec is "
            "registered, and copy it with another"
        )
    if codec is not None and not stored and filters != {0}:
        raise UnsupportedFeature(f"codec {codec} behind filters {sorted(filters)} is not supported; copy the array")
    return Chunk(
        head=head[:HEADER],
        nbytes=nbytes,
        blocksize=blocksize,
        cbytes=cbytes,
        codec=codec,
        special=special,
        stored=stored,
        whole=bool(bits & _DICTIONARY) or _DELTA in filters,
        split=not flags & _UNSPLIT,
    )


def block_spans(chunk: Chunk, starts: bytes) -> list[tuple[int, int]]:
    """Where every block lies, as (start, end) from the chunk's first byte.

    Args:
        chunk: with blocks.
        starts: the bytes behind the header, four for every block.

    Raises:
        CorruptImage: if one leaves the chunk.
    """
    if chunk.stored:
        return [
            (HEADER + index * chunk.blocksize, HEADER + min(chunk.nbytes, (index + 1) * chunk.blocksize))
            for index in range(chunk.blocks)
        ]
    if len(starts) < 4 * chunk.blocks:
        raise CorruptImage(f"a chunk of {chunk.blocks} blocks ends before the places of all of them")
    first = struct.unpack_from(f"<{chunk.blocks}i", starts)
    # Threads write blocks in the order in which they are done.
    ends = dict(pairwise(sorted({*first, chunk.cbytes})))
    if min(first) < HEADER + 4 * chunk.blocks or max(first) >= chunk.cbytes:
        raise CorruptImage(f"a block lies outside its chunk of {chunk.cbytes} bytes")
    return [(start, ends[start]) for start in first]


def unpack_blocks(chunk: Chunk, blocks: Sequence[bytes]) -> bytes:
    """Pixels of some blocks of a chunk, one block behind the other.

    Args:
        chunk: neither ``whole`` nor of a codec outside Blosc2.
        blocks: their packed bytes; of a special chunk what follows its header, as often as blocks are wanted.

    Raises:
        CorruptImage: if they do not unpack to as many bytes as they must.
    """
    if chunk.stored:
        return b"".join(blocks)
    nbytes = chunk.blocksize * len(blocks)
    if chunk.special:
        return unpack(_with_lengths(chunk.head, nbytes, chunk.blocksize, HEADER + len(blocks[0])) + blocks[0], nbytes)
    return unpack(_joined(chunk.head, blocks, chunk.blocksize), nbytes)


def unpack(data: bytes, nbytes: int) -> bytes:
    """Pixels of a whole chunk.

    Raises:
        CorruptImage: if it does not unpack to ``nbytes``.
    """
    try:
        pixels = bytes(imagecodecs.blosc2_decode(data, numthreads=1))
    except (imagecodecs.Blosc2Error, ValueError, RuntimeError, OverflowError) as error:
        raise CorruptImage(f"a chunk does not unpack: {error}") from error
    if len(pixels) != nbytes:
        raise CorruptImage(f"a chunk unpacks to {len(pixels)} bytes, {nbytes} are expected")
    return pixels


def payload(stream: bytes, blocksize: int) -> bytes:
    """What a codec made of a block, or the block itself where its length is ``blocksize``.

    Args:
        stream: a block of one stream.
        blocksize: bytes of the block's pixels.

    Raises:
        CorruptImage: if it is cut short.
    """
    if len(stream) < 4:  # noqa: PLR2004 - the length
        raise CorruptImage("a block has no length")
    length = int.from_bytes(stream[:4], "little", signed=True)
    if length <= 0:
        # A run of one byte, which is the lowest of the length's; zero for zeros.
        return bytes([stream[0]]) * blocksize
    if len(stream) < 4 + length:
        raise CorruptImage(f"a block of {length} bytes ends at byte {len(stream) - 4}")
    return stream[4 : 4 + length]


def pack(blocks: NDArray[np.generic], *, level: int) -> bytes:
    """A chunk packed by zstd behind the bitshuffle filter, which saves three times what shuffle does on pictures.

    Args:
        blocks: (block, sample); the sample's type and the block's length are those of the chunk.
        level: 1 to 9.
    """
    packed = imagecodecs.blosc2_encode(
        np.ascontiguousarray(blocks),
        level,
        compressor="zstd",
        shuffle="bitshuffle",
        blocksize=blocks.shape[1] * blocks.dtype.itemsize,
        numthreads=1,
    )
    return bytes(packed)


def chunk_of(payloads: Sequence[bytes], *, typesize: int, blocksize: int, codec: int) -> bytes:
    """A chunk whose blocks a codec outside Blosc2 has packed.

    Args:
        payloads: of the blocks.
        typesize: bytes of a sample.
        blocksize: bytes of a block's pixels.
        codec: identifier.
    """
    flags = _USER_CODEC << 5 | _UNSPLIT | _EXTENDED
    head = bytes([5, 1, flags, typesize]) + bytes(12) + bytes(6) + bytes([codec, 0]) + bytes(8)
    streams = [len(payload).to_bytes(4, "little") + payload for payload in payloads]
    return _joined(head, streams, blocksize)


def _joined(head: bytes, blocks: Sequence[bytes], blocksize: int) -> bytes:
    """A chunk of these blocks under a header whose lengths are put right."""
    starts, at = [], HEADER + 4 * len(blocks)
    for block in blocks:
        starts.append(at)
        at += len(block)
    placed = struct.pack(f"<{len(blocks)}i", *starts)
    return b"".join((_with_lengths(head, blocksize * len(blocks), blocksize, at), placed, *blocks))


def _with_lengths(head: bytes, nbytes: int, blocksize: int, cbytes: int) -> bytes:
    return head[:4] + struct.pack("<iii", nbytes, blocksize, cbytes) + head[16:HEADER]
