"""Which axes of an array are rows, columns and bands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.zarr.ome import Axis
from ziggurat.geometry import Size

MAX_BANDS: Final = 4096
"""Planes that are read as bands, as of FITS; of more, only the first."""

SAMPLES: Final = (3, 4)
"""Lengths of a last axis without name that make it the samples of a pixel."""

ROWS: Final = frozenset({"y", "row", "rows", "lat", "latitude", "height"})
COLUMNS: Final = frozenset({"x", "column", "columns", "col", "lon", "longitude", "width"})
BANDS: Final = frozenset({"c", "band", "bands", "channel", "channels", "s", "sample", "samples", "rgb", "wavelength"})


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of an image, in the array's order, and what they are taken for.

    Attributes:
        lengths: of all axes.
        y: index into ``lengths`` of the rows.
        x: of the columns.
        band: of the bands, or None where there is one.
        first_of: indexes of longer axes of which only the first plane is read.
    """

    lengths: tuple[int, ...]
    y: int
    x: int
    band: int | None
    first_of: tuple[int, ...]

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.lengths[self.y], self.lengths[self.x])

    @property
    def bands(self) -> int:
        """Number of bands."""
        return 1 if self.band is None else self.lengths[self.band]

    def roles(self, values: Sequence[int]) -> tuple[int, int, int]:
        """Of one figure for each axis those of bands, rows and columns; 1 where there is no band."""
        return (1 if self.band is None else values[self.band]), values[self.y], values[self.x]

    @property
    def to_pixels(self) -> tuple[int, ...]:
        """How what is read of rows, columns and bands, in the array's order, is transposed to (y, x, band)."""
        kept = sorted(axis for axis in (self.y, self.x, self.band) if axis is not None)
        return tuple(kept.index(axis) for axis in (self.y, self.x, self.band) if axis is not None)


def arrange(lengths: tuple[int, ...], named: Sequence[Axis], where: str) -> Axes:
    """Takes axes for rows, columns and bands, by their names where they have any.

    Without names, the last two are rows and columns, or those before a last one of 3 or 4 samples; an axis before
    them is bands. Of named axes only channels are bands. Of all others the first plane is read.

    Args:
        lengths: of the array.
        named: its axes; () where nothing is said.
        where: for messages.

    Raises:
        UnsupportedFeature: if there are no two axes for a picture, or one is empty.
    """
    if len(lengths) < 2 or min(lengths) < 1:  # noqa: PLR2004 - rows and columns
        raise UnsupportedFeature(f"{where} has the shape {lengths}, which is no picture")
    names = [axis.name.lower() for axis in named] if len(named) == len(lengths) else []
    if any(names):
        y, x, band = _by_name(names, named)
    else:
        y, x, band = _by_place(lengths)
    if band is not None and not 1 < lengths[band] <= MAX_BANDS:
        band = None
    first = tuple(axis for axis, length in enumerate(lengths) if length > 1 and axis not in {y, x, band})
    return Axes(lengths, y, x, band, first)


def _by_name(names: Sequence[str], named: Sequence[Axis]) -> tuple[int, int, int | None]:
    spatial = [i for i, axis in enumerate(named) if axis.kind == "space"]
    if len(spatial) < 2:  # noqa: PLR2004 - rows and columns
        spatial = [i for i, axis in enumerate(named) if axis.kind not in {"channel", "time"} and names[i] not in BANDS]
    if len(spatial) < 2:  # noqa: PLR2004 - as above
        spatial = list(range(len(names)))
    y = next((i for i, name in enumerate(names) if name in ROWS), None)
    x = next((i for i, name in enumerate(names) if name in COLUMNS), None)
    if y is None or x is None:
        y, x = spatial[-2:]
    by_kind = [i for i, axis in enumerate(named) if axis.kind == "channel"]
    by_word = [i for i, name in enumerate(names) if name in BANDS]
    return y, x, next((i for i in by_kind + by_word if i not in {y, x}), None)


def _by_place(lengths: tuple[int, ...]) -> tuple[int, int, int | None]:
    last = len(lengths) - 1
    if last > 1 and lengths[last] in SAMPLES and min(lengths[last - 2 : last]) > lengths[last]:
        return last - 2, last - 1, last
    return last - 1, last, last - 2 if last > 1 else None
