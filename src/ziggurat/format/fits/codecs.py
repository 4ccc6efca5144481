"""One tile's bytes → its numbers. FITS Standard 4.0 section 10.4.

The decoders are those of imagecodecs, which are public and check most bounds. What they leave to their caller is
done here: sizes are compared before they are believed, and Rice data get bytes to run into.
"""

import math
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ziggurat.errors import CorruptImage

CODECS = frozenset({"GZIP_1", "GZIP_2", "RICE_1", "RICE_ONE", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS"})

MAX_RICE_BLOCK = 4096
"""Samples of a Rice block; the standard knows 16 and 32."""

HCOMPRESS_HEADER = 25
"""Bytes before the coefficients: magic number, size, scale, sum, bit planes."""

MAX_BIT_PLANES = 62
"""Of HCOMPRESS coefficients, which are 64-bit integers."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a header says of the compression.

    Attributes:
        name: ZCMPTYPE.
        block: BLOCKSIZE of Rice, in samples.
        width: BYTEPIX of Rice, in bytes.
        smooth: whether HCOMPRESS smooths.
        shift: what CFITSIO adds to 16-bit numbers before PLIO, which knows no negative ones: 32768 where BZERO
            makes them unsigned, else 0.
        lossless_floats: whether numbers that come as bytes are floats, not quantised integers.
    """

    name: str
    block: int = 32
    width: int = 4
    smooth: bool = False
    shift: int = 0
    lossless_floats: bool = False


def decode(codec: Codec, data: bytes, shape: tuple[int, ...], unit: str) -> NDArray[np.generic]:
    """A tile's numbers, in the shape given (slowest axis first) and any type that holds them.

    Raises:
        CorruptImage: if the data are not what the header says; the caller maps what the decoders raise.
    """
    pixels = math.prod(shape)
    match codec.name:
        case "GZIP_1" | "NOCOMPRESS" | "GZIP_2":
            plain = data if codec.name == "NOCOMPRESS" else _inflated(data, 8 * pixels, unit)
            return _from_bytes(codec, plain, pixels, unit).reshape(shape)
        case "RICE_1" | "RICE_ONE":
            return _rice(codec, data, pixels).reshape(shape)
        case "HCOMPRESS_1":
            return _hcompress(codec, data, shape, unit).reshape(shape)
        case "PLIO_1":
            words = np.frombuffer(data, ">i2", len(data) // 2).astype(np.int16)
            out = np.zeros(pixels, np.int32)
            imagecodecs.plio_decode(words.tobytes(), pixels, out=out)
            return (out - codec.shift).reshape(shape)
        case _:
            raise CorruptImage(f"{unit}: compression {codec.name!r} is not known")


def _inflated(data: bytes, limit: int, unit: str) -> bytes:
    """The content of a gzip member (RFC 1952) of at most ``limit`` bytes, its checksum compared."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = inflater.decompress(data, limit + 1)
    if len(content) > limit or not inflater.eof:
        raise CorruptImage(f"{unit}: its gzip data hold more than the tile's {limit} bytes, or have no end")
    return content


def _from_bytes(codec: Codec, data: bytes, pixels: int, unit: str) -> NDArray[np.generic]:
    """Big-endian numbers whose width follows from the length (section 10.4.2); GZIP_2's shuffling undone."""
    width = len(data) // pixels
    floats = codec.lossless_floats
    if width * pixels != len(data) or width not in ({4, 8} if floats else {1, 2, 4, 8}):
        raise CorruptImage(f"{unit} holds {len(data)} bytes for {pixels} samples")
    if codec.name == "GZIP_2":
        data = np.frombuffer(data, np.uint8).reshape(width, pixels).T.tobytes()
    return np.frombuffer(data, f">f{width}" if floats else ">u1" if width == 1 else f">i{width}")


def _rice(codec: Codec, data: bytes, pixels: int) -> NDArray[np.generic]:
    """Rice coding (section 10.4.1).

    The decoder looks at the end of its data only after each block, and looks for a one bit for as long as
    there are zeros: what follows the data are ones, enough for a whole block of the longest codes.
    """
    guarded = data + b"\xff" * (8 * codec.block + 16)
    dtype = {1: np.uint8, 2: np.int16, 4: np.int32}[codec.width]
    found: NDArray[np.generic] = imagecodecs.rcomp_decode(
        memoryview(guarded)[: len(data)], shape=(pixels,), dtype=dtype, nblock=codec.block
    )
    return found


def _hcompress(codec: Codec, data: bytes, shape: tuple[int, ...], unit: str) -> NDArray[np.generic]:
    """H-transform (section 10.4.4), whose data carry their own size, believed only where it is the tile's."""
    sides = tuple(side for side in shape if side != 1)
    if len(sides) != 2:  # noqa: PLR2004 - rows and columns
        raise CorruptImage(f"{unit}: HCOMPRESS tiles have two dimensions, this one is {shape}")
    declared = tuple(int.from_bytes(data[at : at + 4], "big") for at in (2, 6))
    if len(data) < HCOMPRESS_HEADER or declared != sides:
        raise CorruptImage(f"{unit}: its HCOMPRESS data declare {declared} samples, the tile has {sides}")
    if max(data[22:25]) > MAX_BIT_PLANES:
        raise CorruptImage(f"{unit}: its HCOMPRESS data declare {max(data[22:25])} bit planes")
    found: NDArray[np.generic] = imagecodecs.hcomp_decode(data, smooth=int(codec.smooth))
    return found
