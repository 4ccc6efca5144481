"""ICC profiles (ICC.1:2022): what they say of themselves, and conversion between two of them by lcms2."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import error as struct_error
from struct import unpack_from

import numpy as np
from imagecodecs import CMS, CmsError, cms_profile, cms_transform

from ziggurat.errors import CorruptImage
from ziggurat.model import Samples

_HEADER = 128
"""Bytes of a profile's header (7.2); the tag table follows."""

_TAGS = 256
"""More tags than any profile has; a table that claims more is not one."""

_NAME = 1024
"""Bytes of a description that are read: names are shown to people."""

_PROFILE_DATE = bytes.fromhex("07d000010001000000000000")
"""1 January 2000: profiles that are made here are the same bytes every time, and so are the files that hold them."""

_D50 = (0.345703, 0.358538, 1.0)
"""The white of the profile connection space, xyY (7.2.16)."""

_SPACES = {"GRAY": "gray", "RGB ": "rgb", "CMYK": "cmyk", "Lab ": "lab"}
"""Colour space signatures (7.2.6) that can be converted, and lcms's word for them."""

_BANDS = {"GRAY": 1, "RGB ": 3, "CMYK": 4, "Lab ": 3, "XYZ ": 3, "YCbr": 3, "Luv ": 3, "Yxy ": 3, "HSV ": 3} | {
    "HLS ": 3,
    "CMY ": 3,
}


def is_profile(icc: bytes) -> bool:
    """Whether the header (7.2) and the tag table are in order; the tags' contents are not looked at."""
    if len(icc) < _HEADER + 4 or icc[36:40] != b"acsp":
        return False
    size, tags = unpack_from(">I", icc)[0], unpack_from(">I", icc, _HEADER)[0]
    return bool(size <= len(icc) and tags <= _TAGS and _HEADER + 4 + 12 * tags <= size)


def profile_space(icc: bytes) -> str:
    """The signature of the colour space that it describes, such as "GRAY", "RGB ", "CMYK", "Lab "; "" if damaged."""
    return icc[16:20].decode("latin-1") if is_profile(icc) else ""


def profile_bands(icc: bytes) -> int:
    """Bands of the pixels that it describes; 0 if it is damaged or of no known colour space."""
    space = profile_space(icc)
    if space.endswith("CLR") and space[0] in "23456789ABCDEF":
        return int(space[0], 16)
    return _BANDS.get(space, 0)


