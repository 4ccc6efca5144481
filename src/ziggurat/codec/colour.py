"""From the colours that files hold to those that screens show: 8-bit sRGB or grey, without alpha.

Samples are first brought to full range by a ramp (``ziggurat.codec.samples``), to 16 bits where a conversion
follows and they have more than 8; then converted; then alpha is flattened, in 8 bits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ziggurat.codec.icc import (
    Transform,
    grey_profile,
    is_srgb,
    lab_profile,
    profile_bands,
    srgb_profile,
)
from ziggurat.codec.samples import Ramp
from ziggurat.errors import UsageError
from ziggurat.model import JSON, Alpha, ColourSpace, SampleKind, Samples

SCRATCH_PER_SAMPLE = 24
"""Bytes that a block takes on its way beside input and result: indices of the rescaling, 16-bit colours, the
sums of flattening."""

@dataclass(frozen=True, slots=True)
class LabCodes:
    """Which samples stand for which L*, a*, b*.

    Attributes:
        ramps: of the three bands, from the samples to the 16-bit encoding of ICC.1:2022 6.3.4.2.
        twos_complement: whether a* and b* are two's complement in samples that are declared unsigned.
    """

    ramps: tuple[Ramp, Ramp, Ramp]
    twos_complement: bool = False


_LAB_RANGE = ((0.0, 100.0), (-128.0, 127.0), (-128.0, 127.0))
"""L*, a*, b* that ICC's encoding holds."""


def lab_codes(details: Mapping[str, JSON], depth: int, kind: SampleKind) -> LabCodes:
    """How a CIELab image encodes its colours, by ``details["lab"]``.

    - a mapping with ``range`` and ``offset``, three numbers each, or nothing: JP2's, value = range / (2^n - 1) *
      (code - offset), defaults 100, 170, 200 and 0, 2^(n-1), 2^(n-2) + 2^(n-3) (ISO/IEC 15444-2 M.11.7.4.1);
    - "tiff": L* over all codes, a* and b* signed, in 16 bits times 256 (TIFF 6.0 section 23);
    - "icc": a* and b* offset by 128, in 16 bits all times 256 and L* 100 at 0xFF00 (TIFF technical note on ICCLab).

    Floating-point samples are the values themselves.
    """
    encoding = details.get("lab")
    top = float((1 << depth) - 1)
    unit = 2.0 ** (depth - 8)
    if kind == "float":
        limits = list(_LAB_RANGE)
    elif encoding == "tiff":
        limits = [(0.0, top), (-128 * unit, 127 * unit), (-128 * unit, 127 * unit)]
    elif encoding == "icc":
        limits = [(0.0, 255 * unit)] * 3
    else:
        given = encoding if isinstance(encoding, Mapping) else {}
        spans = _numbers(given.get("range"), (100.0, 170.0, 200.0))
        offsets = _numbers(given.get("offset"), (0.0, 2.0 ** (depth - 1), 0.375 * 2**depth))
        limits = [
            (low * top / span + offset, high * top / span + offset)
            for (low, high), span, offset in zip(_LAB_RANGE, spans, offsets, strict=True)
        ]
    lightness, a, b = (Ramp(low, high, 65535) for low, high in limits)
    return LabCodes((lightness, a, b), twos_complement=encoding == "tiff" and kind == "unsigned")


