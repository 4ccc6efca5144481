"""The main header of a JPEG 2000 codestream, and where its tile-parts lie (ISO/IEC 15444-1 Annex A).

Parsers work on a prefix of the codestream and answer ``Incomplete`` where it is too short. Offsets are
counted from SOC; ``base`` only makes messages name the byte of the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ziggurat.codestream import segments
from ziggurat.codestream.fields import Fields, Incomplete
from ziggurat.codestream.segments import (
    Cap,
    Cod,
    CodingStyle,
    ProgressionChange,
    Quantization,
    Siz,
    TilePartLength,
)
from ziggurat.errors import CorruptImage


class Marker(IntEnum):
    """Marker codes: Table A.2, 15444-2 Annex A, 15444-15."""

    SOC = 0xFF4F
    CAP = 0xFF50
    SIZ = 0xFF51
    COD = 0xFF52
    COC = 0xFF53
    TLM = 0xFF55
    PRF = 0xFF56
    PLM = 0xFF57
    PLT = 0xFF58
    CPF = 0xFF59
    QCD = 0xFF5C
    QCC = 0xFF5D
    RGN = 0xFF5E
    POC = 0xFF5F
    PPM = 0xFF60
    PPT = 0xFF61
    CRG = 0xFF63
    COM = 0xFF64
    DFS = 0xFF72
    ADS = 0xFF73
    MCT = 0xFF74
    MCC = 0xFF75
    NLT = 0xFF76
    MCO = 0xFF77
    CBD = 0xFF78
    ATK = 0xFF79
    SOT = 0xFF90
    SOD = 0xFF93
    EOC = 0xFFD9


_SOT_LENGTH = 12
_BLOCK_STYLE_HT = 0x40
_PART_HT = 15

_DELIMITERS = frozenset({Marker.SOC, Marker.SOT, Marker.SOD, Marker.EOC})


def _name(marker: int) -> str:
    return Marker(marker).name if marker in Marker else f"0x{marker:04X}"


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a marker segment lies: ``offset`` of its marker, ``end`` past its last byte."""

    marker: int
    offset: int
    end: int

    @property
    def name(self) -> str:
        """The standard's name, or the code."""
        return _name(self.marker)


