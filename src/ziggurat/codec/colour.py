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
from ziggurat.codec.samples import Peak, Ramp
from ziggurat.errors import UsageError
from ziggurat.model import JSON, Alpha, ColourSpace, SampleKind, Samples

SCRATCH_PER_SAMPLE = 24
"""Bytes that a block takes on its way beside input and result: indices of the rescaling, 16-bit colours, the
sums of flattening."""


type LabRamps = tuple[Ramp, Ramp, Ramp]
"""From samples of L*, a*, b* to the 16-bit encoding of ICC.1:2022 6.3.4.2."""

_LAB_RANGE = ((0.0, 100.0), (-128.0, 127.0), (-128.0, 127.0))
"""L*, a*, b* that this encoding holds."""


def lab_ramps(details: Mapping[str, JSON], depth: int, kind: SampleKind) -> LabRamps:
    """How a CIELab image encodes its colours, by ``details["lab"]``.

    - a mapping with ``range`` (over 0) and ``offset``, three numbers each, or nothing: JP2's, value =
      range / (2^n - 1) * (code - offset), defaults 100, 170, 200 and 0, 2^(n-1), 2^(n-2) + 2^(n-3)
      (ISO/IEC 15444-2 M.11.7.4.1);
    - a text: TIFF's, with a* and b* made unsigned, code / 2^(n-8) - 128. L* fills all codes (TIFF 6.0 section
      23); where ``details["photometric"]`` is ICCLAB it is 100 at 255 * 2^(n-8) (ICC.1:2004-10 annex A).

    Floating-point samples are the values themselves.
    """
    encoding = details.get("lab")
    top = float((1 << depth) - 1)
    byte = 255 * 2.0 ** (depth - 8)
    if kind == "float":
        limits = _LAB_RANGE
    elif isinstance(encoding, str):
        limits = ((0.0, byte if details.get("photometric") == "ICCLAB" else top), (0.0, byte), (0.0, byte))
    else:
        given = encoding if isinstance(encoding, Mapping) else {}
        spans = _numbers(given.get("range"), (100.0, 170.0, 200.0))
        if min(spans) <= 0:
            spans = (100.0, 170.0, 200.0)
        offsets = _numbers(given.get("offset"), (0.0, 2.0 ** (depth - 1), 0.375 * 2**depth))
        lows, highs = (
            [value * top / span + offset for value, span, offset in zip(values, spans, offsets, strict=True)]
            for values in zip(*_LAB_RANGE, strict=True)
        )
        limits = ((lows[0], highs[0]), (lows[1], highs[1]), (lows[2], highs[2]))
    return Ramp(*limits[0], 65535), Ramp(*limits[1], 65535), Ramp(*limits[2], 65535)


def _numbers(given: JSON, default: tuple[float, float, float]) -> tuple[float, ...]:
    """Three numbers from a header, or the default where it has not three."""
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
    lab: LabRamps | None = None

    def ramp(self, *, deep: bool = False) -> Ramp:
        """The ramp from the samples to 8 bits, or to 16 where ``deep`` and they have more than 8.

        Raises:
            UsageError: if they are floating-point and no limits are given.
        """
        peak: Peak = 65535 if deep and (self.depth > 8 or self.kind == "float") else 255  # noqa: PLR2004 - a byte
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
        ramp: what brings the samples to full range; a ramp a band for CIELab.
        convert: full-range (y, x, band) pixels to uint8 (y, x, 1 or 3), or None where the ramp is all.
    """

    colour_space: ColourSpace
    icc: bytes | None
    ramp: Ramp | LabRamps
    convert: Callable[[Samples], Samples] | None = None

    @property
    def bands(self) -> int:
        """Bands of the result."""
        return 1 if self.colour_space is ColourSpace.GREY else 3

    def keeps(self, dtype: np.dtype[np.generic]) -> bool:
        """Whether samples of this type are at full range already."""
        return isinstance(self.ramp, Ramp) and self.ramp.is_identity(dtype)

    def apply(self, pixels: Samples, multiplied: Samples | None = None) -> Samples:
        """Colour bands as stored to what is shown.

        Args:
            pixels: (y, x, band).
            multiplied: uint8 (y, x, 1), the alpha by which the full-range colours are to be divided first.

        Returns:
            uint8 (y, x, 1 or 3); the very array where nothing changes.
        """
        if isinstance(self.ramp, Ramp):
            full = self.ramp.apply(pixels)
            full = full if multiplied is None else unmultiplied(full, multiplied)
        else:
            full = _lab_full(pixels, self.ramp)
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
    icc, space = encoding.icc, encoding.colour_space
    if space is ColourSpace.LAB:
        lab = encoding.lab or lab_ramps({}, encoding.depth, encoding.kind)
        return Display(ColourSpace.SRGB, srgb_profile(), lab, Transform(lab_profile(), srgb_profile()))
    if space is ColourSpace.ESRGB:
        return Display(ColourSpace.SRGB, None, encoding.ramp())
    if space is ColourSpace.CMYK and icc is None:
        return Display(ColourSpace.SRGB, None, encoding.ramp(), cmyk_to_rgb)
    shown = ColourSpace.GREY if space is ColourSpace.GREY_INVERTED else space
    if icc is None or (space is not ColourSpace.CMYK and (not srgb or is_srgb(icc))):
        return Display(shown, icc, encoding.ramp())
    if shown is ColourSpace.GREY:
        return Display(shown, None, encoding.ramp(deep=True), _checked(icc, grey_profile()))
    return Display(ColourSpace.SRGB, srgb_profile(), encoding.ramp(deep=True), _checked(icc, srgb_profile()))


def _checked(icc: bytes, target: bytes) -> Transform:
    """The transform, tried on one pixel, so that a bad profile is known before any decoding."""
    transform = Transform(icc, target)
    transform(np.zeros((1, 1, profile_bands(icc)), np.uint8))
    return transform


def cmyk_to_rgb(pixels: Samples) -> Samples:
    """Ink amounts (y, x, 4) to (y, x, 3) by R = (1 - C) * (1 - K); uint8, rounded to nearest."""
    paper = 255 - pixels.astype(np.uint16)
    return _over_255(paper[:, :, :3] * paper[:, :, 3:])


def _lab_full(pixels: Samples, ramps: LabRamps) -> Samples:
    full = np.empty(pixels.shape, np.uint16)
    for band, ramp in enumerate(ramps):
        full[:, :, band] = ramp.apply(pixels[:, :, band])
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
    over: Samples = np.minimum(colour + _over_255(through).astype(np.uint16), 255)
    return over.astype(np.uint8)


def unmultiplied(colour: Samples, alpha: Samples) -> Samples:
    """Premultiplied full-range colours as straight ones, of the same type; black where alpha is 0."""
    peak = np.iinfo(colour.dtype).max
    opacity = np.maximum(alpha.astype(np.float32), 1)
    return np.minimum(colour * (255 / opacity) + 0.5, peak).astype(colour.dtype)


def _over_255(sums: Samples) -> Samples:
    """uint16 sums up to 255 * 255 divided by 255, rounded to nearest: exact without a division."""
    rounded = sums + np.uint16(128)
    result: Samples = ((rounded + (rounded >> 8)) >> 8).astype(np.uint8)
    return result
