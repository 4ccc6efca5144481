"""The JPEG writer: whole where memory allows, else in bands joined by restart markers."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ziggurat.codec import jpeg_tables
from ziggurat.codec.jpeg import MAX_SIDE, Segments, Subsampling, encode, opening
from ziggurat.codec.jpeg_bands import MAX_INTERVAL, BandedEncoder, BandedOptions, mcu_size
from ziggurat.codec.jpeg_tables import Tables
from ziggurat.errors import TooManyPixels, UnsupportedFeature, UsageError
from ziggurat.geometry import Size, Window, row_bands
from ziggurat.storage.stored import writing
from ziggurat.write.protocol import Picture

_COEFFICIENT = 2
"""Bytes a sample that libjpeg holds while it makes Huffman codes for an image."""

_PILLOW = 3
"""Bytes a sample besides that an encoder with tables of its own takes: its copy of the pixels, and its output."""

_NOISY = 95
"""Quality above which even the noise of a scan is kept in full."""

_OVERHEAD = 2 << 20
"""Bytes for codec state and headers."""


@dataclass(frozen=True, slots=True)
class JpegOptions:
    """How JPEG files are encoded.

    Attributes:
        quality: 1 to 100 on libjpeg's scale.
        subsampling: of chroma: 444 keeps it whole.
        optimise: whether Huffman codes are made for each image: 2 to 3 % smaller, more than twice the encoding
            time and two bytes of memory a sample. Where that memory is not there, and in bands, the codes are
            those of the standard.
        tables: quantisation tables instead of those of the quality. Files are then progressive, with Huffman codes
            of their own, as far as memory allows.

    Raises:
        UsageError: if the quality or the subsampling does not exist.
    """

    quality: int = 92
    subsampling: Subsampling = "444"
    optimise: bool = False
    tables: Tables | None = None

    @property
    def smallest(self) -> bool:
        """Whether time and memory are spent on fewer bytes."""
        return self.optimise or self.tables is not None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:  # noqa: PLR2004 - libjpeg's scale
            raise UsageError(f"JPEG quality {self.quality} is not 1 to 100")
        if self.subsampling not in {"444", "422", "420"}:
            raise UsageError(f"JPEG subsampling {self.subsampling!r} is none of 444, 422, 420")


class _Plan(NamedTuple):
    """How one picture will be written.

    Attributes:
        chunk: rows read at a time; all of them for a picture that is written whole.
        band: rows encoded at a time, a divisor of ``chunk``; 0 for whole.
        cost: peak bytes.
        optimise: whether Huffman codes are made for the picture.
    """

    chunk: int
    band: int
    cost: int
    optimise: bool


class JpegWriter:
    """Writes baseline JFIF with the picture's profile, EXIF, XMP, IPTC and resolution."""

    def __init__(self, options: JpegOptions) -> None:
        self._options = options

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes that ``write`` takes when it may take ``memory``, reading included."""
        return self._plan(picture, memory).cost

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the file anew.

        Raises:
            UnsupportedFeature: if the picture is not 1 or 3 bands of uint8 without alpha, or a metadata block is
                larger than JPEG can hold.
            TooManyPixels: if a side is longer than JPEG allows.
            WriteError: if the file cannot be written.
        """
        _check(picture)
        plan = self._plan(picture, memory)
        extra = Segments(picture.resolution, picture.icc, picture.metadata)
        with writing(str(path)):
            if plan.band:
                self._write_bands(picture, path, plan, extra)
            else:
                self._write_whole(picture, path, plan, extra)

    def _write_whole(self, picture: Picture, path: Path, plan: _Plan, extra: Segments) -> None:
        pixels = picture.read(Window.full(picture.size))
        options, subsampling = self._options, self._options.subsampling
        if options.tables is None:
            jpeg = encode(pixels, quality=options.quality, subsampling=subsampling, optimise=plan.optimise)
        else:
            jpeg = jpeg_tables.encode(pixels, options.tables, subsampling=subsampling, small=plan.optimise)
        head, rest = opening(jpeg, extra)
        with path.open("wb") as file:
            file.write(head)
            file.write(memoryview(jpeg)[rest:])

    def _write_bands(self, picture: Picture, path: Path, plan: _Plan, extra: Segments) -> None:
        options = BandedOptions(self._options.quality, self._options.subsampling, plan.band, self._options.tables)
        with path.open("wb") as file:
            encoder = BandedEncoder(file, picture.size, options, extra)
            for window in row_bands(picture.size, plan.chunk):
                pixels = picture.read(window)
                for y0 in range(0, window.height, plan.band):
                    encoder.write(pixels[y0 : y0 + plan.band])
                del pixels
            encoder.finish()

    def _plan(self, picture: Picture, memory: int) -> _Plan:
        """Whole if that fits or nothing else is possible; else the tallest bands that fit."""
        size = picture.size
        plans = [
            _Plan(size.height, 0, self._cost(picture, size.height, optimise=optimise), optimise)
            for optimise in sorted({self._options.smallest, False}, reverse=True)
        ]
        for whole in plans:
            if whole.cost <= memory:
                return whole
        if picture.grain is None:
            return plans[-1]
        mcu = mcu_size(picture.bands, self._options.subsampling)
        shared = math.lcm(mcu.height, picture.grain.height)
        chunk = self._tallest(picture, shared, memory) or self._tallest(picture, mcu.height, memory) or mcu.height
        return _Plan(chunk, _band(chunk, size, mcu), self._cost(picture, chunk, optimise=False), optimise=False)

    def _tallest(self, picture: Picture, unit: int, memory: int) -> int:
        """The most rows, a multiple of ``unit``, that fit into memory; 0 if not even one unit does."""
        low, high = 0, -(-picture.size.height // unit)
        while low < high:
            middle = (low + high + 1) // 2
            if self._cost(picture, middle * unit, optimise=False) <= memory:
                low = middle
            else:
                high = middle - 1
        return low * unit

    def _cost(self, picture: Picture, rows: int, *, optimise: bool) -> int:
        """Peak bytes while the dearest ``rows`` rows are read, or encoded."""
        height, width = picture.size
        rows = min(rows, height)
        samples = rows * width * picture.bands
        # The first rows have no neighbours above: the next ones cost at least as much.
        starts = {0, min(rows, height - rows), height - rows}
        reading = max(picture.read_cost(Window(y0, 0, y0 + rows, width)) for y0 in starts)
        encoding = _encoding(samples, self._options.quality, optimise=optimise)
        if self._options.tables is not None:
            encoding += _PILLOW * samples
        return max(reading, samples + encoding) + _OVERHEAD


def _encoding(samples: int, quality: int, *, optimise: bool) -> int:
    """Bytes that encoding takes besides the pixels: the growing output, and coefficients (measured)."""
    output = samples // 5 if quality < _NOISY else samples * 3 // 5
    return output + _COEFFICIENT * samples if optimise else 2 * output


def _band(chunk: int, size: Size, mcu: Size) -> int:
    """The most rows that divide ``chunk``, in whole MCUs, and that a restart interval can count."""
    rows = chunk // mcu.height
    limit = MAX_INTERVAL // -(-size.width // mcu.width)
    return mcu.height * next(count for count in range(min(rows, limit), 0, -1) if rows % count == 0)


def _check(picture: Picture) -> None:
    height, width = picture.size
    if picture.dtype != np.uint8 or picture.bands not in {1, 3} or picture.alpha is not None:
        raise UnsupportedFeature(
            f"JPEG holds 1 or 3 bands of uint8 without alpha, not {picture.bands} of {picture.dtype}"
            f"{' with alpha' if picture.alpha else ''}; choose ptiff"
        )
    if max(height, width) > MAX_SIDE:
        raise TooManyPixels(
            f"{height} x {width} pixels are too many for JPEG, which holds {MAX_SIDE} a side; choose --oversize "
            "ptiff|downscale|skip"
        )
