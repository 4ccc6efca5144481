"""Decoding no more of a lossless JPEG 2000 source than its JPEG will show, where samples of it say that this is so.

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
from ziggurat.geometry import Window
from ziggurat.image import Image
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
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

LARGE_PIXELS = 1 << 23
"""Pixels from which on two tiles are looked at, not one."""

_SIDE = 256
"""Pixels a side that a code-block of the second level spans, where it has 64 samples: a tile inside of such a square
needs few code-blocks."""

_MARGIN = 16
"""Pixels along the border of a square that are not taken, because the neighbours' code-blocks reach into them; a
multiple of the MCU, so that tiles have the blocks that the whole output has."""

_COARSE = 16
"""Reduction of the level by which the busiest tile is chosen."""


@dataclass(frozen=True, slots=True)
class Light:
    """A conversion with its way of decoding.

    Attributes:
        image: that is read.
        conversion: from all of the source, or from what its target can show.
        decoding: what the ledger is told; None where the job decodes everything in full.
        fidelity: of the sampled tiles, against the full decode; None where the conversion is from all of the source.
    """

    image: Image
    conversion: Conversion
    decoding: Decoding | None = None
    fidelity: Fidelity | None = None


@dataclass(frozen=True, slots=True)
class _Sample:
    """A tile of the picture and what becomes of it.

    Attributes:
        truth: fully decoded, (y, x, band) uint8.
        output: decoded again from its JPEG.
        size: bytes of that.
    """

    truth: Samples
    output: Samples
    size: int

    @property
    def error(self) -> float:
        """Sum of the squared differences."""
        return squared_error(self.truth, self.output)

    @property
    def score(self) -> float:
        """SSIMULACRA2."""
        return ssimulacra2(self.truth, self.output)


def lightened(image: Image, conversion: Conversion, options: OutputOptions) -> Light:
    """The conversion with as little decoding as the tolerance allows.

    Args:
        image: the opened source.
        conversion: as ``set_up`` made it of the image.
        options: of the job.

    Raises:
        CorruptImage: if a sampled tile does not decode.
    """
    if options.decode != "fast":
        return Light(image, conversion)
    decoding = Decoding(fast=False)
    picture, settings = conversion.picture, _jpeg(conversion, options)
    if settings is None or not isinstance(picture, Prepared) or picture.bands != image.info.bands:
        return Light(image, conversion, decoding)
    if picture.size.pixels < LEAST_PIXELS or min(picture.size) < 2 * _SIDE:
        return Light(image, conversion, decoding)
    shown = _shown(picture, image.info.bit_depth, *settings)
    full: dict[Window, tuple[_Sample, float]] = {}
    for strength in STRENGTHS:
        spared = image.sparing(shown, strength)
        if spared is None:
            break
        if not full:
            for window in _windows(image, picture, options):
                pixels = picture.read(window)
                sample = _sample(pixels, pixels, *settings)
                full[window] = sample, sample.score
        lighter = set_up(spared, options, conversion.name)
        fast = [_sample(sample.truth, lighter.picture.read(window), *settings) for window, (sample, _) in full.items()]
        decoding, reached = _compared(list(full.values()), fast)
        if reached is not None:
            return Light(spared, lighter, decoding, reached)
    return Light(image, conversion, decoding)


def _jpeg(conversion: Conversion, options: OutputOptions) -> tuple[int, Subsampling] | None:
    """Quality and subsampling of the target's JPEG, if it is that."""
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


def _windows(image: Image, picture: Prepared, options: OutputOptions) -> list[Window]:
    """The tiles that are looked at: the busiest, if a coarse level tells which it is, and of a large image another."""
    height, width = (length // _SIDE for length in picture.size)
    found = [(int(height * 0.4), int(width * 0.6))]
    coarse = picture.size.halved(_COARSE.bit_length() - 1)
    if picture.level == 0 and picture.divisor == 1 and any(level.shape == coarse for level in image.info.levels):
        small = prepare(image, replace(options.picture, shrink=_COARSE), form="display")
        side = _SIDE // _COARSE
        pixels = small.read(Window.full(small.size))[: height * side, : width * side, small.bands // 2]
        squares = pixels.reshape(height, side, width, side).astype(np.float32).var(axis=(1, 3))
        row, column = divmod(int(squares.argmax()), width)
        found.insert(0, (row, column))
    count = 1 if picture.size.pixels < LARGE_PIXELS else 2
    return [
        Window(y * _SIDE + _MARGIN, x * _SIDE + _MARGIN, (y + 1) * _SIDE - _MARGIN, (x + 1) * _SIDE - _MARGIN)
        for y, x in dict.fromkeys(found[:count])
    ]


def _sample(truth: Samples, pixels: Samples, quality: int, subsampling: Subsampling) -> _Sample:
    """What becomes of a tile.

    Args:
        truth: fully decoded, (y, x, band) uint8.
        pixels: what is encoded.
        quality: of the JPEG.
        subsampling: of its chroma.
    """
    jpeg = encode(pixels, quality=quality, subsampling=subsampling, optimise=False)
    output = decode(jpeg, "YCBCR" if pixels.shape[2] == COLOURS else "GRAYSCALE", name="a sampled tile")
    return _Sample(truth, output, len(jpeg))


def _compared(full: Sequence[tuple[_Sample, float]], fast: Sequence[_Sample]) -> tuple[Decoding, Fidelity | None]:
    """How much worse outputs are, and their fidelity if that is little enough."""
    before, after = sum(sample.error for sample, _ in full), sum(sample.error for sample in fast)
    psnr_lost = psnr(before, 1.0) - psnr(after, 1.0) if before and after else 0.0
    growth = sum(sample.size for sample in fast) / sum(sample.size for sample, _ in full) - 1
    if psnr_lost > PSNR_LOST or growth > GROWTH:
        return Decoding(fast=False, psnr_lost=psnr_lost, growth=growth), None
    scores = [sample.score for sample in fast]
    score_lost = max(best - score for (_, best), score in zip(full, scores, strict=True))
    good = score_lost <= SSIMULACRA2_LOST
    decoding = Decoding(fast=good, psnr_lost=psnr_lost, ssimulacra2_lost=score_lost, growth=growth)
    reached = psnr(after / sum(sample.truth.size for sample in fast), 255.0)
    return decoding, Fidelity(reached, min(scores)) if good else None
