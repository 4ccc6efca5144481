"""One tile's pixels → its main header and tile-parts, by the encoder that can."""

from collections.abc import Callable
from dataclasses import dataclass

from ziggurat.codec import openjpeg, openjpeg_encode, openjph
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, TilePart, parse_main_header, parse_tile_part
from ziggurat.codestream.reads import Span
from ziggurat.codestream.recoded_headers import main_segments
from ziggurat.codestream.recoding import Recoding
from ziggurat.codestream.reorder import Reordering
from ziggurat.errors import UnsupportedFeature
from ziggurat.format.jpeg2000.windows import drive
from ziggurat.model import Samples
from ziggurat.storage.memory import MemorySource
from ziggurat.write.jp2.layers import openjpeg_coding
from ziggurat.write.jp2.options import Jp2Options

_PACKETS = 1 << 20
"""More than a tile has."""

_BYTES, _HT_BYTES, _FIXED = 24, 20, 8 << 20
"""What encoding takes for a sample, and besides (measured; OpenJPEG and OpenJPH)."""

_HT_LAYOUT = Recoding(tlm=False)
"""What ``cloud`` prescribes of a tile: RPCL, a tile-part a resolution, PLT."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tile: its main header, and its tile-parts in order."""

    head: bytes
    parts: tuple[bytes, ...]


type Encode = Callable[[Samples], Encoded]
"""From (y, x, band) of a tile, at most as large as the profile's, to its bytes. Called from several threads."""


def openjpeg_tiles(options: Jp2Options, *, depth: int, component_transform: bool) -> Encode:
    """An encoder of JPEG 2000 tiles.

    Args:
        options: the user's.
        depth: significant bits of a sample.
        component_transform: whether the first three bands are red, green and blue.

    Raises:
        DependencyError: if there is no shared library of OpenJPEG: what imagecodecs' wrapper of its own copy can ask
            for has no tiles, and too few levels in small ones.
    """
    openjpeg.version()
    coding = openjpeg_coding(options, component_transform=component_transform)
    return lambda pixels: _taken_apart(openjpeg_encode.encode(pixels, coding, depth=depth))


def openjph_tiles(options: Jp2Options, *, depth: int, component_transform: bool, step: float | None) -> Encode:
    """An encoder of HTJ2K tiles.

    Args:
        options: the user's.
        depth: significant bits of a sample.
        component_transform: whether the first three bands are red, green and blue.
        step: of the quantisation, or None for lossless.
    """
    profile = options.layout
    coding = openjph.Coding(
        depth=depth, levels=profile.levels, tile=profile.tile, step=step, component_transform=component_transform
    )

    def encode(pixels: Samples) -> Encoded:
        data, tile = openjph.encode(pixels, coding)
        return _laid_out(data, tile, profile.levels)

    return encode


def _taken_apart(data: bytes) -> Encoded:
    """A codestream of one tile as it is."""
    main = _parsed(data)
    parts = []
    at = main.length
    while data[at : at + 2] == b"\xff\x90":
        part = parse_tile_part(data, at, tiles=1, size=len(data))
        assert isinstance(part, TilePart)  # noqa: S101 - all of it is here
        parts.append(data[at : part.end])
        at = part.end
    return Encoded(data[: main.length], tuple(parts))


def _laid_out(data: bytes, tile: int, levels: int) -> Encoded:
    """One tile of a codestream, its packets laid out as ``cloud`` has them.

    Raises:
        UnsupportedFeature: if the encoder left levels out.
    """
    main = _parsed(data)
    if main.levels != levels:
        raise UnsupportedFeature(
            f"OpenJPH made {main.levels} levels of a tile of {main.siz.x1} x {main.siz.y1} pixels, not {levels}; "
            "choose --to jp2"
        )
    head = data[: main.length]
    source = MemorySource("memory:tile", data)
    index = CodestreamIndex(main, head, Span(0, len(data)), len(data))
    reordering = Reordering(index, _HT_LAYOUT, main.siz)
    parts = []
    for part in drive(reordering.parts(tile, room=_PACKETS), source):
        spans = (item if isinstance(item, bytes) else data[item.start : item.end] for item in part.body.pieces())
        parts.append(b"".join((part.head, *spans)))
    return Encoded(main_segments(main, head, _HT_LAYOUT)[0], tuple(parts))


def _parsed(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)  # noqa: S101 - all of it is here
    return main


def encoding_cost(samples: int, *, ht: bool) -> int:
    """Peak bytes that encoding so many samples takes in one thread, its result included."""
    return samples * (_HT_BYTES if ht else _BYTES) + _FIXED
