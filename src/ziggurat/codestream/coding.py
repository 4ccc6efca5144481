"""How one tile is coded: the main header with what the tile's own headers change (ISO/IEC 15444-1 A.6)."""

from collections.abc import Sequence
from dataclasses import dataclass

from ziggurat.codestream import segments
from ziggurat.codestream.fields import Fields
from ziggurat.codestream.markers import MainHeader, Marker, Segment
from ziggurat.codestream.segments import Cod, CodingStyle, Progression, ProgressionChange, Quantization

_BYPASS, _TERMINATE_ALL, _HT = 0x01, 0x04, 0x40

PLAIN, BYPASS, TERMINATED, HIGH_THROUGHPUT = range(4)
"""How the passes of a code-block fall into codeword segments: all in one; ten, then two and one in turn; each
alone; a cleanup pass, then what refines it (D.4.2, D.6; 15444-15 B.3)."""


@dataclass(frozen=True, slots=True)
class ComponentCoding:
    """One component of one tile.

    Attributes:
        style: COD's or COC's.
        quantization: QCD's or QCC's.
        roi: bits by which a region of interest is shifted, RGN's; 0 is none.
    """

    style: CodingStyle
    quantization: Quantization
    roi: int

    @property
    def termination(self) -> int:
        """PLAIN, BYPASS, TERMINATED or HIGH_THROUGHPUT."""
        if self.style.block_style & _HT:
            return HIGH_THROUGHPUT
        if self.style.block_style & _TERMINATE_ALL:
            return TERMINATED
        return BYPASS if self.style.block_style & _BYPASS else PLAIN


@dataclass(frozen=True, slots=True)
class TileCoding:
    """One tile.

    Attributes:
        sop, eph: whether packets may begin with SOP, and packet headers end with EPH.
        progression: order of the packets, where ``changes`` is empty.
        layers: quality layers.
        component_transform: 1 where the first three components are decorrelated (Annex G).
        components: each component's coding.
        changes: POC, which then alone says the order.
    """

    sop: bool
    eph: bool
    progression: Progression
    layers: int
    component_transform: int
    components: tuple[ComponentCoding, ...]
    changes: tuple[ProgressionChange, ...]

    @property
    def levels(self) -> int:
        """Decomposition levels that every component has."""
        return min(item.style.levels for item in self.components)


def main_coding(main: MainHeader) -> TileCoding:
    """The coding of every tile whose own headers change nothing."""
    return _coding(main, main.cod, {}, {}, {}, main.poc, own_cod=False, qcd=None)


def tile_coding(main: MainHeader, data: bytes, found: Sequence[Segment], *, base: int) -> TileCoding:
    """The coding of a tile (A.6: tile-part COC before COD before main COC before COD, and so on).

    Args:
        main: the main header.
        data: bytes that hold the headers of the tile's parts.
        found: the marker segments of these headers, with offsets in ``data``.
        base: the file's offset of ``data``, for messages.

    Raises:
        CorruptImage: naming marker, byte and rule.
    """
    count = len(main.siz.components)
    of: dict[int, list[Fields]] = {}
    for item in found:
        name = f"marker {item.name} at byte {base + item.offset}"
        of.setdefault(item.marker, []).append(Fields(data, item.offset + 4, item.end, name))
    if not of.keys() & {Marker.COD, Marker.COC, Marker.QCD, Marker.QCC, Marker.RGN, Marker.POC}:
        return main_coding(main)
    cods = [segments.parse_cod(fields) for fields in of.get(Marker.COD, ())]
    qcds = [segments.parse_quantization(fields) for fields in of.get(Marker.QCD, ())]
    qcc = [(segments.parse_component(fields, count), fields) for fields in of.get(Marker.QCC, ())]
    changes = tuple(change for fields in of.get(Marker.POC, ()) for change in segments.parse_poc(fields, count))
    return _coding(
        main,
        cods[-1] if cods else main.cod,
        dict(segments.parse_coc(fields, count) for fields in of.get(Marker.COC, ())),
        {component: segments.parse_quantization(fields) for component, fields in qcc},
        dict(segments.parse_rgn(fields, count) for fields in of.get(Marker.RGN, ())),
        changes or main.poc,
        own_cod=bool(cods),
        qcd=qcds[-1] if qcds else None,
    )


def _coding(  # noqa: PLR0913 - one per kind of marker
    main: MainHeader,
    cod: Cod,
    coc: dict[int, CodingStyle],
    qcc: dict[int, Quantization],
    rgn: dict[int, int],
    changes: tuple[ProgressionChange, ...],
    *,
    own_cod: bool,
    qcd: Quantization | None,
) -> TileCoding:
    components = tuple(
        ComponentCoding(
            style=coc[index] if index in coc else cod.style if own_cod else main.coding(index),
            quantization=qcc[index] if index in qcc else qcd or main.quantization(index),
            roi=rgn.get(index, main.rgn.get(index, 0)),
        )
        for index in range(len(main.siz.components))
    )
    return TileCoding(
        sop=cod.sop,
        eph=cod.eph,
        progression=cod.progression,
        layers=cod.layers,
        component_transform=cod.component_transform,
        components=components,
        changes=changes,
    )
