"""Which decoder takes a slice: OpenJPH what it decodes right, OpenJPEG the rest."""

import numpy as np

from ziggurat.codec import openjpeg, openjph
from ziggurat.codec.openjpeg import Decoded, Plane
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.partition import Rect, shrunk
from ziggurat.codestream.whole import Slice
from ziggurat.codestream.widen import widened
from ziggurat.errors import CorruptImage, DependencyError, FormatError, UnsupportedFeature

_FULL_DEPTHS = (8, 16)
"""Depths whose numpy type has no value left for an overshoot: OpenJPH 0.32 clips to 2^depth, one too many."""


def decode_slice(made: Slice, source: MainHeader, *, threads: int = 1) -> Decoded:
    """Decodes the area of a slice.

    Args:
        made: the slice.
        source: the main header of the codestream that it was made from.
        threads: that OpenJPEG may use.

    Returns:
        A plane a component of the slice; it holds at least the area.

    Raises:
        FormatError: if no decoder takes it.
    """
    if not source.ht:
        return _openjpeg(made, made.area, threads)
    refused = ""
    if _suits_openjph(made):
        try:
            return Decoded(_openjph(made), ())
        except FormatError as error:
            refused = str(error)
    # OpenJPEG 2.5.4 decodes areas of HT code-blocks to grey: all of it is decoded.
    decoded = _openjpeg(made, made.canvas.rect, threads)
    return Decoded(decoded.planes, (*decoded.warnings, *([refused] if refused else [])))


def _openjpeg(made: Slice, area: Rect, threads: int) -> Decoded:
    part = None if area == made.canvas.rect else openjpeg.Area(*area)
    try:
        decoded = openjpeg.decode(made.data, area=part, threads=threads)
    except DependencyError:
        # Where there is no shared library, as on Windows, the one inside imagecodecs decodes all of the slice.
        return Decoded(_imagecodecs(made), ())
    if len(decoded.planes) != len(made.components):
        raise CorruptImage(f"{len(decoded.planes)} components were decoded of {len(made.components)}")
    return decoded


def _imagecodecs(made: Slice) -> tuple[Plane, ...]:
    """All planes of a slice's canvas, through imagecodecs' own OpenJPEG, which knows no areas."""
    first = made.canvas.components[0]
    if len(set(made.canvas.components)) > 1:
        raise DependencyError(
            "components of several kinds need OpenJPEG as a shared library: install libopenjp2, or name it in "
            f"{openjpeg.ENVIRONMENT}"
        )
    pixels = openjpeg.decode_plainly(made.data)
    rect = shrunk(made.canvas.rect, first.dx, first.dy)
    if pixels.shape != (rect.y1 - rect.y0, rect.x1 - rect.x0, len(made.components)):
        raise CorruptImage(f"{pixels.shape} samples were decoded of {rect.y1 - rect.y0} x {rect.x1 - rect.x0}")
    return tuple(
        Plane(pixels[:, :, index].astype(np.int32), first.depth, first.signed, first.dx, first.dy, rect.x0, rect.y0)
        for index in range(len(made.components))
    )


def _suits_openjph(made: Slice) -> bool:
    components = made.canvas.components
    return len(set(components)) == 1 and not any(item.roi for item in made.canvas.coding.components)


def _openjph(made: Slice) -> tuple[Plane, ...]:
    """All planes of a slice's canvas, through OpenJPH with its overshoot clipped."""
    data, offset = made.data, 0
    item = made.canvas.components[0]
    if item.depth in _FULL_DEPTHS:
        main = parse_main_header(data)
        wide = widened(data, main) if isinstance(main, MainHeader) else None
        if wide is None:
            raise UnsupportedFeature("OpenJPH is not tried: there is no guard bit to see overshoot with")
        data = wide
        offset = 0 if item.signed else 1 << (item.depth - 1)
    pixels = openjph.decode(data)
    rect = shrunk(made.canvas.rect, item.dx, item.dy)
    shape = (rect.y1 - rect.y0, rect.x1 - rect.x0, len(made.components))
    if pixels.shape != shape or pixels.dtype.kind not in "iu":
        raise CorruptImage(f"OpenJPH returned {pixels.shape} {pixels.dtype} for {shape}")
    low = -(1 << (item.depth - 1)) if item.signed else 0
    high = low + (1 << item.depth) - 1
    area = shrunk(made.area, item.dx, item.dy)
    pixels = pixels[area.y0 - rect.y0 : area.y1 - rect.y0, area.x0 - rect.x0 : area.x1 - rect.x0]
    planes = []
    for index in range(shape[2]):
        plane = np.clip(pixels[:, :, index].astype(np.int32) - offset, low, high)
        planes.append(Plane(plane, item.depth, item.signed, item.dx, item.dy, area.x0, area.y0))
    return tuple(planes)
