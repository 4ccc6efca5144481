"""The smallest JPEG of a picture that is as faithful as is asked for: its tables and subsampling, found on samples.

Sixteen tiles of a picture, from its busiest to its flattest, are put together as two sheets. On the first, every shape
of tables gets its coarsest step, and the one with the fewest bytes is taken; the second has to confirm it, or the
step is made finer until both agree.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from ziggurat.codec import jpeg_tables
from ziggurat.codec.jpeg import Subsampling, decode
from ziggurat.codec.jpeg_tables import FINEST, FLAT, SHAPES, Shape, Tables, standard
from ziggurat.convert.wanted import Wanted
from ziggurat.geometry import Window
from ziggurat.model import JSON, Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.sampling import SIDE, sample_windows, spread
from ziggurat.quality.search import Found, coarsest
from ziggurat.quality.ssimulacra2 import SMALLEST, Original
from ziggurat.write.jpeg import JpegOptions
from ziggurat.write.protocol import Picture

type Unit = Literal["ssimulacra2", "psnr"]

TILES = 8
"""Tiles of a sheet: half a megapixel."""

_WHOLE = 2 * TILES * SIDE * SIDE
"""Pixels up to which a picture is its own sheet."""

_TOLERANCE: Mapping[Unit, float] = {"ssimulacra2": 0.1, "psnr": 0.05}
"""Points and decibels by which more than what is asked for is enough: less than 1 % of the bytes."""

_SLOPE: Mapping[Unit, float] = {"ssimulacra2": 10.0, "psnr": 5.0}
"""Points and decibels that are lost, about, where steps are e times as large."""

_START: Mapping[Unit, tuple[float, float]] = {"ssimulacra2": (88.4, 0.225), "psnr": (42.0, 0.15)}
"""A score, and a step of the first shape that gives it, about."""

_NEXT = 0.72
"""Factor from the step of the shape with whole chroma to that of the other, about, for the same score."""

_TINY = 95
"""Quality of pictures that are too small for the measure."""

_MISSED = 0.3
"""Decibels that the whole picture may lie below its samples."""

_KEPT = 90
"""Quality from which ImageMagick keeps chroma whole."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen for one picture.

    Attributes:
        subsampling: of chroma.
        step: of the tables; None for those of libjpeg, which are taken where no others make the file smaller.
        wanted: what the samples had to reach, in the measure's own unit.
        reached: what they reach; None where a picture is too small for the measure.
        tables: that were chosen.
    """

    subsampling: Subsampling
    step: float | None
    wanted: float
    reached: float | None
    tables: Tables

    def applied(self, options: JpegOptions) -> JpegOptions:
        """The writer's options with these tables."""
        return replace(options, subsampling=self.subsampling, tables=self.tables)

    def record(self) -> dict[str, JSON]:
        """For the ledger."""
        values = asdict(self)
        values.pop("tables")
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def placeholder(bands: int) -> Tables:
    """Tables that cost as much memory as those that will be found."""
    return standard(100, bands)


def doubts(tuned: Tuned, wanted: Wanted, decibels: float, worst: float | None) -> tuple[str, ...]:
    """Why somebody should look at an output, in words for the ledger; none mostly.

    Args:
        tuned: what was chosen for it.
        wanted: what was asked for.
        decibels: PSNR of all of it.
        worst: SSIMULACRA2 of its worst tile, where that was measured.
    """
    found = []
    if tuned.reached is not None and tuned.reached < tuned.wanted - _TOLERANCE["ssimulacra2"]:
        found.append(f"its samples reach {tuned.reached:.1f} where {tuned.wanted:.1f} is asked for")
    if wanted.measure == "psnr" and decibels < wanted.value - _MISSED:
        found.append(f"all of it has {decibels:.1f} dB where {wanted.value:g} are asked for")
    if worst is not None and worst < wanted.floor:
        found.append(f"its worst tile has a SSIMULACRA2 of {worst:.1f}, below {wanted.floor:g}")
    return tuple(f"to be reviewed: {reason}" for reason in found)