def _numbers(given: JSON, default: tuple[float, float, float]) -> tuple[float, ...]:
    """Three numbers from a header, or the default where it has not three; a range of 0 is none."""
    if not isinstance(given, list | tuple):
        return default
    numbers = [float(value) for value in given if isinstance(value, int | float)]
    return tuple(numbers) if len(numbers) == len(default) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the colour bands of an image stand for colours.

    Attributes:
        colour_space: what they mean; not UNKNOWN.
        icc: the profile that describes them, one of as many bands.
        depth: significant bits of a sample.
        kind: how the samples are to be understood.
        limits: samples that stand for 0 and the peak, or None for all codes of the depth.
        lab: of CIELab.
    """

    colour_space: ColourSpace
    depth: int
    icc: bytes | None = None
    kind: SampleKind = "unsigned"
    limits: tuple[float, float] | None = None
    lab: LabCodes | None = None

    def ramp(self, *, deep: bool = False) -> Ramp:
        """The ramp from the samples to 8 bits, or to 16 where ``deep`` and they have more than 8.

        Raises:
            UsageError: if they are floating-point and no limits are given.
        """
        peak = 65535 if deep and (self.depth > 8 or self.kind == "float") else 255  # noqa: PLR2004 - a byte
        if self.limits is not None:
            ramp = Ramp(*self.limits, peak)
        elif self.kind == "float":
            raise UsageError(
                "floating-point samples have no range of their own; say with --sample-range LO,HI which values "
                "become black and white"
            )
        elif self.colour_space is ColourSpace.ESRGB:
            ramp = Ramp(*esrgb_limits(self.depth), peak)
        else:
            ramp = Ramp.full(self.depth, self.kind, peak)
        return ramp.inverted() if self.colour_space is ColourSpace.GREY_INVERTED else ramp


def esrgb_limits(depth: int) -> tuple[float, float]:
    """Codes of e-sRGB that stand for sRGB's black and white; those beyond are colours outside of its gamut.

    IEC 61966-2-1 Amendment 1: code = 255 * 2^(n-9) * R' + 2^(n-2) + 2^(n-3) for n bits, with the tone curve of
    sRGB, hence linear in sRGB's own codes.
    """
    offset = 0.375 * 2**depth
    return offset, offset + 255 * 2.0 ** (depth - 9)


@dataclass(frozen=True, slots=True)
class Display:
    """A way from stored colour bands to what a screen shows.

    Attributes:
        colour_space: of the result: GREY, RGB or SRGB.
        icc: of the result.
        ramp: what brings the samples to full range, or None for CIELab, which has a ramp a band.
        convert: full-range (y, x, band) pixels to uint8 (y, x, 1 or 3), or None where the ramp is all.
        lab: the ramps of CIELab.
    """

    colour_space: ColourSpace
    icc: bytes | None
    ramp: Ramp | None
    convert: Callable[[Samples], Samples] | None = None
    lab: LabCodes | None = None

    @property
    def bands(self) -> int:
        """Bands of the result."""
        return 1 if self.colour_space is ColourSpace.GREY else 3

    def apply(self, pixels: Samples) -> Samples:
        """Colour bands (y, x, band) as stored to uint8 (y, x, 1 or 3); the very array where nothing changes."""
        full = _lab_full(pixels, self.lab) if self.ramp is None else self.ramp.apply(pixels)
        return full if self.convert is None else self.convert(full)


def display(encoding: Encoding, *, srgb: bool = False) -> Display:
    """How an image is shown.

    CMYK, CIELab and e-sRGB become sRGB always; grey and RGB where ``srgb`` asks for it and their profile is
    another. Without a profile RGB counts as sRGB, grey as having its tone curve, and CMYK as printed on nothing
    in particular: R = (1 - C) * (1 - K) and so on.

    Raises:
        UsageError: if the samples are floating-point and have no range.
        CorruptImage: if a profile is needed and lcms cannot use it.
    """
    icc = encoding.icc
    match encoding.colour_space:
        case ColourSpace.LAB:
            lab = encoding.lab or lab_codes({}, encoding.depth, encoding.kind)
            to_srgb = Transform(lab_profile(), srgb_profile())
            return Display(ColourSpace.SRGB, srgb_profile(), None, to_srgb, lab)
        case ColourSpace.CMYK if icc is None:
            return Display(ColourSpace.SRGB, None, encoding.ramp(), cmyk_to_rgb)
        case ColourSpace.CMYK:
            return Display(ColourSpace.SRGB, srgb_profile(), encoding.ramp(deep=True), _checked(icc, 3))
        case ColourSpace.ESRGB:
            return Display(ColourSpace.SRGB, None, encoding.ramp())
        case _ as space:
            shown = ColourSpace.GREY if space is ColourSpace.GREY_INVERTED else space
            if icc is None or not srgb or is_srgb(icc):
                return Display(shown, icc, encoding.ramp())
            if shown is ColourSpace.GREY:
                return Display(shown, None, encoding.ramp(deep=True), _checked(icc, 1))
            return Display(ColourSpace.SRGB, srgb_profile(), encoding.ramp(deep=True), _checked(icc, 3))


def _checked(icc: bytes, bands: int) -> Transform:
    """The transform to sRGB or its grey, tried on one pixel, so that a bad profile is known before any decoding."""
    transform = Transform(icc, grey_profile() if bands == 1 else srgb_profile())
    transform(np.zeros((1, 1, profile_bands(icc)), np.uint8))
    return transform


def cmyk_to_rgb(pixels: Samples) -> Samples:
    """Ink amounts (y, x, 4) to (y, x, 3) by R = (1 - C) * (1 - K); uint8, rounded to nearest."""
    paper = 255 - pixels.astype(np.uint16)
    return _over_255(paper[:, :, :3] * paper[:, :, 3:])


def _lab_full(pixels: Samples, lab: LabCodes | None) -> Samples:
    full = np.empty(pixels.shape, np.uint16)
    for band, ramp in enumerate(lab.ramps if lab else ()):
        plane = np.ascontiguousarray(pixels[:, :, band])
        if lab and lab.twos_complement and band:
            plane = plane.view(f"i{plane.dtype.itemsize}")
        full[:, :, band] = ramp.apply(plane)
    return full


def flatten(colour: Samples, alpha: Samples, background: tuple[int, int, int], relation: Alpha) -> Samples:
    """Colours over an even background.

    Args:
        colour: uint8 (y, x, 1 or 3).
        alpha: uint8 (y, x, 1); 255 is opaque.
        background: RGB; on grey its luma (ITU-R BT.709) shows.
        relation: whether the colours are multiplied by alpha already.

    Returns:
        uint8 of the shape of ``colour``, rounded to nearest.
    """
    red, green, blue = background
    grey = round(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    behind = np.array([grey] if colour.shape[2] == 1 else background, np.uint16)
    opacity = alpha.astype(np.uint16)
    through = behind * (255 - opacity)
    if relation == "straight":
        return _over_255(colour * opacity + through)
    return np.minimum(colour + _over_255(through).astype(np.uint16), 255).astype(np.uint8)


def unmultiplied(colour: Samples, alpha: Samples) -> Samples:
    """Premultiplied full-range colours as straight ones, of the same type; black where alpha is 0."""
    peak = np.iinfo(colour.dtype).max
    opacity = np.maximum(alpha.astype(np.float32), 1)
    return np.minimum(colour * (255 / opacity) + 0.5, peak).astype(colour.dtype)


def _over_255(sums: Samples) -> Samples:
    """uint16 sums up to 255 * 255 divided by 255, rounded to nearest: exact without a division."""
    rounded = sums + np.uint16(128)
    return ((rounded + (rounded >> 8)) >> 8).astype(np.uint8)
