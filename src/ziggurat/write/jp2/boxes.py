"""The boxes around a codestream: JP2 (ISO/IEC 15444-1 Annex I), JPX where JP2 has no such colours, JPH (15444-15)."""

from fractions import Fraction

from ziggurat.codec.icc import is_restricted, profile_bands
from ziggurat.codestream.boxes import SIGNATURE, UUID_EXIF, UUID_IPTC, UUID_XMP, ChannelType
from ziggurat.errors import UnsupportedFeature
from ziggurat.model import ColourSpace
from ziggurat.write.protocol import Picture

_LONGEST = (1 << 32) - 1

_ENUMERATED = {
    ColourSpace.SRGB: 16,
    ColourSpace.RGB: 16,
    ColourSpace.GREY: 17,
    ColourSpace.UNKNOWN: 17,
    ColourSpace.CMYK: 12,
}
"""EnumCS (15444-1 Table I.10, 15444-2 Table M.25). RGB that nobody describes is taken for sRGB, as readers do."""

_PART_1, _ANY_ICC, _CMYK = 5, 44, 55
"""Standard features of rreq (15444-2 Table M.14)."""

_UNASSOCIATED = 65535
_MAX_NUMBER = 65535


def before_codestream(picture: Picture, length: int, *, ht: bool, metadata: bool) -> bytes:
    """All boxes up to and with the header of the one that holds the codestream.

    Args:
        picture: what they describe.
        length: bytes of the codestream.
        ht: whether it is HTJ2K.
        metadata: whether XMP, EXIF and IPTC are carried over.

    Raises:
        UnsupportedFeature: if no such file can say what the colours are.
    """
    colour, feature = _colour(picture)
    content = _image_header(picture) + colour + _channels(picture) + _resolution(picture)
    out = [box(b"jP  ", SIGNATURE), *_type(feature, ht=ht), box(b"jp2h", content)]
    if metadata:
        blocks = picture.metadata
        named = ((UUID_EXIF, blocks.exif), (UUID_XMP, blocks.xmp), (UUID_IPTC, blocks.iptc))
        out += [box(b"uuid", name + block) for name, block in named if block]
    out.append(_head(b"jp2c", length))
    return b"".join(out)


def box(kind: bytes, content: bytes) -> bytes:
    """A box (I.4)."""
    return _head(kind, len(content)) + content


def _head(kind: bytes, length: int) -> bytes:
    if length + 8 <= _LONGEST:
        return (length + 8).to_bytes(4) + kind
    return (1).to_bytes(4) + kind + (length + 16).to_bytes(8)


def _type(feature: int | None, *, ht: bool) -> list[bytes]:
    """The file type, and where it is JPX what a reader must know (15444-2 M.11.1)."""
    if ht or feature is None:
        brand = b"jph " if ht else b"jp2 "
        return [box(b"ftyp", brand + bytes(4) + brand)]
    needed = b"".join(number.to_bytes(2) + bytes([mask]) for number, mask in ((_PART_1, 0x80), (feature, 0x40)))
    requirements = bytes([1, 0xC0, 0xC0]) + (2).to_bytes(2) + needed + bytes(2)
    return [box(b"ftyp", b"jpx " + bytes(4) + b"jpx "), box(b"rreq", requirements)]


def _image_header(picture: Picture) -> bytes:
    """The image header (I.5.3.1): bands alike, compression 7, colours known, no rights stated."""
    sign = 0x80 if picture.kind == "signed" else 0
    return box(
        b"ihdr",
        picture.size.height.to_bytes(4)
        + picture.size.width.to_bytes(4)
        + picture.bands.to_bytes(2)
        + bytes([picture.bit_depth - 1 | sign, 7, 0, 0]),
    )


def _colour(picture: Picture) -> tuple[bytes, int | None]:
    """The colour box (I.5.3.3), and the feature of JPX that it uses, if any."""
    space = picture.colour_space
    if picture.icc is not None and profile_bands(picture.icc) == _colours(picture):
        restricted = is_restricted(picture.icc)
        method = 2 if restricted else 3
        return box(b"colr", bytes([method, 0, 0]) + picture.icc), None if restricted else _ANY_ICC
    if space not in _ENUMERATED:
        raise UnsupportedFeature(f"a JPEG 2000 file has no colour space {space} without a profile; choose ptiff")
    return box(b"colr", bytes([1, 0, 0]) + _ENUMERATED[space].to_bytes(4)), _CMYK if space is ColourSpace.CMYK else None


def _colours(picture: Picture) -> int:
    """Bands that are colours; of unknown bands the first is taken for grey, and the others for what they are."""
    return picture.colour_space.bands or 1


def _channels(picture: Picture) -> bytes:
    """The channel definitions (I.5.3.6), where there is more than colours."""
    colours, alpha = _colours(picture), picture.alpha
    if picture.bands == colours:
        return b""
    channels = [(number, ChannelType.COLOUR, number + 1) for number in range(colours)]
    others = range(colours, picture.bands - (alpha is not None))
    channels += [(number, ChannelType.UNSPECIFIED, _UNASSOCIATED) for number in others]
    if alpha is not None:
        kind = ChannelType.OPACITY if alpha == "straight" else ChannelType.PREMULTIPLIED_OPACITY
        channels.append((picture.bands - 1, kind, 0))
    return box(
        b"cdef",
        len(channels).to_bytes(2) + b"".join(number.to_bytes(2) for channel in channels for number in channel),
    )


def _resolution(picture: Picture) -> bytes:
    """The capture resolution (I.5.3.7.1)."""
    if picture.resolution is None or not min(picture.resolution.y, picture.resolution.x) > 0:
        return b""
    y, y_exponent = _ratio(picture.resolution.y)
    x, x_exponent = _ratio(picture.resolution.x)
    return box(b"res ", box(b"resc", y + x + y_exponent + x_exponent))


def _ratio(value: float) -> tuple[bytes, bytes]:
    """A number as numerator, denominator and power of ten: dots per inch come out exact."""
    left, power = Fraction(value), 0
    while left >= 10:  # noqa: PLR2004 - the exponent is one of ten
        left, power = left / 10, power + 1
    while left < 1:
        left, power = left * 10, power - 1
    left = left.limit_denominator(_MAX_NUMBER // 10)
    return left.numerator.to_bytes(2) + left.denominator.to_bytes(2), power.to_bytes(1, signed=True)
