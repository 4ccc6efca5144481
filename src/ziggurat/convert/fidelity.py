"""Proof that an output holds the source's pixels: it is decoded again and compared, all of it."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast

import numpy as np

from ziggurat.codec.jpeg import Subsampling, decode, encode
from ziggurat.codec.jpeg_tables import Tables, standard
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import SCRATCH, Conversion
from ziggurat.errors import VerificationFailed
from ziggurat.geometry import Size, Window
from ziggurat.image import open_image
from ziggurat.model import ImageInfo, Samples
from ziggurat.pyramid import halve
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.sampling import busiest, sample_windows
from ziggurat.quality.ssimulacra2 import ssimulacra2
from ziggurat.storage.local import LocalSource
from ziggurat.storage.tree import is_folder
from ziggurat.write.protocol import Picture

ROUNDING = 1.0
"""Mean squared error that rounding to 8 bits, in three places, may add."""

GENERIC_FLOOR = 20.0
"""Decibels below which an output of an encoder without a computable bound is not the same picture."""

TWO_LOSSES = 20 * math.log10(2)
"""Decibels by which a coarser level may lie lower: it, and the finer one it is compared with, are both lossy."""

REFERENCE_LOSS = 1.0
"""Decibels that the rounding of the subsampled source, at quality 100, may take from the comparison with it."""

SPARED = 12.0
"""Decibels by which a JPEG 2000 file may miss what was asked for: encoders estimate it, tile by tile."""

WAVELETS = frozenset({"jp2", "htj2k"})
"""Targets whose levels are parts of one codestream."""

COLOURS = 3

SAMPLES = 2
"""Tiles on which SSIMULACRA2 is measured."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How an output compares with its source.

    Attributes:
        psnr: decibels over all samples; infinity where they are equal.
        ssimulacra2: the lowest score of the sampled tiles; None where the metric is not defined.
    """

    psnr: float
    ssimulacra2: float | None


class Output(Protocol):
    """What was written, opened again: the part of ``Image`` that is needed here."""

    @property
    def info(self) -> ImageInfo:
        """What its header says."""
        ...

    def read(self, level: int, window: Window) -> Samples:
        """Array (y, x, band) of a window of a level."""
        ...

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of ``read``."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _open_output(path: Path, memory: int) -> Output:
    if is_folder(path):
        module = importlib.import_module("ziggurat.write.omezarr.readback")
        return cast("Output", module.open_group(path))
    return open_image(LocalSource(path), memory=max(memory, 1 << 30))


def verify(
    conversion: Conversion, path: Path, options: OutputOptions, *, memory: int, known: Fidelity | None = None
) -> Fidelity:
    """Decodes an output completely and compares it with the picture it was made from.

    Every level of a pyramid is decoded too, and compared with the halved next finer one, or with the source's own where
    that was copied; not those of a wavelet.

    Args:
        conversion: the picture and its target.
        path: the output.
        options: of the job, for what loss is to be expected.
        memory: bytes that reading both may take at once.
        known: how the output compares with its source, where its picture is not all of what the source has.

    Raises:
        VerificationFailed: if size, bands or samples differ by more than the encoding explains.
        FormatError: if the output does not decode.
    """
    picture = conversion.picture
    with _open_output(path, memory) as output:
        info = output.info
        if (info.size, info.bands, info.dtype) != (picture.size, picture.bands, picture.dtype.name):
            raise VerificationFailed(
                f"the output is {tuple(info.size)} x {info.bands} {info.dtype}, the source is "
                f"{tuple(picture.size)} x {picture.bands} {picture.dtype.name}"
            )
        floor = math.inf if conversion.exact else loss_floor(conversion, options)
        compared = _Comparison(output, picture, memory)
        measured = compared.level_zero(squared_error)
        subsampling = _subsampling(conversion, options)
        if measured < floor and subsampling is not None and picture.bands == COLOURS:
            # Colours that change within a chroma sample are lost legitimately, and nothing else.
            allowed = compared.level_zero(_beyond_subsampling(subsampling))
            _require(allowed, floor - REFERENCE_LOSS, "the output")
        else:
            _require(measured, floor, "the output")
        own = picture.coarser if conversion.name == "ome-zarr" and options.omezarr.levels == "source" else ()
        # The levels of a wavelet are what level zero was made from: there is no averaging to compare them with.
        for level in range(1, 1 if conversion.name in WAVELETS else len(output.info.levels)):
            if level <= len(own):
                _require(compared.copied(level, own[level - 1]), floor, f"level {level} of the output")
            else:
                _require(compared.coarser(level), floor - TWO_LOSSES, f"level {level} of the output")
        if known is not None:
            return known
        return Fidelity(measured, compared.sampled(exact=math.isinf(measured)))


def _require(measured: float, floor: float, what: str) -> None:
    if measured < floor:
        wanted = "be equal" if math.isinf(floor) else f"reach {floor:.1f} dB"
        raise VerificationFailed(
            f"{what} decodes to other pixels than the source: {measured:.1f} dB where it must {wanted}; "
            "the encoder or the disk is at fault, try again"
        )


def _subsampling(conversion: Conversion, options: OutputOptions) -> Subsampling | None:
    """How the output's chroma is subsampled, if it is."""
    if conversion.name not in {"jpeg", "ptiff"}:
        return None
    chosen = (options.ptiff if conversion.name == "ptiff" else options.jpeg).subsampling
    return None if chosen == "444" else chosen


