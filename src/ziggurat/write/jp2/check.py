"""Whether a file is laid out as a profile prescribes, rule by rule. Reads headers alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, Marker, TilePart
from ziggurat.codestream.parts import PartHeader, read_headers
from ziggurat.codestream.reads import Span
from ziggurat.codestream.segments import CodingStyle
from ziggurat.format.foreign import named
from ziggurat.format.jpeg2000.container import Container, read_container
from ziggurat.format.jpeg2000.windows import drive
from ziggurat.limited import limited
from ziggurat.storage.protocol import ByteSource
from ziggurat.write.jp2.profiles import CODE_BLOCK, Profile, profile

_BYPASS, _SYMBOLS, _HT = 0x01, 0x20, 0x40
_NO_PRECINCT = 1 << 15
_HEADERS, _GUESS = 1 << 10, 1 << 10
"""Tile-parts whose headers are read in one go, and bytes that one is expected to have."""

_NUMBER = 10
"""Where TPsot lies in a tile-part (A.4.2)."""

_ABOUT = 1.1
"""How far a file may exceed the size that its profile names."""

_CODING = frozenset({Marker.COD, Marker.COC, Marker.QCD, Marker.QCC, Marker.RGN, Marker.POC})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a profile and how a file keeps it.

    Attributes:
        name: what it is about.
        wanted: what the profile prescribes, in words.
        found: what the file has, in words.
        kept: whether that is the same.
    """

    name: str
    wanted: str
    found: str
    kept: bool


class _Part(NamedTuple):
    """What counts of a tile-part: its tile, its number, whether it lists its packets, whether it changes the coding."""

    tile: int
    number: int
    plt: bool
    changes: bool


def check(source: ByteSource, name: str) -> list[Rule]:
    """Compares a file with a profile.

    Args:
        source: a JP2, JPX or JPH file, or a bare codestream.
        name: of the profile.

    Raises:
        UsageError: if there is no such profile.
        FormatError: if its headers are damaged.
    """
    wanted = profile(name)
    with named(source.url):
        container = read_container(source)
        span = Span(container.codestream.start, container.codestream.end + container.truncated)
        index = CodestreamIndex(container.main, container.head, span, source.size)
        found = drive(index.parts(), source)
        parts = sorted((part for own in found.values() for part in own), key=lambda part: part.offset)
        seen = [_seen(header) for batch in limited(parts, lambda _: 1, _HEADERS) for header in _read(batch, source)]
    return [
        *_of_file(container, wanted, name),
        *_of_coding(container.main, wanted),
        *_of_layout(container.main, wanted, seen),
        *_of_size(container, wanted),
    ]


def _read(parts: Sequence[TilePart], source: ByteSource) -> list[PartHeader]:
    return drive(read_headers(parts, guess=_GUESS, size=source.size), source)


def _seen(header: PartHeader) -> _Part:
    changes = any(item.marker in _CODING for item in header.segments)
    return _Part(header.part.tile, header.data[_NUMBER], bool(header.of(Marker.PLT)), changes)


def _equal(name: str, wanted: object, found: object) -> Rule:
    return Rule(name, str(wanted), str(found), kept=wanted == found)


def _of_file(container: Container, wanted: Profile, name: str) -> Iterator[Rule]:
    siz = container.main.siz
    brands = ("jp2", "jph", "jpx") if name == "cloud" else ("jp2",)
    brand = container.brand.strip() or "none"
    yield Rule("brand", " or ".join(brands), brand, brand in brands)
    if name != "cloud":
        yield _equal("coder", "MQ", "HT" if container.main.ht else "MQ")
    yield _equal("origin", "0, 0", f"{siz.y0}, {siz.x0}")
    if wanted.newspaper:
        kinds = [f"{'signed ' if item.signed else ''}{item.depth} bits" for item in siz.components]
        yield _equal("components", "8 bits", ", ".join(kinds[:8]))
        grey = any(
            colour.enumerated == 17 or (colour.profile or b"")[16:20] == b"GRAY"  # noqa: PLR2004 - EnumCS of grey
            for colour in container.header.colours
        )
        yield _equal("colours", "grey", "grey" if grey else "others")
    if not wanted.metadata:
        blocks = [key for key in ("exif", "xmp", "iptc") if getattr(container.metadata, key) is not None]
        yield _equal("metadata", "none", ", ".join([*blocks, *["xml"] * bool(container.xml)]) or "none")


