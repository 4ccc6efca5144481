"""HTJ2K through OpenJPH, where it decodes right: simple codestreams, with its overshoot clipped."""

from collections.abc import Sequence

import numpy as np

from ziggurat.codec import openjph
from ziggurat.codestream.markers import MainHeader, Marker, TilePart, tile_part_segments
from ziggurat.codestream.widen import widened
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.jpeg2000.bands import BandPlan
from ziggurat.geometry import Size
from ziggurat.model import Samples

_FULL_DEPTHS = (8, 16)
"""Depths whose numpy type has no value left for an overshoot: OpenJPH 0.32 clips to 2^depth, one too many."""

_HARMLESS = frozenset({Marker.PLT, Marker.COM})
"""Marker segments of tile-parts that change no sample. OpenJPH passes over a tile's own quantisation in silence."""

_BEYOND = frozenset({Marker.RGN, Marker.POC, Marker.PPM})


def suits(main: MainHeader, plan: BandPlan) -> bool:
    """Whether the header promises a codestream that OpenJPH takes."""
    components = main.siz.components
    return (
        main.ht
        and len(set(components)) == 1
        and not any(segment.marker in _BEYOND for segment in main.segments)
        and plan.plain
        and [band.component for band in plan.bands] == list(range(len(components)))
    )


def tiles_suit(data: bytes, parts: Sequence[TilePart]) -> bool:
    """Whether no tile differs from the main header."""
    return all(segment.marker in _HARMLESS for part in parts for segment in tile_part_segments(data, part))


def decode(data: bytes, main: MainHeader, plan: BandPlan, level: int, size: Size) -> Samples:
    """All pixels of a level.

    Raises:
        FormatError: if OpenJPH refuses, or does not return what the header says.
    """
    offset = 0
    if plan.depth in _FULL_DEPTHS:
        wide = widened(data, main)
        if wide is None:
            raise UnsupportedFeature("OpenJPH is not tried: there is no guard bit to see overshoot with")
        data = wide
        offset = 0 if plan.signed else 1 << (plan.depth - 1)
    pixels = openjph.decode(data, reduce=level)
    if pixels.shape != (*size, len(plan.bands)) or pixels.dtype.kind not in "iu":
        raise CorruptImage(f"OpenJPH returned {pixels.shape} {pixels.dtype} for {(*size, len(plan.bands))}")
    low = -(1 << (plan.depth - 1)) if plan.signed else 0
    high = low + (1 << plan.depth) - 1
    np.clip(pixels, low + offset, high + offset, out=pixels)
    if offset:
        pixels -= pixels.dtype.type(offset)
    return pixels.astype(plan.dtype, copy=False)
