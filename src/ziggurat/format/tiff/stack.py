"""Along which axes the pages of a TIFF's series lie, and which of them make one plane."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from ziggurat.errors import UnsupportedFeature
from ziggurat.model import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

type Page = TiffPage | TiffFrame

_KNOWN: Final = "TZC"
_COUNTED: Final = ("frames", "slices", "channels")
"""What ImageJ's description says of T, Z and C; its pages run through them in this order, channels fastest."""


@dataclass(frozen=True, slots=True)
class PageAxes:
    """The axes of a series' pages, without those within a page.

    Attributes:
        names: slowest first, each one of T, Z, C.
        lengths: of them.
    """

    names: str
    lengths: tuple[int, ...]

    @property
    def stack(self) -> Stack:
        """The axes that are not bands."""
        found = dict(zip(self.names, self.lengths, strict=True))
        return Stack(times=found.get("T"), depth=found.get("Z"))

    def pages(self, number: int, level: TiffPageSeries) -> tuple[Page, ...]:
        """The pages of one plane of a level, one a band; none if one of them is missing.

        Args:
            number: of the plane; Z runs faster than T.
            level: of the series.
        """
        depth = self.stack.depth or 1
        at = {"T": number // depth, "Z": number % depth}
        bands = dict(zip(self.names, self.lengths, strict=True)).get("C", 1)
        strides = {name: math.prod(self.lengths[place + 1 :]) for place, name in enumerate(self.names)}
        first = sum(at[name] * stride for name, stride in strides.items() if name in at)
        pages = cast("Sequence[Page | None]", level.pages)
        numbers = [first + band * strides.get("C", 1) for band in range(bands)]
        found = [page for each in numbers if each < len(pages) and (page := pages[each]) is not None]
        return tuple(found) if len(found) == bands else ()


def stack_axes(tif: TiffFile, series: TiffPageSeries, where: str) -> PageAxes:
    """The axes of the pages of a series.

    Args:
        tif: the file.
        series: of it.
        where: the file, for messages.

    Raises:
        UnsupportedFeature: if they are others than t, z and c, or channels have several samples each.
    """
    named = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    # Planes that the series finds within a page are not pages of their own.
    pages = math.prod(n for _, n in named)
    if pages != len(series.pages):
        raise UnsupportedFeature(f"{where}: its {pages} planes are not one a page; only such are read as a stack")
    if len(named) == 1 and named[0][0] not in _KNOWN:
        named = _counted(tif, pages) or [("Z", pages)]
    names, lengths = "".join(axis for axis, _ in named), tuple(n for _, n in named)
    if len(set(names)) < len(names) or set(names) - set(_KNOWN):
        raise UnsupportedFeature(f"{where}: its planes lie along the axes {names}; only t, z and c are known")
    if "C" in names and lengths[names.index("C")] > 1 and series.keyframe.samplesperpixel > 1:
        raise UnsupportedFeature(f"{where}: its channels have {series.keyframe.samplesperpixel} samples each")
    return PageAxes(names, lengths)


def _counted(tif: TiffFile, pages: int) -> list[tuple[str, int]] | None:
    """The axes that ImageJ's description counts, if the file has as many pages."""
    if not tif.is_imagej:
        return None
    said = tif.imagej_metadata or {}
    counts = [said.get(name, 1) for name in _COUNTED]
    if not all(isinstance(count, int) and count > 0 for count in counts) or math.prod(counts) != pages:
        return None
    return [(axis, count) for axis, count in zip(_KNOWN, counts, strict=True) if count > 1]
