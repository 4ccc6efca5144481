"""Writes a picture as a JPEG 2000 or HTJ2K file, tile by tile on all cores."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ziggurat.codec.threads import decoding_threads, side_by_side
from ziggurat.codestream.segments import MAX_COMPONENTS, MAX_TILES
from ziggurat.errors import TooManyPixels, UnsupportedFeature
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace
from ziggurat.storage.stored import writing
from ziggurat.write.jp2.boxes import before_codestream
from ziggurat.write.jp2.options import Jp2Options
from ziggurat.write.jp2.spool import Spool
from ziggurat.write.jp2.step import quantisation_step
from ziggurat.write.jp2.tiles import Encode, encoding_cost, openjpeg_tiles, openjph_tiles
from ziggurat.write.protocol import Picture

_DEEPEST = 16
"""Bits of a sample that both encoders keep exactly, with room for what transforms add."""

_REACHED, _A_BIT = 48.0, 6.02
"""Decibels that OpenJPEG's 9-7 transform reaches at 8 bits, and by how many more at every further bit."""

_TILE_PART = 64
"""Bytes that are remembered of a tile-part, of which a tile has one for every resolution."""

_LONGEST_SIDE = (1 << 31) - 1
"""Pixels a side that decoders of signed 32-bit sizes still take."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a picture is read and encoded.

    Attributes:
        rows, columns: of one read: multiples of the tile, or all.
        threads: that encode side by side.
        cost: peak bytes.
    """

    rows: int
    columns: int
    threads: int
    cost: int