def _beyond_subsampling(subsampling: Subsampling) -> Callable[[Samples, Samples], float]:
    """An error that counts nothing for what subsampling the source would lose by itself."""

    def error(source: Samples, output: Samples) -> float:
        best = encode(np.ascontiguousarray(source), quality=100, subsampling=subsampling, optimise=False)
        return squared_error(decode(best, "YCBCR", name="the subsampled source"), output)

    return error


class _Comparison:
    """One output beside its picture, read in bands that fit the memory."""

    def __init__(self, output: Output, picture: Picture, memory: int) -> None:
        self._output = output
        self._picture = picture
        self._memory = memory
        self._whole: Samples | None = None
        self._peak = float((1 << picture.bit_depth) - 1) if picture.dtype.kind in "iu" else 1.0

    def level_zero(self, error: Callable[[Samples, Samples], float]) -> float:
        """PSNR of the finest level against the picture, by an error summed over all samples."""
        picture, output = self._picture, self._output

        def cost(window: Window) -> int:
            return output.read_cost(0, window) + picture.read_cost(window)

        windows = self._blocks(picture.size, picture.grain, cost)
        total = 0.0
        for window in windows:
            pixels = output.read(0, window) if self._whole is None else self._whole
            total += error(picture.read(window), pixels)
            if len(windows) == 1:
                self._whole = pixels
        return psnr(total / (picture.size.pixels * picture.bands), self._peak)

    def coarser(self, level: int) -> float:
        """PSNR of a level against the halved next finer one."""
        output = self._output
        shape, finer = output.info.levels[level].shape, output.info.levels[level - 1].shape
        if shape != finer.halved(1):
            raise VerificationFailed(f"level {level} of the output is {tuple(shape)}, below {tuple(finer)}")

        def above(window: Window) -> Window:
            return Window(
                window.y0 * 2, window.x0 * 2, min(window.y1 * 2, finer.height), min(window.x1 * 2, finer.width)
            )

        def cost(window: Window) -> int:
            return output.read_cost(level, window) + 2 * output.read_cost(level - 1, above(window))

        total = 0.0
        for window in self._blocks(shape, output.info.levels[level].tile, cost):
            expected = halve(output.read(level - 1, above(window)))
            total += squared_error(expected, output.read(level, window))
        return psnr(total / (shape.pixels * self._picture.bands), self._peak)

    def copied(self, level: int, source: Picture) -> float:
        """PSNR of a level against the source's own."""
        output = self._output
        if output.info.levels[level].shape != source.size:
            raise VerificationFailed(f"level {level} of the output is not as large as the source's own")

        def cost(window: Window) -> int:
            return output.read_cost(level, window) + source.read_cost(window)

        total = sum(
            squared_error(source.read(window), output.read(level, window))
            for window in self._blocks(source.size, source.grain, cost)
        )
        return psnr(total / (source.size.pixels * source.bands), self._peak)

    def sampled(self, *, exact: bool) -> float | None:
        """The lowest SSIMULACRA2 of the sampled tiles, where the metric is defined for the picture."""
        picture = self._picture
        if picture.dtype != np.uint8 or picture.bands not in {1, 3} or min(picture.size) < MIN_SIDE:
            return None
        if exact:
            return 100.0
        scores = []
        windows = sample_windows(picture.size, SAMPLES) if self._whole is None else busiest(self._whole, SAMPLES)
        for window in windows:
            pixels = self._output.read(0, window) if self._whole is None else self._whole[window.slices()]
            scores.append(ssimulacra2(picture.read(window), pixels))
        return min(scores)

    def _blocks(self, size: Size, grain: Size | None, cost: Callable[[Window], int]) -> list[Window]:
        """Windows that memory allows, of whole grains: bands, or narrower ones where a grain is as high as all."""
        height, width = (1, size.width) if grain is None else grain
        least = Size(min(_aligned(height), size.height), min(_aligned(width), size.width))
        limit = self._memory - SCRATCH

        def taken(rows: int, columns: int) -> int:
            return cost(Window(0, 0, rows, columns))

        rows, columns = size
        while taken(rows, columns) > limit and (rows, columns) != least:
            if rows > least.height:
                rows = max(least.height, rows // 2 // least.height * least.height)
            else:
                columns = max(least.width, columns // 2 // least.width * least.width)
        if taken(rows, columns) > limit and taken(rows, columns) > taken(*size) // 2:
            # One of the two decodes whole whatever is asked of it: once is better than for every block.
            rows, columns = size
        return [
            Window(y, x, min(y + rows, size.height), min(x + columns, size.width))
            for y in range(0, size.height, rows)
            for x in range(0, size.width, columns)
        ]


def _aligned(side: int) -> int:
    """A side that holds whole chroma samples, so that subsampling comes out as in the whole picture."""
    return -(-side // MCU) * MCU


MCU = 16
"""Pixels a side that JPEG codes together where chroma is halved."""

MIN_SIDE = 8
"""Pixels a side below which SSIMULACRA2 has no scale to look at."""


def loss_floor(conversion: Conversion, options: OutputOptions) -> float:
    """The PSNR that the chosen encoding cannot fall below unless something went wrong, in decibels."""
    if conversion.name in WAVELETS:
        return max(GENERIC_FLOOR, (options.jp2.decibels or 0.0) - SPARED)
    if conversion.name not in {"jpeg", "ptiff"}:
        return GENERIC_FLOOR
    compressed = options.ptiff.compression if conversion.name == "ptiff" else "jpeg"
    if compressed != "jpeg":
        return GENERIC_FLOOR
    bands = conversion.picture.bands
    if conversion.name == "ptiff":
        return jpeg_floor(standard(options.ptiff.quality or 92, bands))
    return jpeg_floor(options.jpeg.tables or standard(options.jpeg.quality, bands))


@cache
def jpeg_floor(tables: Tables) -> float:
    """The lowest PSNR that quantisation alone can cause, in decibels.

    A coefficient is off by at most half its quantisation step q, and the DCT of ITU-T T.81 A.3.3 is orthonormal, so
    the mean squared error of a component is at most mean(q^2) / 4. The inverse of T.871's YCbCr spreads it over
    R, G and B with the mean squared gains 1, 1.086 (Cb) and 0.825 (Cr).
    """
    error = sum(gain * float(np.mean(np.square(table))) / 4 for gain, table in zip(GAINS, tables, strict=False))
    return 10 * math.log10(255**2 / (error + ROUNDING))


GAINS = (1.0, 1.086, 0.825)
"""Of the squared errors of Y, Cb and Cr."""
