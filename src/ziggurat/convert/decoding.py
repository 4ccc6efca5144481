"""Decoding no more of a lossless JPEG 2000 source than its JPEG will show, where samples of it prove that this is so.

What is left out is chosen from the target's quantisation tables (``ziggurat.codestream.passes``); what that costs is
measured: tiles of the image are decoded both ways, encoded, and compared with the full decode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ziggurat.codec.jpeg import Subsampling, decode, encode, natural_order, quantisation_tables
from ziggurat.codestream.passes import COLOURS, STRENGTHS, Shown
from ziggurat.convert.fidelity import Fidelity
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import Conversion, set_up
from ziggurat.convert.records import Decoding
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.sampling import busiest, sample_windows
from ziggurat.quality.ssimulacra2 import ssimulacra2
from ziggurat.write.picture import Prepared, prepare

PSNR_LOST = 0.3
"""Decibels that outputs of the sampled tiles may lie lower than those of the full decode."""

SSIMULACRA2_LOST = 1.0
"""Points that the worst of them may lie lower: a tenth of what parts high quality from very high."""

GROWTH = 0.02
"""Part by which they may be larger: an output is kept longer than its making takes."""

LEAST_PIXELS = 1 << 21
"""Pixels of an image below which the samples take what is saved."""

_SIDE = 256
"""Samples that the code-blocks of the two finest levels span, as most files have them: tiles inside of one such square
need few of them."""

_MARGIN = 16
"""Pixels along the border of a square that are not taken, because the neighbours' code-blocks reach into them; a
multiple of the MCU, so that tiles have the blocks that the whole output has."""

_COARSE = 8
"""Reduction of the level by which the busiest tile is chosen."""


@dataclass(frozen=True, slots=True)
class Light:
    """A conversion with its way of decoding.

    Attributes:
        conversion: from all of the source, or from what its target can show.
        decoding: what the ledger is told; None where nothing could be left out.
        fidelity: of the sampled tiles, against the full decode; None where the conversion is from all of the source.
    """

    conversion: Conversion
    decoding: Decoding | None = None
    fidelity: Fidelity | None = None


@dataclass(frozen=True, slots=True)
class _Tile:
    """A tile's output compared with the tile: squared error, SSIMULACRA2, bytes."""

    error: float
    score: float
    size: int


def lightened(image: Image, conversion: Conversion, options: OutputOptions) -> Light:
    """The conversion with as little decoding as the tolerance allows.

    Args:
        image: the opened source.
        conversion: as ``set_up`` made it of the image.
        options: of the job.

    Raises:
        CorruptImage: if a sampled tile does not decode.
    """
    picture, settings = conversion.picture, _jpeg(conversion, options)
    if settings is None or not isinstance(picture, Prepared) or picture.bands != image.info.bands:
        return Light(conversion)
    if picture.size.pixels < LEAST_PIXELS or min(picture.size) < 2 * _SIDE:
        return Light(conversion)
    shown = _shown(picture, image.info.bit_depth, *settings)
    best: list[_Tile] = []
    found: list[tuple[Window, Samples]] = []
    decoding: Decoding | None = None
    for strength in STRENGTHS:
        spared = image.sparing(shown, strength)
        if spared is None:
            break
        if not found:
            found = [(window, picture.read(window)) for window in _windows(image, picture, options)]
            best = [_measured(pixels, pixels, *settings) for _, pixels in found]
        lighter = set_up(spared, options, conversion.name)
        tiles = [_measured(pixels, lighter.picture.read(window), *settings) for window, pixels in found]
        decoding = _compared(best, tiles)
        if decoding.fast:
            samples = sum(pixels.size for _, pixels in found)
            reached = psnr(sum(tile.error for tile in tiles) / samples, 255.0)
            return Light(lighter, decoding, Fidelity(reached, min(tile.score for tile in tiles)))
    return Light(conversion, decoding)


