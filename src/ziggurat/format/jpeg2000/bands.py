"""From components to bands: palette, order, opacity, depth and sign. Decided from the header alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from ziggurat.codestream.boxes import Channel, ChannelType, Jp2Header, Palette
from ziggurat.codestream.markers import MainHeader
from ziggurat.codestream.segments import Component
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.jpeg2000.colour import YCBCR_BY_CONVENTION, LumaChroma, Meaning, choose
from ziggurat.model import Alpha, ColourSpace

MAX_DEPTH = 31
"""Bits of a sample that both decoders return unharmed."""

_COLOURS = 3
_EIGHT, _SIXTEEN = 8, 16


@dataclass(frozen=True, slots=True)
class Band:
    """One band: the component it comes from, the palette column if any, and its stored depth and sign."""

    component: int
    column: int | None
    depth: int
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPlan:
    """How decoded components become the bands of the result.

    Attributes:
        bands: in the order of the result: colours, then unspecified ones, then opacity.
        depth: bits of every band of the result. Shallower ones are scaled to it: unsigned v becomes
            round(v * (2^depth - 1) / (2^d - 1)), signed v * 2^(depth - d).
        signed: whether the result is; signed bands beside unsigned ones are raised by half their range.
        palette: where bands are looked up in it.
        encoding: the luma-chroma encoding that is undone, in the first three bands.
        icc: profile that fits the bands.
        notes: what in the boxes was not followed.
    """

    bands: tuple[Band, ...]
    depth: int
    signed: bool
    palette: Palette | None
    encoding: LumaChroma | None
    space: ColourSpace
    alpha: Alpha | None
    icc: bytes | None
    notes: tuple[str, ...]

    @property
    def dtype(self) -> str:
        """Name of the result's type in numpy."""
        bits = _EIGHT if self.depth <= _EIGHT else _SIXTEEN if self.depth <= _SIXTEEN else 32
        return f"{'int' if self.signed else 'uint'}{bits}"

    @property
    def plain(self) -> bool:
        """Whether decoded samples are the result's as they are."""
        return (
            self.palette is None
            and self.encoding is None
            and all(band.depth == self.depth and band.signed == self.signed for band in self.bands)
        )


def plan_bands(main: MainHeader, header: Jp2Header) -> BandPlan:
    """Decides on the bands.

    Raises:
        CorruptImage: if the boxes name components, columns or channels that do not exist.
        UnsupportedFeature: if samples are too deep.
    """
    components = main.siz.components
    stored = _channels(components, header)
    order, colours, alpha, notes = _arrange(len(stored), header.channels)
    bands = tuple(stored[index] for index in order)
    depth = max(band.depth for band in bands)
    if depth > MAX_DEPTH:
        raise UnsupportedFeature(f"samples of {depth} bits; at most {MAX_DEPTH} can be decoded")
    meaning, remark = _meaning(main, header, [components[band.component] for band in bands], colours)
    if remark:
        notes.append(remark)
    signed_bands = [band.signed for band in (bands[:1] if meaning.encoding else bands)]
    return BandPlan(
        bands=bands,
        depth=depth,
        signed=all(signed_bands),
        palette=header.palette,
        encoding=meaning.encoding,
        space=meaning.space,
        alpha=alpha,
        icc=meaning.icc,
        notes=tuple(notes),
    )


def _channels(components: Sequence[Component], header: Jp2Header) -> list[Band]:
    """The channels in the file's order: components, or what cmap makes of them (I.5.3.5)."""
    palette = header.palette
    if palette is None:
        return [Band(index, None, item.depth, item.signed) for index, item in enumerate(components)]
    bands = []
    for channel, mapping in enumerate(header.mappings):
        if mapping.component >= len(components):
            raise CorruptImage(
                f"box 'cmap': channel {channel} comes from component {mapping.component}, there are {len(components)}"
            )
        item = components[mapping.component]
        if mapping.column is None:
            bands.append(Band(mapping.component, None, item.depth, item.signed))
        elif mapping.column >= len(palette.depths):
            raise CorruptImage(
                f"box 'cmap': channel {channel} takes palette column {mapping.column}, there are {len(palette.depths)}"
            )
        else:
            depth, signed = palette.depths[mapping.column], palette.signed[mapping.column]
            bands.append(Band(mapping.component, mapping.column, depth, signed))
    return bands


def _arrange(count: int, channels: Sequence[Channel]) -> tuple[list[int], int | None, Alpha | None, list[str]]:
    """The order of the bands, how many of them are colours (None: not said), and the opacity (I.5.3.6)."""
    if not channels:
        return list(range(count)), None, None, []
    for channel in channels:
        if channel.index >= count:
            raise CorruptImage(f"box 'cdef' defines channel {channel.index}, there are {count}")
    notes: list[str] = []
    colours = sorted(
        (channel for channel in channels if channel.kind == ChannelType.COLOUR),
        key=lambda channel: channel.colour or 0,
    )
    opacities = [
        channel
        for channel in channels
        if channel.kind in {ChannelType.OPACITY, ChannelType.PREMULTIPLIED_OPACITY} and not channel.colour
    ]
    if len(opacities) > 1:
        notes.append(f"{len(opacities)} channels of opacity; the first is used, the others are plain bands")
    alpha: Alpha | None = None
    placed = [channel.index for channel in colours]
    last = []
    if opacities:
        last = [opacities[0].index]
        alpha = "straight" if opacities[0].kind == ChannelType.OPACITY else "premultiplied"
    others = [index for index in range(count) if index not in {*placed, *last}]
    return placed + others + last, len(placed), alpha, notes


def _meaning(
    main: MainHeader, header: Jp2Header, components: Sequence[Component], colours: int | None
) -> tuple[Meaning, str | None]:
    """What the bands mean, and a remark where the boxes contradict the bands."""
    count = len(components) if colours is None else colours
    chosen = choose(header.colours)
    if chosen is None:
        return _unspecified(main, components, count), None
    needed = chosen.space.bands
    if needed is not None and needed != count and (count < needed or colours is not None):
        return (
            _unspecified(main, components, count),
            f"the colour box says {chosen.space}, but there are {count} colour bands",
        )
    by_name = chosen.encoding is None and chosen.space in {ColourSpace.SRGB, ColourSpace.RGB}
    if by_name and header.palette is None and _subsampled_chroma(components, count):
        return Meaning(ColourSpace.SRGB, YCBCR_BY_CONVENTION), None
    return chosen, None


def _unspecified(main: MainHeader, components: Sequence[Component], count: int) -> Meaning:
    if _subsampled_chroma(components, count):
        return Meaning(ColourSpace.SRGB, YCBCR_BY_CONVENTION)
    if count == 1:
        return Meaning(ColourSpace.GREY)
    if count == _COLOURS or (count > _COLOURS and main.cod.component_transform == 1):
        return Meaning(ColourSpace.RGB)
    return Meaning(ColourSpace.UNKNOWN)


def _subsampled_chroma(components: Sequence[Component], count: int) -> bool:
    """Whether three colours are luma and subsampled chroma by convention: 2x1, 1x2 or 2x2 on both."""
    if count != _COLOURS:
        return False
    luma, blue, red = components[:_COLOURS]
    if (blue.dx, blue.dy) != (red.dx, red.dy) or luma.signed:
        return False
    return (blue.dx, blue.dy) in {
        (2 * luma.dx, luma.dy),
        (luma.dx, 2 * luma.dy),
        (2 * luma.dx, 2 * luma.dy),
    }