class _Sheet:
    """Samples of a picture, and how faithful their encodings are."""

    def __init__(self, pixels: Samples, wanted: Wanted) -> None:
        self.pixels = pixels
        self._original = Original(pixels) if wanted.measure != "psnr" else None
        self.wanted = wanted.value
        self.example: tuple[Tables, Subsampling] | None = None
        if wanted.measure == "same-as":
            quality = int(wanted.value)
            tables = standard(quality, pixels.shape[2])
            subsampling: Subsampling = "444" if quality >= _KEPT else "420"
            self.example = tables, subsampling
            self.wanted = self.reached(tables, subsampling)

    def size(self, tables: Tables, subsampling: Subsampling) -> int:
        return len(jpeg_tables.encode(self.pixels, tables, subsampling=subsampling, small=True))

    def reached(self, tables: Tables, subsampling: Subsampling) -> float:
        jpeg = jpeg_tables.encode(self.pixels, tables, subsampling=subsampling, small=False)
        pixels = decode(jpeg, "GRAYSCALE" if self.pixels.shape[2] == 1 else "YCBCR", name="a sample")
        if self._original is not None:
            return self._original.score(pixels)
        return psnr(squared_error(self.pixels, pixels) / pixels.size, 255)

    def margin(self, shape: Shape, step: float) -> float:
        return self.reached(shape.tables(step, self.pixels.shape[2]), shape.subsampling) - self.wanted


def tune(picture: Picture, wanted: Wanted, *, whole: bool) -> Tuned:
    """Chooses tables and subsampling for a picture of 1 or 3 bands of uint8.

    Args:
        picture: read only in parts, unless it is small.
        wanted: what to reach.
        whole: whether the picture lies in memory, so that all of it may be looked at to choose the samples.
    """
    if min(picture.size) < SMALLEST and wanted.measure != "psnr":
        # The metric says nothing of it, and it is small.
        return Tuned("444", None, wanted.value, None, standard(_TINY, picture.bands))
    sheets = [_Sheet(pixels, wanted) for pixels in _samples(picture, whole=whole)]
    bands = picture.bands
    unit: Unit = "psnr" if wanted.measure == "psnr" else "ssimulacra2"
    shapes = FLAT if unit == "psnr" else SHAPES
    found: list[tuple[Shape, Found]] = []
    for shape in shapes if bands > 1 else shapes[:1]:
        start = found[-1][1].step * _NEXT if found else None
        found.append((shape, _search(shape, sheets[0], unit, start)))
    reaching = [(shape, best) for shape, best in found if best.margin >= 0] or found[:1]

    def size(choice: tuple[Shape, Found]) -> int:
        shape, best = choice
        return sheets[0].size(shape.tables(best.step, bands), shape.subsampling)

    shape, best = min(reaching, key=size)
    deciding = sheets[0]
    if len(sheets) > 1 and best.margin >= 0:
        missed = sheets[1].margin(shape, best.step)
        if missed < 0:
            # What is fine enough for the second sheet is finer than the first needs.
            deciding = sheets[1]
            best = _search(shape, deciding, unit, best.step * math.exp(missed / _SLOPE[unit]))
    tables = shape.tables(best.step, bands)
    example = deciding.example
    if example is not None and (best.margin < 0 or deciding.size(*example) <= deciding.size(tables, shape.subsampling)):
        return Tuned(example[1], None, deciding.wanted, deciding.wanted, example[0])
    return Tuned(shape.subsampling, best.step, deciding.wanted, deciding.wanted + best.margin, tables)


def _search(shape: Shape, sheet: _Sheet, unit: Unit, start: float | None) -> Found:
    if start is None:
        score, step = _START[unit]
        start = step * math.exp((score - sheet.wanted) / _SLOPE[unit])
    return coarsest(
        lambda step: sheet.margin(shape, step),
        start=max(FINEST, start),
        finest=FINEST,
        slope=_SLOPE[unit],
        tolerance=_TOLERANCE[unit],
    )


def _samples(picture: Picture, *, whole: bool) -> list[Samples]:
    """One or two sheets of pixels (y, x, band)."""
    full = Window.full(picture.size)
    if picture.size.pixels <= _WHOLE:
        return [picture.read(full)]
    windows = spread(picture.read(full), 2 * TILES) if whole else sample_windows(picture.size, 2 * TILES)
    if len(windows) < 2 * TILES:
        # Long and narrow: there are not so many squares in it.
        return [_sheet(picture, windows)]
    return [_sheet(picture, windows[start::2]) for start in range(2)]


def _sheet(picture: Picture, windows: Sequence[Window]) -> Samples:
    """Tiles side by side, in two rows where they are even in number."""
    tiles = [picture.read(window) for window in windows]
    rows = 2 if len(tiles) % 2 == 0 else 1
    columns = len(tiles) // rows
    return np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
