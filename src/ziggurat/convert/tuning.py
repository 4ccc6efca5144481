"""The smallest JPEG of a picture that is as faithful as is asked for: its tables and subsampling, found on samples.

Sixteen tiles of a picture, from its busiest to its flattest, are put together as two sheets. On the first, every shape
of tables gets its coarsest step, and the one with the fewest bytes is taken; the second has to confirm it, or the
step is made finer until both agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

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

TILES = 8
"""Tiles of a sheet: half a megapixel."""

_WHOLE = 2 * TILES * SIDE * SIDE
"""Pixels up to which a picture is its own sheet."""

_TOLERANCE = {"ssimulacra2": 0.1, "psnr": 0.05}
"""Points and decibels by which more than what is asked for is enough: less than 1 % of the bytes."""

_SLOPE = {"ssimulacra2": 7.0, "psnr": 5.0}
"""Points and decibels that are lost, about, where steps are e times as large."""

_START = {"ssimulacra2": (88.0, 0.15), "psnr": (42.0, 0.15)}
"""A score, and a step that gives it, about."""

_MISSED = 0.3
"""Decibels that the whole picture may lie below its samples."""

_KEPT = 90
"""Quality from which ImageMagick keeps chroma whole."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen for one picture.

    Attributes:
        subsampling: of chroma.
        step: of the tables; None for those of libjpeg.
        wanted: what the samples had to reach, in the measure's own unit.
        reached: what they reach.
        tables: that were chosen.
    """

    subsampling: Subsampling
    step: float | None
    wanted: float
    reached: float
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
    if tuned.reached < tuned.wanted - _TOLERANCE["ssimulacra2"]:
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
        if wanted.measure == "same-as":
            quality = int(wanted.value)
            tables = standard(quality, pixels.shape[2])
            self.wanted = self.reached(tables, "444" if quality >= _KEPT else "420")

    def encoded(self, tables: Tables, subsampling: Subsampling, *, small: bool) -> bytes:
        return jpeg_tables.encode(self.pixels, tables, subsampling=subsampling, small=small)

    def reached(self, tables: Tables, subsampling: Subsampling) -> float:
        jpeg = self.encoded(tables, subsampling, small=False)
        pixels = decode(jpeg, "GRAYSCALE" if self.pixels.shape[2] == 1 else "YCBCR", name="a sample")
        if self._original is not None:
            return self._original.score(pixels)
        return psnr(squared_error(self.pixels, pixels) / pixels.size, 255)

    def margin(self, tables: Tables, subsampling: Subsampling) -> float:
        return self.reached(tables, subsampling) - self.wanted


def tune(picture: Picture, wanted: Wanted, *, whole: bool) -> Tuned:
    """Chooses tables and subsampling for a picture of 1 or 3 bands of uint8.

    Args:
        picture: read only in parts, unless it is small.
        wanted: what to reach.
        whole: whether the picture lies in memory, so that all of it may be looked at to choose the samples.
    """
    if min(picture.size) < SMALLEST and wanted.measure != "psnr":
        # The metric says nothing of it, and it is small.
        return Tuned("444", None, wanted.value, 0.0, standard(95, picture.bands))
    sheets = [_Sheet(pixels, wanted) for pixels in _samples(picture, whole=whole)]
    bands = picture.bands
    shapes = FLAT if wanted.measure == "psnr" else SHAPES
    found = [(shape, _search(shape, sheets[:1], wanted, bands)) for shape in (shapes if bands > 1 else shapes[:1])]
    reaching = [(shape, best) for shape, best in found if best.margin >= 0] or found[:1]

    def size(choice: tuple[Shape, Found]) -> int:
        shape, best = choice
        return len(sheets[0].encoded(shape.tables(best.step, bands), shape.subsampling, small=True))

    shape, best = min(reaching, key=size)
    if len(sheets) > 1 and best.margin >= 0 and _margin(shape, sheets[1:], bands)(best.step) < 0:
        best = _search(shape, sheets, wanted, bands, start=best.step)
    tables = shape.tables(best.step, bands)
    sheet = sheets[0]
    return Tuned(shape.subsampling, best.step, sheet.wanted, sheet.reached(tables, shape.subsampling), tables)


def _margin(shape: Shape, sheets: Sequence[_Sheet], bands: int) -> Callable[[float], float]:
    def lowest(step: float) -> float:
        tables = shape.tables(step, bands)
        return min(sheet.margin(tables, shape.subsampling) for sheet in sheets)

    return lowest


def _search(shape: Shape, sheets: Sequence[_Sheet], wanted: Wanted, bands: int, start: float | None = None) -> Found:
    unit = "psnr" if wanted.measure == "psnr" else "ssimulacra2"
    if start is None:
        score, step = _START[unit]
        start = max(FINEST, step * np.exp((score - sheets[0].wanted) / _SLOPE[unit]))
    margin = _margin(shape, sheets, bands)
    return coarsest(margin, start=start, finest=FINEST, slope=_SLOPE[unit], tolerance=_TOLERANCE[unit])


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