def _of_coding(main: MainHeader, wanted: Profile) -> Iterator[Rule]:
    siz, cod = main.siz, main.cod
    # A picture that fits into one tile may say so by a tile of its own size.
    alone = siz.tiles == 1 and max(siz.tile_height, siz.tile_width) <= wanted.tile
    tile = f"{siz.tile_height} x {siz.tile_width}"
    yield Rule(
        "tile", f"{wanted.tile} x {wanted.tile}", tile, alone or {siz.tile_height, siz.tile_width} == {wanted.tile}
    )
    yield _equal("progression", wanted.progression.name, cod.progression.name)
    yield _equal("progression changes", "none", "none" if not main.poc else f"{len(main.poc)}")
    yield _equal("layers", wanted.layers, cod.layers)
    styles = [main.coding(component) for component in range(len(siz.components))]
    yield _all("levels", wanted.levels, [style.levels for style in styles])
    yield _all("code-blocks", f"{CODE_BLOCK} x {CODE_BLOCK}", [f"{s.block_height} x {s.block_width}" for s in styles])
    if wanted.reversible is not None:
        transforms = ["5-3" if style.transform == 1 else "9-7" for style in styles]
        yield _all("transform", "5-3" if wanted.reversible else "9-7", transforms)
    yield _all("precincts", _prescribed_precincts(wanted), [_precincts(style) for style in styles])
    yield _all("code-block style", _style_words(wanted.bypass, wanted.symbols), [_style(style) for style in styles])
    yield _equal("regions of interest", "none", "some" if any(main.rgn.values()) else "none")
    yield _equal("SOP", _word(wanted.delimiters), _word(cod.sop))
    yield _equal("EPH", _word(wanted.delimiters), _word(cod.eph))


def _all(name: str, wanted: object, found: Sequence[object]) -> Rule:
    """A rule that holds for every component."""
    kinds = list(dict.fromkeys(map(str, found)))
    return Rule(name, str(wanted), "; ".join(kinds), kept=kinds == [str(wanted)])


def _word(there: bool) -> str:  # noqa: FBT001 - reads as a sentence
    return "yes" if there else "no"


def _prescribed_precincts(wanted: Profile) -> str:
    return ", ".join(str(side) for side in wanted.all_precincts) or "none"


def _precincts(style: CodingStyle) -> str:
    """The sides, the finest resolution first."""
    sizes = style.precincts[::-1]
    if all(min(size) >= _NO_PRECINCT for size in sizes):
        return "none"
    return ", ".join(str(height) if height == width else f"{height} x {width}" for height, width in sizes)


def _style_words(bypass: bool, symbols: bool, others: int = 0) -> str:  # noqa: FBT001 - two bits of one byte
    words = ["bypass"] * bypass + ["segmentation symbols"] * symbols + ([f"0x{others:02x}"] if others else [])
    return ", ".join(words) or "none"


def _style(style: CodingStyle) -> str:
    bits = style.block_style
    # Which coder it is, the brand says.
    return _style_words(bool(bits & _BYPASS), bool(bits & _SYMBOLS), bits & ~(_BYPASS | _SYMBOLS | _HT))


def _of_layout(main: MainHeader, wanted: Profile, parts: Sequence[_Part]) -> Iterator[Rule]:
    counts = Counter(part.tile for part in parts)
    yield _equal("tiles without data", 0, main.siz.tiles - len(counts))
    yield _equal("tile headers that change the coding", 0, sum(part.changes for part in parts))
    if wanted.tlm:
        yield _equal("TLM", "yes", _word("TLM" in main.markers))
    if wanted.plt:
        without = sum(not part.plt for part in parts)
        everywhere = "in every tile-part"
        yield _equal("PLT", everywhere, f"not in {without}" if without else everywhere)
    if wanted.split:
        yield _all("tile-parts of a tile", wanted.levels + 1, sorted(set(counts.values())))
    if wanted.coarse_first:
        first = "coarse parts of all tiles first"
        ordered = all(one.number <= other.number for one, other in pairwise(parts))
        yield _equal("order", first, first if ordered else "others")


def _of_size(container: Container, wanted: Profile) -> Iterator[Rule]:
    if wanted.ratio is None:
        return
    siz = container.main.siz
    bits = sum(item.depth for item in siz.components)
    pixels = (siz.x1 - siz.x0) * (siz.y1 - siz.y0)
    # Headers count little in a newspaper page, and much in a thumbnail.
    length = container.codestream.end - container.codestream.start - container.main.length
    ratio = pixels * bits / 8 / max(1, length)
    yield Rule("compression ratio", f"about {wanted.ratio:g} or more", f"{ratio:.2f}", ratio * _ABOUT >= wanted.ratio)
