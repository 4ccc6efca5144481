"""OpenJPH through imagecodecs: several times as fast as OpenJPEG on what it takes, which is HTJ2K alone."""

import re
from dataclasses import dataclass

import imagecodecs
import numpy as np

from ziggurat.errors import CorruptImage, OutOfMemory, UnsupportedFeature
from ziggurat.model import Samples


def decode(data: bytes, *, reduce: int = 0) -> Samples:
    """Decodes an HTJ2K codestream whose components are alike in depth, sign and size.

    Args:
        data: the codestream from SOC on.
        reduce: finest resolutions to leave out.

    Returns:
        Array (y, x, band), unsigned or signed integers as the components are.

    Raises:
        CorruptImage: if OpenJPH refuses it, be it damaged or beyond what OpenJPH reads.
        OutOfMemory: if its buffers cannot be allocated.
    """
    try:
        pixels = imagecodecs.htj2k_decode(data, skipres=reduce)
    except MemoryError as error:
        raise OutOfMemory(f"OpenJPH has no memory for the image: {error}") from error
    except (imagecodecs.Htj2kError, ValueError, RuntimeError, NotImplementedError, OverflowError) as error:
        raise CorruptImage(f"OpenJPH failed: {re.sub(r'\s+', ' ', str(error)).strip()}") from error
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels  # noqa: PLR2004 - one band comes without its axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a tile is coded: without precincts, RPCL, a tile-part a resolution.

    Attributes:
        depth: significant bits of all bands.
        levels: decomposition levels.
        tile: height and width of a tile, a multiple of 2^levels.
        step: of the quantisation, relative to the range of the samples, with the 9-7 transform; None for lossless.
        component_transform: whether the first three bands are decorrelated.
    """

    depth: int
    levels: int
    tile: int
    step: float | None
    component_transform: bool


def encode(pixels: Samples, coding: Coding) -> tuple[bytes, int]:
    """Encodes one tile, or several at once.

    imagecodecs makes fewer levels of an image that is small for them: such a tile is made the last one of an image,
    behind empty ones of the least size that divides it alike. Its packets are the same bytes there.

    Args:
        pixels: (y, x, band), integers of at most 16 bits; larger than the tile only in whole tiles.
        coding: how.

    Returns:
        A codestream, and which of its tiles is the picture's: the last, if that is one.

    Raises:
        UnsupportedFeature: if OpenJPH does not encode so.
        OutOfMemory: if its buffers cannot be allocated.
    """
    height, width, bands = pixels.shape
    least = 2 << coding.levels
    before = [least if side < least else 0 for side in (height, width)]
    if any(before):
        image = np.zeros((before[0] + height, before[1] + width, bands), pixels.dtype)
        image[before[0] :, before[1] :] = pixels
    else:
        image = np.ascontiguousarray(pixels)
    try:
        data = imagecodecs.htj2k_encode(
            image if bands > 1 else image[:, :, 0],
            coding.step,
            rgb=coding.component_transform,
            planar=False if bands > 1 else None,
            bitspersample=coding.depth,
            # Width first.
            tile=(before[1] or coding.tile, before[0] or coding.tile),
            resolutions=coding.levels,
            reversible=coding.step is None,
            tlm=False,
            tilepart="RESOLUTIONS",
            prog_order="RPCL",
        )
    except MemoryError as error:
        raise OutOfMemory(f"OpenJPH has no memory for a tile: {error}") from error
    except (imagecodecs.Htj2kError, ValueError, RuntimeError, NotImplementedError, OverflowError) as error:
        raise UnsupportedFeature(f"OpenJPH does not encode {pixels.shape} {pixels.dtype}: {error}") from error
    return bytes(data), (1 + bool(before[0])) * (1 + bool(before[1])) - 1