class Jp2Writer:
    """Writes JPEG 2000 files with the same options."""

    ht = False

    def __init__(self, options: Jp2Options | None = None) -> None:
        self._options = options or Jp2Options()
        self._profile = self._options.layout

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes of ``write``, reading included; above ``memory`` only where reading or one tile takes that."""
        return self._plan(picture, memory).cost

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the file anew; while it is written, its folder holds its bytes twice.

        Raises:
            UnsupportedFeature: if JPEG 2000 or the profile cannot hold this picture.
            TooManyPixels: if it would have too many tiles.
            DependencyError: if there is no encoder for the profile.
            WriteError: if the file cannot be written.
        """
        self._check(picture)
        plan, profile = self._plan(picture, memory), self._profile
        # What the boxes cannot say should be known before the encoding.
        before_codestream(picture, 0, ht=self.ht, metadata=profile.metadata)
        encode = self._encoder(picture)
        with writing(str(path)), tempfile.TemporaryFile(dir=path.parent) as file:
            spool = Spool(file, picture.size, profile.tile, coarse_first=profile.coarse_first, tlm=profile.tlm)
            for window in self._reads(picture, plan):
                self._encode(picture, window, encode, spool, plan.threads)
            with path.open("wb") as out:
                out.write(before_codestream(picture, spool.length, ht=self.ht, metadata=profile.metadata))
                spool.write(out)

    def _encoder(self, picture: Picture) -> Encode:
        return openjpeg_tiles(self._options, depth=picture.bit_depth, component_transform=_is_rgb(picture))

    def _encode(self, picture: Picture, window: Window, encode: Encode, spool: Spool, threads: int) -> None:
        """Reads some tiles and encodes them."""
        pixels = picture.read(window)
        tile = self._profile.tile
        across = -(-picture.size.width // tile)

        def work(corner: tuple[int, int]) -> None:
            y, x = corner
            made = encode(pixels[y : y + tile, x : x + tile])
            spool.add((window.y0 + y) // tile * across + (window.x0 + x) // tile, made.head, made.parts)

        corners = [(y, x) for y in range(0, window.height, tile) for x in range(0, window.width, tile)]
        side_by_side(work, corners, threads)

    def _reads(self, picture: Picture, plan: _Plan) -> Iterator[Window]:
        height, width = picture.size
        for y in range(0, height, plan.rows):
            for x in range(0, width, plan.columns):
                yield Window(y, x, min(y + plan.rows, height), min(x + plan.columns, width))

    def _plan(self, picture: Picture, memory: int) -> _Plan:
        """The largest reads, and the most threads, that fit; where none fits, the smallest."""
        tile = self._profile.tile
        height, width = picture.size
        most = decoding_threads()
        if picture.grain is None:
            shapes = [(height, width)]
        else:
            grains = -(-max(picture.grain.height, tile) // tile) * tile
            tall = sorted({min(rows, height) for rows in (grains, tile)}, reverse=True)
            wide = sorted({min(_aligned(width >> times, tile), width) for times in range(width.bit_length())})
            shapes = [(rows, columns) for rows in tall for columns in reversed(wide)]
        plans = [self._planned(picture, *shape, threads) for threads in range(most, 0, -1) for shape in shapes]
        return next((plan for plan in plans if plan.cost <= memory), min(plans, key=lambda plan: plan.cost))

    def _planned(self, picture: Picture, rows: int, columns: int, threads: int) -> _Plan:
        height, width = picture.size
        tile = self._profile.tile
        reading = max(
            picture.read_cost(Window(y, x, min(y + rows, height), min(x + columns, width)))
            for y in {0, (height // 2) // rows * rows, (height - 1) // rows * rows}
            for x in {0, (width - 1) // columns * columns}
        )
        held = rows * columns * picture.bands * picture.dtype.itemsize
        samples = min(tile, height) * min(tile, width) * picture.bands
        side = min(threads, -(-rows // tile) * -(-columns // tile))
        tiles = -(-height // tile) * -(-width // tile)
        kept = tiles * (self._profile.levels + 1) * _TILE_PART
        return _Plan(rows, columns, threads, max(reading, held + side * encoding_cost(samples, ht=self.ht)) + kept)

    def _check(self, picture: Picture) -> None:
        target = "htj2k" if self.ht else "jp2"
        if picture.dtype.kind not in "ui" or picture.dtype.itemsize > _DEEPEST // 8:
            raise UnsupportedFeature(
                f"{target} holds integers of up to {_DEEPEST} bits, not {picture.dtype}; choose ptiff"
            )
        if picture.bands > MAX_COMPONENTS:
            raise UnsupportedFeature(f"{target} holds {MAX_COMPONENTS} bands, not {picture.bands}")
        if self._profile.newspaper and (picture.bands, picture.bit_depth, picture.dtype.kind) != (1, 8, "u"):
            raise UnsupportedFeature(
                f"profile {self._options.profile} is one of 8-bit grey, not of {picture.bands} bands of "
                f"{picture.bit_depth} bits; choose another profile, or one band with --bands"
            )
        reached = _REACHED + _A_BIT * (picture.bit_depth - 8)
        if not self.ht and (self._options.decibels or 0) > reached:
            raise UnsupportedFeature(
                f"{picture.bit_depth} bits reach {reached:.0f} dB, not {self._options.decibels:g}: ask for less, or "
                "for nothing, which is lossless"
            )
        tile = self._profile.tile
        tiles = -(-picture.size.height // tile) * -(-picture.size.width // tile)
        if tiles > MAX_TILES or max(picture.size) > _LONGEST_SIDE:
            raise TooManyPixels(
                f"{picture.size.height} x {picture.size.width} pixels are {tiles} tiles of {tile}, and {target} has at "
                f"most {MAX_TILES}; choose ptiff"
            )


class Htj2kWriter(Jp2Writer):
    """Writes HTJ2K files with the same options."""

    ht = True

    def __init__(self, options: Jp2Options | None = None) -> None:
        super().__init__(options)
        self._options.require_ht()

    def _encoder(self, picture: Picture) -> Encode:
        wanted = self._options.decibels
        return openjph_tiles(
            self._options,
            depth=picture.bit_depth,
            component_transform=_is_rgb(picture),
            step=None if wanted is None else quantisation_step(picture, wanted, component_transform=_is_rgb(picture)),
        )


def _aligned(length: int, tile: int) -> int:
    """A multiple of the tile, and at least one."""
    return max(tile, -(-length // tile) * tile)


def _is_rgb(picture: Picture) -> bool:
    return picture.colour_space in {ColourSpace.RGB, ColourSpace.SRGB, ColourSpace.ESRGB}
