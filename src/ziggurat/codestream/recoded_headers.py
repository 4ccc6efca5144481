"""What a codestream's headers say once its packets are put in another order, or some of them left out."""

from collections.abc import Iterable
from dataclasses import replace

from ziggurat.codestream.chunk import CHUNK_HEAD
from ziggurat.codestream.markers import MainHeader, Marker
from ziggurat.codestream.recoding import Recoding, Split, recoded_siz
from ziggurat.codestream.segments import Siz

_WIDE = 257
"""Components from which component indexes take two bytes (A.6.2)."""

_PRECINCTS, _SOP, _EPH = 0x01, 0x02, 0x04
"""Bits of Scod (Table A.13)."""

_STRICT_PROFILE = 3
"""Profiles from here on (cinema, broadcast, IMF) prescribe the order of packets and tile-parts (Table A.10)."""

_PROFILE_BITS = 0x3FFF

_LEFT_OUT = b"\0\1Left out: "
"""How a comment begins (Latin text, A.9.2) that says what a codestream was stripped of."""

_REPLACED = frozenset({Marker.POC, Marker.PPM, Marker.PPT, Marker.PLM, Marker.PLT, Marker.TLM})
"""Segments that say where packets lie and in which order: written anew, or not needed."""


def main_segments(main: MainHeader, head: bytes, recoding: Recoding) -> tuple[bytes, list[str]]:
    """SOC and all segments of the main header but TLM.

    Args:
        main: the source's.
        head: its bytes, from SOC on.
        recoding: what is changed.

    Returns:
        The bytes, and what the user should know.
    """
    siz = recoded_siz(main.siz, recoding)
    notes = []
    profile = siz.capabilities & _PROFILE_BITS
    strict = profile >= _STRICT_PROFILE or (profile and not recoding.coarse_first and recoding.split is not Split.NONE)
    if strict:
        siz = replace(siz, capabilities=siz.capabilities & ~_PROFILE_BITS)
        notes.append(f"profile {profile}, which prescribes another layout, is no longer claimed")
    out = [Marker.SOC.to_bytes(2)]
    for item in main.segments:
        segment = head[item.offset : item.end]
        if item.marker == Marker.SIZ:
            out.append(_siz(segment, siz))
        elif not (strict and item.marker == Marker.PRF):
            out.append(_recoded_segment(item.marker, segment, recoding, len(siz.components)))
    if recoding.drop_levels or recoding.drop_layers:
        text = f"{recoding.drop_levels} resolutions, {recoding.drop_layers} layers"
        content = _LEFT_OUT + text.encode("ascii")
        out.append(Marker.COM.to_bytes(2) + (len(content) + 2).to_bytes(2) + content)
    if main.poc:
        notes.append(f"progression changes (POC) are replaced by {recoding.progression.name} throughout")
    if main.cod.sop:
        notes.append("SOP markers, which number packets in their old order, are left out")
    if main.cod.eph and recoding.chunks:
        notes.append("EPH markers, without which decoders take no cut codestream, are left out")
    return b"".join(out), notes


def is_stripped(main: MainHeader, head: bytes) -> bool:
    """Whether something was left out when this codestream was laid out: its samples may overshoot their range.

    Args:
        main: its main header.
        head: its bytes, from SOC on.
    """
    comments = (head[item.offset + 4 : item.end] for item in main.segments if item.marker == Marker.COM)
    return any(content.startswith(_LEFT_OUT) for content in comments)


def own_segments(segments: Iterable[tuple[int, bytes]], recoding: Recoding, components: int) -> bytes:
    """What the headers of a tile's parts say of the tile, for the first of its new parts.

    Args:
        segments: markers and whole segments of all of them, in order.
        recoding: what is changed.
        components: of the codestream.
    """
    return b"".join(_recoded_segment(marker, segment, recoding, components) for marker, segment in segments)


def _siz(segment: bytes, siz: Siz) -> bytes:
    numbers = (siz.x1, siz.y1, siz.x0, siz.y0, siz.tile_width, siz.tile_height, siz.tile_x0, siz.tile_y0)
    geometry = b"".join(number.to_bytes(4) for number in numbers)
    return segment[:4] + siz.capabilities.to_bytes(2) + geometry + segment[38:]


def _recoded_segment(marker: int, segment: bytes, recoding: Recoding, components: int) -> bytes:
    """A segment as it has to be: as it was, changed, or not at all."""
    wide = 1 if components < _WIDE else 2
    content = segment[4:]
    match marker:
        case _ if marker in _REPLACED:
            return b""
        case Marker.COM if content.startswith(CHUNK_HEAD):
            return b""
        case Marker.COD:
            layers = max(1, int.from_bytes(content[2:4]) - recoding.drop_layers)
            gone = _SOP | _EPH if recoding.chunks else _SOP
            head = bytes([content[0] & ~gone, recoding.progression]) + layers.to_bytes(2) + content[4:5]
            content = head + _style(content[5:], content[0], recoding.drop_levels)
        case Marker.COC if recoding.drop_levels:
            style = _style(content[wide + 1 :], content[wide], recoding.drop_levels)
            content = content[: wide + 1] + style
        case Marker.QCD if recoding.drop_levels:
            content = _quantization(content, recoding.drop_levels)
        case Marker.QCC if recoding.drop_levels:
            content = content[:wide] + _quantization(content[wide:], recoding.drop_levels)
        case _:
            return segment
    return segment[:2] + (len(content) + 2).to_bytes(2) + content


def _style(style: bytes, flags: int, level: int) -> bytes:
    """SPcod or SPcoc (Table A.20) without the finest levels; precincts come with the coarsest first."""
    if not level:
        return style
    levels = max(0, style[0] - level)
    precincts = style[5 : 6 + levels] if flags & _PRECINCTS else b""
    return bytes([levels]) + style[1:5] + precincts


def _quantization(content: bytes, level: int) -> bytes:
    """Sqcd and its steps without those of the finest subbands, which are the last; derived ones stay (E-5)."""
    style = content[0] & 31
    if style == 1:
        return content
    step = 1 if style == 0 else 2
    return content[: max(1 + step, len(content) - 3 * level * step)]
