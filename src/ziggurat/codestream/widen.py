"""A codestream that decodes to one bit more than it declares, so that what overshoots can be seen and clipped."""

from dataclasses import replace

from ziggurat.codestream.markers import MainHeader, Marker, Segment

_GUARD_SHIFT = 5
_SIZ_COMPONENTS = 40
_MAX_EXPONENT = 31


def widened(data: bytes, main: MainHeader) -> bytes | None:
    """The same coefficients with every component declared one bit deeper.

    A reconstruction by the 9-7 transform, or by the 5-3 transform of truncated data, may leave the declared range;
    a decoder that does not clip wraps white to black. With one bit more it cannot: samples v come out as
    v + 2^(depth - 1) where they are unsigned, as they are where they are signed, and are clipped by the caller.

    For the 9-7 transform the step of a subband is relative to the depth (E-3): the exponents grow by one, the guard
    bits shrink by one, so that steps and magnitude bits (E-2) stay the same.

    Returns:
        The codestream, or None where there is no guard bit to spare or no room in an exponent.
    """
    head = bytearray(data[: main.length])
    for index in range(len(main.siz.components)):
        head[main.segments[0].offset + _SIZ_COMPONENTS + 3 * index] += 1
    wide = 1 if len(main.siz.components) < 257 else 2  # noqa: PLR2004 - A.6.5
    for segment in main.segments:
        if segment.marker == Marker.QCD and not _shift(head, replace(segment, offset=segment.offset + 4)):
            return None
        if segment.marker == Marker.QCC and not _shift(head, replace(segment, offset=segment.offset + 4 + wide)):
            return None
    return b"".join((head, memoryview(data)[main.length :]))


def _shift(head: bytearray, body: Segment) -> bool:
    """Moves a guard bit into the exponents, unless steps are not relative to the depth at all."""
    first = head[body.offset]
    if first & 31 == 0:
        return True
    exponents = range(body.offset + 1, body.end - 1, 2)
    if first >> _GUARD_SHIFT == 0 or any(head[at] >> 3 == _MAX_EXPONENT for at in exponents):
        return False
    head[body.offset] = first - (1 << _GUARD_SHIFT)
    for at in exponents:
        head[at] += 1 << 3
    return True
