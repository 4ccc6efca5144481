"""What the bands of a JPEG 2000 image mean, and the luma-chroma encodings that the reader undoes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.boxes import Colour
from ziggurat.model import ColourSpace

_ENUMERATED = 1
_ICC_METHODS = (2, 3)
_ICC_HEADER = 128

_CIELAB = 14
_LAB_FIELDS = ("L_range", "L_offset", "a_range", "a_offset", "b_range", "b_offset", "illuminant")


@dataclass(frozen=True, slots=True)
class LumaChroma:
    """A luma-chroma encoding: weights of red and blue in luma, and whether 8-bit samples keep to 16..235/240."""

    name: str
    red: float
    blue: float
    limited: bool = False


YCBCR_BY_CONVENTION = LumaChroma("YCbCr (subsampled chroma)", 0.299, 0.114)
"""Three components of which the last two are subsampled: no header says so, every decoder assumes it."""

_LUMA_CHROMA: Mapping[int, LumaChroma] = MappingProxyType(
    {
        1: LumaChroma("YCbCr(1)", 0.2126, 0.0722, limited=True),
        3: LumaChroma("YCbCr(2)", 0.299, 0.114),
        4: LumaChroma("YCbCr(3)", 0.299, 0.114, limited=True),
        18: LumaChroma("sYCC", 0.299, 0.114),
        22: LumaChroma("YPbPr(1125/60)", 0.2126, 0.0722, limited=True),
        23: LumaChroma("YPbPr(1250/50)", 0.2126, 0.0722, limited=True),
        24: LumaChroma("e-sYCC", 0.299, 0.114),
    }
)
"""EnumCS values (ISO/IEC 15444-1 Table I.10, 15444-2 Table M.25) that are converted to RGB."""

_SPACES: Mapping[int, ColourSpace] = MappingProxyType(
    {
        0: ColourSpace.GREY_INVERTED,
        12: ColourSpace.CMYK,
        _CIELAB: ColourSpace.LAB,
        15: ColourSpace.GREY,
        16: ColourSpace.SRGB,
        17: ColourSpace.GREY,
        20: ColourSpace.ESRGB,
        21: ColourSpace.RGB,
    }
)
"""EnumCS values that need no conversion. 21 is ROMM-RGB, for which only a profile can stand."""

_EXACT = frozenset({ColourSpace.SRGB, ColourSpace.GREY, ColourSpace.GREY_INVERTED})
"""Words that say all; a profile of another colour box would only approximate them."""

_ICC_SPACES: Mapping[bytes, ColourSpace] = MappingProxyType(
    {
        b"RGB ": ColourSpace.RGB,
        b"GRAY": ColourSpace.GREY,
        b"CMYK": ColourSpace.CMYK,
        b"Lab ": ColourSpace.LAB,
    }
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the colour boxes say.

    Attributes:
        space: after conversion.
        encoding: what the stored bands are, where they have to be converted.
        icc: the profile to hand on.
    """

    space: ColourSpace
    encoding: LumaChroma | None = None
    icc: bytes | None = None


def describe(colour: Colour) -> str:
    """A colour box in one line, for details."""
    match colour.method:
        case 1:
            assert colour.enumerated is not None  # noqa: S101 - so parsed
            known = _LUMA_CHROMA.get(colour.enumerated)
            word = known.name if known else str(_SPACES.get(colour.enumerated, "unknown"))
            return f"enumerated {colour.enumerated} ({word})"
        case 2:
            return f"restricted ICC ({len(colour.profile or b'')} bytes)"
        case 3:
            return f"any ICC ({len(colour.profile or b'')} bytes)"
    return f"method {colour.method}"


def lab_parameters(colours: Sequence[Colour]) -> Mapping[str, int] | None:
    """Ranges, offsets and illuminant of enumerated CIELab (15444-2 M.11.7.4.1), where they are given."""
    size = 4 * len(_LAB_FIELDS)
    for colour in colours:
        if colour.enumerated == _CIELAB and len(colour.parameters) >= size:
            values = [int.from_bytes(colour.parameters[at : at + 4]) for at in range(0, size, 4)]
            return dict(zip(_LAB_FIELDS, values, strict=True))
    return None


def _profile(colour: Colour) -> bytes | None:
    profile = colour.profile
    if colour.method not in _ICC_METHODS or profile is None or len(profile) < _ICC_HEADER:
        return None
    return profile if profile[36:40] == b"acsp" else None


def _meaning(colour: Colour) -> Meaning | None:
    if colour.method == _ENUMERATED and colour.enumerated is not None:
        if colour.enumerated in _LUMA_CHROMA:
            return Meaning(ColourSpace.SRGB, _LUMA_CHROMA[colour.enumerated])
        space = _SPACES.get(colour.enumerated)
        return None if space is None else Meaning(space)
    profile = _profile(colour)
    if profile is None:
        return None
    return Meaning(_ICC_SPACES.get(profile[16:20], ColourSpace.UNKNOWN), icc=profile)


def choose(colours: Sequence[Colour]) -> Meaning | None:
    """The best of the colour boxes that are understood.

    The highest precedence wins, then the better approximation, then the first (15444-2 M.11.7.2). Where the winner
    is a name that a profile can make exact, the best profile among the others goes with it.
    """
    ranked = sorted(colours, key=lambda colour: (-colour.precedence, colour.approximation))
    best = next((meaning for meaning in map(_meaning, ranked) if meaning), None)
    if best is None or best.icc or best.encoding or best.space in _EXACT:
        return best
    icc = next((profile for profile in map(_profile, ranked) if profile), None)
    if icc and _ICC_SPACES.get(icc[16:20], best.space).bands != best.space.bands:
        icc = None
    return Meaning(best.space, icc=icc)


def to_rgb(pixels: NDArray[np.int32], encoding: LumaChroma, depth: int, *, signed_chroma: bool) -> None:
    """Turns luma and chroma into red, green and blue, in place.

    Args:
        pixels: (y, x, band), of which the first three bands are Y, Cb, Cr of ``depth`` bits.
        encoding: which weights and ranges.
        depth: bits of a sample; results are clipped to them.
        signed_chroma: whether chroma is stored around 0 instead of around half the range.
    """
    top = (1 << depth) - 1
    luma, blue, red = (pixels[:, :, band].astype(np.float32) for band in range(3))
    if not signed_chroma:
        blue -= 1 << (depth - 1)
        red -= 1 << (depth - 1)
    if encoding.limited:
        step = 2.0 ** (depth - 8)
        luma = (luma - np.float32(16 * step)) * np.float32(top / (219 * step))
        blue *= np.float32(top / (224 * step))
        red *= np.float32(top / (224 * step))
    red *= np.float32(2 * (1 - encoding.red))
    blue *= np.float32(2 * (1 - encoding.blue))
    weight = 1 - encoding.red - encoding.blue
    green = luma - red * np.float32(encoding.red / weight) - blue * np.float32(encoding.blue / weight)
    for band, values in enumerate((luma + red, green, luma + blue)):
        np.clip(np.rint(values, out=values), 0, top, out=values)
        pixels[:, :, band] = values
