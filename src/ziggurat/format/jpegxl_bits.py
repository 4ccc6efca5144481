"""The bit-packed header of a JPEG XL codestream, ISO/IEC 18181-1 annexes A and D."""

from dataclasses import dataclass
from typing import NamedTuple

from ziggurat.errors import CorruptImage
from ziggurat.model import Alpha

type Choice = tuple[int, int]
"""An offset, and the number of bits that are added to it."""

_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_RGB, _GREY = 0, 1
_ALPHA_CHANNEL, _SPOT_CHANNEL, _CFA_CHANNEL = 0, 2, 5
_D65, _CUSTOM, _SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 2, 1, 13


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a codestream says of its image.

    Attributes:
        height: rows, as stored.
        width: columns, as stored.
        bits: of a sample.
        floating: whether samples are floating point.
        alpha: kind of the alpha channel.
        orientation: EXIF's number.
        grey: whether there is one colour channel.
        srgb: whether the colour encoding is exactly sRGB.
        xyb: whether colours are stored in XYB, lossily.
        has_icc: whether an ICC profile follows.
        animated: whether there may be several frames.
        unsupported: what the header asks for beyond this, in words.
    """

    height: int
    width: int
    bits: int = 8
    floating: bool = False
    alpha: Alpha | None = None
    orientation: int = 1
    grey: bool = False
    srgb: bool = True
    xyb: bool = True
    has_icc: bool = False
    animated: bool = False
    unsupported: str | None = None


class _Bits:
    """Reads little-endian bits (18181-1 B.2)."""

    def __init__(self, data: bytes, name: str) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)
        self._name = name

    def take(self, count: int) -> int:
        if count > self._left:
            raise CorruptImage(f"{self._name}: the JPEG XL codestream ends inside its header: truncated")
        result = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return result

    def flag(self) -> bool:
        return bool(self.take(1))

    def choose(self, choices: tuple[Choice, Choice, Choice, Choice]) -> int:
        """U32 (18181-1 B.2.2): two bits choose among four distributions."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


class _Depth(NamedTuple):
    bits: int
    floating: bool


class _Channel(NamedTuple):
    kind: int
    alpha: Alpha


def parse_header(data: bytes, name: str) -> ImageHeader:
    """SizeHeader and ImageMetadata (18181-1 D.2, D.3).

    Args:
        data: the codestream's first bytes.
        name: for messages.

    Raises:
        CorruptImage: if they are no such header.
    """
    if not data.startswith(b"\xff\x0a"):
        raise CorruptImage(f"{name} holds no JPEG XL codestream")
    bits = _Bits(data[2:], name)
    height, width = _size(bits)
    if bits.flag():
        return ImageHeader(height, width)
    orientation, animated = _extra_fields(bits) if bits.flag() else (1, False)
    depth = _depth(bits)
    bits.flag()  # whether 16-bit buffers suffice for modular decoding
    channels = [_channel(bits) for _ in range(bits.choose(((0, 0), (1, 0), (2, 4), (1, 12))))]
    xyb = bits.flag()
    grey, srgb, has_icc, strange = _colour(bits)
    others = [c for c in channels if c.kind != _ALPHA_CHANNEL]
    if others or len(channels) > 1:
        strange = f"an image with {len(channels)} extra channels"
    return ImageHeader(
        height=height,
        width=width,
        bits=depth.bits,
        floating=depth.floating,
        alpha=channels[0].alpha if channels else None,
        orientation=orientation,
        grey=grey,
        srgb=srgb,
        xyb=xyb,
        has_icc=has_icc,
        animated=animated,
        unsupported=strange,
    )


def _size(bits: _Bits) -> tuple[int, int]:
    """SizeHeader: height and width in eighths or directly, the width perhaps as a ratio."""
    eighths = bits.flag()
    height = 8 * (1 + bits.take(5)) if eighths else bits.choose(_SIDE)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height, height * numerator // denominator
    return height, 8 * (1 + bits.take(5)) if eighths else bits.choose(_SIDE)


def _extra_fields(bits: _Bits) -> tuple[int, bool]:
    """Orientation, and whether it is an animation; the intrinsic size and the preview's are skipped."""
    orientation = 1 + bits.take(3)
    if bits.flag():
        _size(bits)
    if bits.flag():
        eighths = bits.flag()
        side = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
        bits.choose(side)
        if not bits.take(3):
            bits.choose(side)
    animated = bits.flag()
    if animated:
        bits.choose(((100, 0), (1000, 0), (1, 10), (1, 30)))
        bits.choose(((1, 0), (1001, 0), (1, 8), (1, 10)))
        bits.choose(((0, 0), (0, 3), (0, 16), (0, 32)))
        bits.flag()
    return orientation, animated


def _depth(bits: _Bits) -> _Depth:
    if bits.flag():
        depth = bits.choose(((32, 0), (16, 0), (24, 0), (1, 6)))
        bits.take(4)  # bits of the exponent
        return _Depth(depth, floating=True)
    return _Depth(bits.choose(((8, 0), (10, 0), (12, 0), (1, 6))), floating=False)


def _channel(bits: _Bits) -> _Channel:
    """ExtraChannelInfo (18181-1 D.3.6)."""
    if bits.flag():
        return _Channel(_ALPHA_CHANNEL, "straight")
    kind = bits.choose(_ENUM)
    _depth(bits)
    bits.choose(((0, 0), (3, 0), (4, 0), (1, 3)))  # how far it is subsampled
    bits.take(8 * bits.choose(((0, 0), (0, 4), (16, 5), (48, 10))))  # its name
    premultiplied = kind == _ALPHA_CHANNEL and bits.flag()
    if kind == _SPOT_CHANNEL:
        bits.take(4 * 16)
    if kind == _CFA_CHANNEL:
        bits.choose(((1, 0), (0, 2), (3, 4), (19, 8)))
    return _Channel(kind, "premultiplied" if premultiplied else "straight")


def _colour(bits: _Bits) -> tuple[bool, bool, bool, str | None]:
    """ColourEncoding (18181-1 E.2): grey, exactly sRGB, with ICC profile; or what else it is."""
    if bits.flag():
        return False, True, False, None
    has_icc = bits.flag()
    space = bits.choose(_ENUM)
    if space not in {_RGB, _GREY}:
        return False, False, has_icc, "a colour space other than RGB and grey"
    grey = space == _GREY
    if has_icc:
        return grey, False, True, None
    white = bits.choose(_ENUM)
    if white == _CUSTOM:
        return grey, False, False, None
    primaries = _SRGB_PRIMARIES if grey else bits.choose(_ENUM)
    if primaries == _CUSTOM:
        return grey, False, False, None
    gamma = bits.flag()
    exact = not gamma and bits.choose(_ENUM) == _SRGB_TRANSFER
    return grey, exact and white == _D65 and primaries == _SRGB_PRIMARIES and not grey, False, None