def _jpeg(conversion: Conversion, options: OutputOptions) -> tuple[int, Subsampling] | None:
    """Quality and subsampling of the target's JPEG, if it is that and may be decoded for."""
    if options.decode != "fast":
        return None
    if conversion.name == "jpeg":
        return options.jpeg.quality, options.jpeg.subsampling
    if conversion.name == "ptiff" and options.ptiff.compression == "jpeg":
        return options.ptiff.quality or 92, options.ptiff.subsampling
    return None


def _shown(picture: Prepared, depth: int, quality: int, subsampling: Subsampling) -> Shown:
    """What the target keeps, as seen from the stored pixels."""
    sample = np.zeros((16, 16, picture.bands), np.uint8)
    tables = quantisation_tables(encode(sample, quality=quality, subsampling=subsampling, optimise=False))
    steps = [natural_order(table).astype(np.float64) for table in tables[: 1 if picture.bands == 1 else 2]]
    halved = subsampling == "420", subsampling != "444"
    if picture.turn.swap:
        steps, halved = [table.T for table in steps], (halved[1], halved[0])
    return Shown(tuple(steps), halved, 255 / ((1 << depth) - 1), picture.level)


def _windows(image: Image, picture: Prepared, options: OutputOptions) -> Sequence[Window]:
    """Two tiles: one somewhere, and the busiest, where that is quick to find."""
    chosen = list(sample_windows(picture.size, 2, side=_SIDE))
    coarse = picture.size.halved(_COARSE.bit_length() - 1)
    if picture.level == 0 and picture.divisor == 1 and any(level.shape == coarse for level in image.info.levels):
        small = prepare(image, replace(options.picture, shrink=_COARSE), form="display")
        for window in busiest(small.read(Window.full(small.size)), 1, side=_SIDE // _COARSE):
            y0, x0 = window.y0 * _COARSE, window.x0 * _COARSE
            chosen[1:] = [Window(y0, x0, y0 + _SIDE, x0 + _SIDE)]
    return list(dict.fromkeys(_inside(window, picture.size) for window in chosen))


def _inside(window: Window, size: Size) -> Window:
    """The inner part of the square of the grid that a window lies in."""
    y0, x0 = (
        min((start + _SIDE // 2) // _SIDE, length // _SIDE - 1) * _SIDE
        for start, length in ((window.y0, size.height), (window.x0, size.width))
    )
    return Window(y0 + _MARGIN, x0 + _MARGIN, y0 + _SIDE - _MARGIN, x0 + _SIDE - _MARGIN)


def _measured(truth: Samples, pixels: Samples, quality: int, subsampling: Subsampling) -> _Tile:
    """What becomes of a tile.

    Args:
        truth: fully decoded, (y, x, band) uint8.
        pixels: what is encoded.
        quality: of the JPEG.
        subsampling: of its chroma.
    """
    jpeg = encode(pixels, quality=quality, subsampling=subsampling, optimise=False)
    output = decode(jpeg, "YCBCR" if pixels.shape[2] == COLOURS else "GRAYSCALE", name="a sampled tile")
    return _Tile(squared_error(truth, output), ssimulacra2(truth, output), len(jpeg))


def _compared(best: Sequence[_Tile], tiles: Sequence[_Tile]) -> Decoding:
    """How much worse tiles are, and whether that is little enough."""
    before, after = (sum(tile.error for tile in of) for of in (best, tiles))
    psnr_lost = psnr(before, 1.0) - psnr(after, 1.0) if before and after else 0.0
    score_lost = max(one.score - other.score for one, other in zip(best, tiles, strict=True))
    growth = sum(tile.size for tile in tiles) / sum(tile.size for tile in best) - 1
    fast = psnr_lost <= PSNR_LOST and score_lost <= SSIMULACRA2_LOST and growth <= GROWTH
    return Decoding(fast=fast, psnr_lost=psnr_lost, ssimulacra2_lost=score_lost, growth=growth)