@dataclass(frozen=True, slots=True, kw_only=True)
class MainHeader:
    """Everything the main header says.

    Attributes:
        length: bytes from SOC to the first SOT.
        segments: every marker segment in order, those that are not parsed included.
        coc, qcc, rgn: what differs from the default, by component; for RGN the shift.
        poc: progression changes for the whole image.
        tlm: tile-part lengths, those of several TLM segments joined in their order.
    """

    siz: Siz
    cod: Cod
    qcd: Quantization
    length: int
    segments: tuple[Segment, ...]
    cap: Cap | None = None
    coc: Mapping[int, CodingStyle] = field(default_factory=dict)
    qcc: Mapping[int, Quantization] = field(default_factory=dict)
    rgn: Mapping[int, int] = field(default_factory=dict)
    poc: tuple[ProgressionChange, ...] = ()
    tlm: tuple[TilePartLength, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """Names of the markers present, each once, in order of appearance."""
        return tuple(dict.fromkeys(["SOC", *(segment.name for segment in self.segments)]))

    @property
    def ht(self) -> bool:
        """Whether code-blocks may be coded by the high-throughput coder (15444-15)."""
        styles = [self.cod.style, *self.coc.values()]
        return any(style.block_style & _BLOCK_STYLE_HT for style in styles) or (
            self.cap is not None and _PART_HT in self.cap.parts
        )

    @property
    def part_2(self) -> bool:
        """Whether a decomposition or a wavelet of 15444-2 is used, of which only the name is known here."""
        styles = [self.cod.style, *self.coc.values()]
        return any(style.factors is not None or style.transform > 1 for style in styles)

    @property
    def levels(self) -> int:
        """Decomposition levels that every component has, as far as the main header knows."""
        return min(style.levels for style in (self.cod.style, *self.coc.values()))

    def coding(self, component: int) -> CodingStyle:
        """How a component is coded, unless a tile says otherwise."""
        return self.coc.get(component, self.cod.style)

    def quantization(self, component: int) -> Quantization:
        """How a component is quantised, unless a tile says otherwise."""
        return self.qcc.get(component, self.qcd)


@dataclass(frozen=True, slots=True)
class TilePart:
    """One tile-part (A.4.2).

    Attributes:
        tile: index of its tile.
        part: TPsot.
        parts: TNsot; 0 where this part does not tell.
        offset: of SOT.
        end: past its last byte.
    """

    tile: int
    part: int
    parts: int
    offset: int
    end: int


def scan_segments(data: bytes, start: int, *, until: Marker, base: int) -> tuple[list[Segment], Incomplete | int]:
    """Lists marker segments up to a delimiting marker.

    Args:
        data: a prefix of the codestream.
        start: where the first marker lies.
        until: SOT in the main header, SOD in a tile-part's.
        base: the file's offset of the codestream, for messages.

    Returns:
        The segments that lie in the prefix whole, and the offset of the delimiting marker or
        how many bytes are needed to get further.

    Raises:
        CorruptImage: if there is no marker where one must be, or a length is impossible.
    """
    found: list[Segment] = []
    at = start
    while True:
        marker = int.from_bytes(data[at : at + 2])
        if at + 2 <= len(data) and marker == until:
            return found, at
        if at + 4 > len(data):
            return found, Incomplete(at + 4)
        name = _name(marker)
        if marker < 0xFF01 or marker in _DELIMITERS:  # noqa: PLR2004 - markers begin with FF
            raise CorruptImage(f"codestream at byte {base + at}: {name} where a marker segment or {until.name} must be")
        length = int.from_bytes(data[at + 2 : at + 4])
        if 0xFF30 <= marker <= 0xFF3F:  # noqa: PLR2004 - these stand alone (Table A.1)
            length = 0
        elif length < 2:  # noqa: PLR2004 - the length counts itself
            raise CorruptImage(
                f"marker {name} at byte {base + at}: length {length}, it counts itself and is at least 2"
            )
        end = at + 2 + length
        if end > len(data):
            return found, Incomplete(end)
        found.append(Segment(marker, at, end))
        at = end


def parse_main_header(data: bytes, *, base: int = 0) -> MainHeader | Incomplete:
    """Parses the main header from a prefix of the codestream.

    Args:
        data: the codestream from SOC on, as much as is at hand.
        base: the file's offset of SOC, for messages.

    Raises:
        CorruptImage: naming marker, byte and rule.
    """
    if len(data) < 4:  # noqa: PLR2004 - SOC and SIZ
        return Incomplete(4)
    if int.from_bytes(data[:4]) != Marker.SOC << 16 | Marker.SIZ:
        raise CorruptImage(f"codestream at byte {base} begins with {data[:4].hex(' ')}, not with SOC and SIZ")
    found, end = scan_segments(data, 2, until=Marker.SOT, base=base)
    if found:
        # Checked at once: a damaged size should not cost reading to the end of the file.
        siz = segments.parse_siz(_fields(data, found[0], base))
    if isinstance(end, Incomplete):
        return end
    return _assemble(data, siz, found, end, base)


def _fields(data: bytes, segment: Segment, base: int) -> Fields:
    return Fields(data, segment.offset + 4, segment.end, f"marker {segment.name} at byte {base + segment.offset}")


def _assemble(data: bytes, siz: Siz, found: list[Segment], length: int, base: int) -> MainHeader:
    count = len(siz.components)
    of: dict[int, list[Fields]] = {}
    for segment in found:
        of.setdefault(segment.marker, []).append(_fields(data, segment, base))
    for marker, name in ((Marker.COD, "COD"), (Marker.QCD, "QCD")):
        if marker not in of:
            raise CorruptImage(f"codestream at byte {base}: its main header has no {name}, which is required")
    if len(of[Marker.SIZ]) > 1:
        raise CorruptImage(f"{of[Marker.SIZ][1].name}: a second SIZ")
    qcc = [(segments.parse_component(fields, count), fields) for fields in of.get(Marker.QCC, ())]
    tlm = sorted(map(segments.parse_tlm, of.get(Marker.TLM, ())), key=lambda item: item[0])
    return MainHeader(
        siz=siz,
        cod=segments.parse_cod(of[Marker.COD][-1]),
        qcd=segments.parse_quantization(of[Marker.QCD][-1]),
        length=length,
        segments=tuple(found),
        cap=next(map(segments.parse_cap, of.get(Marker.CAP, ())), None),
        coc=dict(segments.parse_coc(fields, count) for fields in of.get(Marker.COC, ())),
        qcc={component: segments.parse_quantization(fields) for component, fields in qcc},
        rgn=dict(segments.parse_rgn(fields, count) for fields in of.get(Marker.RGN, ())),
        poc=tuple(change for fields in of.get(Marker.POC, ()) for change in segments.parse_poc(fields, count)),
        tlm=tuple(entry for _, entries in tlm for entry in entries),
        comments=tuple(map(segments.parse_comment, of.get(Marker.COM, ()))),
    )


def parse_tile_part(data: bytes, at: int, *, tiles: int, base: int = 0, size: int) -> TilePart | Incomplete:
    """Parses a SOT segment.

    Args:
        data: a prefix of the codestream.
        at: where SOT lies in it.
        tiles: how many tiles there are.
        base: the file's offset of the codestream, for messages.
        size: length of the whole codestream; a part of length 0 reaches to its end (to EOC, if it is there).

    Raises:
        CorruptImage: naming byte and rule.
    """
    if at + _SOT_LENGTH > len(data):
        return Incomplete(at + _SOT_LENGTH)
    fields = Fields(data, at, at + _SOT_LENGTH, f"marker SOT at byte {base + at}")
    marker = fields.number(2)
    fields.require(marker == Marker.SOT, f"there is 0x{marker:04X} instead")
    fields.require(fields.number(2) == _SOT_LENGTH - 2, "its length is not 10")
    tile, length, part, parts = fields.number(2), fields.number(4), fields.number(1), fields.number(1)
    fields.require(tile < tiles, f"tile {tile}, there are {tiles}")
    # 12 is not allowed, but encoders write it for a tile-part without even SOD.
    fields.require(length == 0 or length >= _SOT_LENGTH, f"a tile-part of {length} bytes")
    return TilePart(tile, part, parts, at, size if length == 0 else at + length)