def _tags(icc: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Signatures and contents of the tags that lie inside the profile."""
    for index in range(unpack_from(">I", icc, _HEADER)[0]):
        signature, offset, length = unpack_from(">4sII", icc, _HEADER + 4 + 12 * index)
        if offset + length <= len(icc):
            yield signature, icc[offset : offset + length]


def is_restricted(icc: bytes) -> bool:
    """Whether JP2 may hold it: grey or RGB of an input or display device, described by curves and a matrix, no tables.

    ISO/IEC 15444-1 I.5.3.3: method 2, "restricted ICC".
    """
    if profile_space(icc) not in {"GRAY", "RGB "} or icc[12:16] not in {b"scnr", b"mntr"}:
        return False
    return not any(signature[:3] in {b"A2B", b"D2B"} for signature, _ in _tags(icc))


def profile_name(icc: bytes) -> str:
    """The profile's description (9.2.41), English if it is given in several languages; "" if there is none.

    Reads textDescriptionType (ICC.1:2001-04 6.5.17) and multiLocalizedUnicodeType (ICC.1:2022 10.15).
    """
    if not is_profile(icc):
        return ""
    tag = next((content for signature, content in _tags(icc) if signature == b"desc"), b"")
    try:
        return _localised(tag) if tag[:4] == b"mluc" else _plain(tag)
    except struct_error:
        return ""


def _plain(tag: bytes) -> str:
    """textDescriptionType: the length of the ASCII text at byte 8, the text from byte 12."""
    kind, length = unpack_from(">4s4xI", tag)
    return _readable(tag[12 : 12 + min(length, _NAME)].split(b"\0")[0].decode("latin-1")) if kind == b"desc" else ""


def _localised(tag: bytes) -> str:
    """multiLocalizedUnicodeType: count at byte 8, from byte 16 records of language, country, length and offset."""
    names: dict[bytes, str] = {}
    for index in range(min(unpack_from(">I", tag, 8)[0], _TAGS)):
        language, length, offset = unpack_from(">2s2xII", tag, 16 + 12 * index)
        text = tag[offset : offset + min(length, _NAME)].decode("utf-16-be", "replace")
        names.setdefault(language, _readable(text))
    return names.get(b"en") or next(iter(names.values()), "")


def _readable(text: str) -> str:
    """The text without what a terminal or a log would take for a command."""
    return "".join(letter for letter in text if letter.isprintable()).strip()


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC v4 profile of sRGB (IEC 61966-2-1), 588 bytes, for files that are to say so."""
    return _dated(cms_profile("srgb"))


@lru_cache(maxsize=1)
def grey_profile() -> bytes:
    """A profile of grey with the tone curve of sRGB, which is what viewers take grey without a profile for."""
    code = np.linspace(0, 1, 4096)
    curve = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - IEC 61966-2-1 5.2
    return _dated(cms_profile("gray", whitepoint=_D50, transferfunction=curve.astype(np.float32)))


@lru_cache(maxsize=1)
def lab_profile() -> bytes:
    """The identity of CIELab, D50, in the encoding of ICC.1:2022 6.3.4.2."""
    return _dated(cms_profile("lab4"))


def _dated(profile: bytes) -> bytes:
    return profile[:24] + _PROFILE_DATE + profile[36:]


@dataclass(frozen=True, slots=True)
class Transform:
    """From one profile's colours to another's: relative colorimetric intent with black point compensation.

    Attributes:
        icc: of the pixels that are given; GRAY, RGB, CMYK or Lab.
        target: of the pixels that are wanted; GRAY or RGB.
    """

    icc: bytes
    target: bytes

    def __call__(self, pixels: Samples) -> Samples:
        """Converts full-range pixels.

        Args:
            pixels: (y, x, band) of uint8 or uint16, as many bands as the profile describes.

        Returns:
            (y, x, 1 or 3) of uint8.

        Raises:
            CorruptImage: if lcms cannot use the profile.
        """
        if not convertible(self.icc):
            raise CorruptImage(f"its ICC profile is damaged or of colour space {profile_space(self.icc)!r}")
        source, target = _SPACES[profile_space(self.icc)], _SPACES[profile_space(self.target)]
        flags: int = CMS.FLAGS.BLACKPOINTCOMPENSATION
        if pixels.dtype == np.uint16:
            # For 16 bits lcms would put a coarse grid of colours in place of curves and a matrix, which is off by up
            # to 20 codes of 255 at the edge of the gamut; for 8 bits it computes, within one code, and faster.
            flags |= CMS.FLAGS.NOOPTIMIZE
        try:
            out: Samples = cms_transform(
                # The binding takes a last axis of one band for a row of pixels: grey goes without it.
                np.ascontiguousarray(pixels[:, :, 0] if source == "gray" else pixels),
                self.icc,
                self.target,
                colorspace=source,
                outcolorspace=target,
                intent=CMS.INTENT.RELATIVE_COLORIMETRIC,
                flags=flags,
                outdtype=np.uint8,
            )
        except (CmsError, ValueError) as error:
            raise CorruptImage(f"its ICC profile {profile_name(self.icc)!r} cannot be used: {error}") from error
        return out.reshape(*pixels.shape[:2], -1)


def convertible(icc: bytes) -> bool:
    """Whether its colour space is one that ``Transform`` takes."""
    return profile_space(icc) in _SPACES


def is_srgb(icc: bytes) -> bool:
    """Whether converting to sRGB moves no colour of a coarse cube by more than one code of 255.

    Raises:
        CorruptImage: if lcms cannot use the profile.
    """
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    match profile_space(icc):
        case "RGB ":
            cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
            moved = Transform(icc, srgb_profile())(cube)
        case "GRAY":
            cube = np.arange(256, dtype=np.uint8).reshape(1, -1, 1)
            moved = Transform(icc, grey_profile())(cube)
        case _:
            return False
    return bool(np.abs(moved.astype(np.int16) - cube).max() <= 1)
