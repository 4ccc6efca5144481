"""Mosaics as images: ``sky:INDEX!NAME``, and what there are of them in an index."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from ziggurat.errors import SourceChanged, UnknownFormat
from ziggurat.format.fits.axes import Axes, arrange
from ziggurat.format.fits.cards import Cards
from ziggurat.format.fits.places import pixel_of, place_of
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.fits.wcs import wcs_details
from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, Samples
from ziggurat.pyramid import shrink
from ziggurat.pyramid.blocks import Progress
from ziggurat.pyramid.made import Home, MadeLevels
from ziggurat.sky.assembly import Assembly
from ziggurat.sky.coarse import Coarse
from ziggurat.sky.layout import Layout
from ziggurat.sky.survey import open_survey, version_of
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.urls import Mosaic

MAGIC: Final = b"ZIGGURAT MOSAIC\n"
"""First bytes of what a mosaic says of itself."""

TILE: Final = Size(512, 512)
"""What is best read at a time: each window takes some milliseconds for every image under it."""

OPEN: Final = 16
"""Mosaics whose images' coordinates and small versions are kept."""

MEMORY: Final = 1 << 30
"""Bytes that reading a part of one image may take."""

WAITED: Final = 256 << 20
"""Bytes of images that are read for a coarse window while somebody waits: twenty of 2048 x 1489 pixels, or a second."""

SAMPLED: Final = 16
"""Places where a mosaic is looked at to find out how it is best shown."""

SIDE: Final = 64
"""Pixels a side of what is looked at there."""


class MosaicSource:
    """What a mosaic says of itself, as bytes; the version is that of its index.

    Attributes:
        assembly: its pixels.
    """

    def __init__(self, mosaic: Mosaic, assembly: Assembly, version: SourceVersion) -> None:
        self.url = mosaic.url
        self.assembly = assembly
        layout = assembly.layout
        said = {
            "name": layout.group.name,
            "images": len(layout.group.numbers),
            "bands": assembly.bands,
            "height": layout.grid.size.height,
            "width": layout.grid.size.width,
        }
        self._data = MAGIC + json.dumps(said).encode()
        self.size = len(self._data)
        self.version = SourceVersion(self.size, f"{version.tag} {version.size}")

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given.

        Raises:
            SourceChanged: if one leaves them.
        """
        if any(item.end > self.size for item in ranges):
            raise SourceChanged(f"{self.url} has {self.size} bytes; more were asked for")
        return [self._data[item.start : item.end] for item in ranges]

    def close(self) -> None:
        """The index stays open for others."""


def open_mosaic(mosaic: Mosaic) -> MosaicSource:
    """Opens a mosaic.

    Args:
        mosaic: which one; without a name the only one.

    Raises:
        JobError: if there is no such index.
        SourceError: if it has no such mosaic, or cannot be read.
        FormatError: if its images' coordinates make no mosaic.
    """
    path = Path(mosaic.index)
    version = version_of(path)
    name = open_survey(path, version).group(mosaic.name).name
    return MosaicSource(mosaic, _assembled(path, version, name), version)


def list_mosaics(place: Mosaic) -> Iterator[tuple[str, str, int, str]]:
    """Mosaics of an index: URL, name, bytes of the index and version tag.

    Args:
        place: one mosaic, or all.

    Raises:
        JobError: if there is no such index.
        SourceError: if it has no such mosaic, or cannot be read.
    """
    path = Path(place.index)
    version = version_of(path)
    survey = open_survey(path, version)
    for name in [survey.group(place.name).name] if place.name else survey.groups:
        yield Mosaic(place.index, name).url, name, version.size, version.tag


@lru_cache(maxsize=OPEN)
def _assembled(path: Path, version: SourceVersion, name: str) -> Assembly:
    survey = open_survey(path, version)
    return Assembly(Layout(survey, survey.group(name)), Coarse(None), memory=MEMORY)


def open_reader(source: ByteSource) -> "MosaicReader":
    """Opens a mosaic of which the source was opened by its name: what a file says of other files is not followed.

    Raises:
        UnknownFormat: if it was not.
    """
    if not isinstance(source, MosaicSource):
        raise UnknownFormat(f"{source.url} only tells of a mosaic; open the mosaic by its name, sky:INDEX!NAME")
    return MosaicReader(source.assembly)


class MosaicReader:
    """A mosaic as an image of one level. Safe to use from several threads."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._wcs = assembly.layout.grid.wcs
        self.info = _info(assembly)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why images were left out."""
        return self._assembly.warnings

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window: flux, NaN where there is no image. Row 0 is the northernmost."""
        return self._assembly.read(level, window)

    def read_cost(self, level: int, window: Window) -> int:  # noqa: ARG002 - each costs the same
        """Peak bytes of ``read``."""
        return self._assembly.cost(window)

    def place(self, y: float, x: float) -> tuple[float, float] | None:
        """Right ascension and declination of a pixel in degrees, ICRS."""
        return place_of(self._wcs, y, x)

    def pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """Row and column of a place in degrees, ICRS; None on the other half of the sky."""
        return pixel_of(self._wcs, ra, dec)

    def coarser(self, home: Home | None) -> MadeLevels:
        """The levels that are made of small versions of the images."""
        return FieldLevels(self, self._assembly, home)


class FieldLevels(MadeLevels):
    """Coarse levels of a mosaic, made of its images as they are asked for.

    The images at an eighth of their size are kept: no pass over all of a survey is needed before a part can be seen.
    """

    def __init__(self, reader: MosaicReader, assembly: Assembly, home: Home | None) -> None:
        version = SourceVersion(0, "")
        super().__init__(reader, version, home=None, memory=MEMORY, plain=lambda: reader)
        self._assembly = assembly
        cache = None if home is None else home.cache
        if cache is not None:
            assembly.coarse.cache = cache
        self._progress = None if home is None else home.progress

    def read(self, number: int, window: Window) -> Samples:
        """Pixels of a window of a made level: number 0 is half as large as the mosaic."""
        return self._assembly.read(number + 1, window)

    def read_cost(self, number: int, window: Window) -> int:  # noqa: ARG002 - each costs the same
        """Peak bytes of memory that ``read`` takes."""
        return self._assembly.cost(window)

    def read_sampled(self, number: int, window: Window) -> Samples:
        """As ``read``, of single pixels of images whose small versions were not made."""
        return self._assembly.read(number + 1, window, sampled=True)

    @property
    def sketches(self) -> bool:
        """Yes: some of the images are better than none."""
        return True

    @property
    def has_holes(self) -> bool:
        """Whether an image was left out a moment ago."""
        return self._assembly.has_holes

    def sketch(self, number: int, window: Window, seconds: float) -> Samples:
        """As ``read_sampled``, of the images that can be read in some seconds, from all over the window."""
        return self._assembly.read(number + 1, window, sampled=True, seconds=seconds)

    def sampled_cost(self, number: int, window: Window) -> int:
        """Peak bytes of memory that ``read_sampled`` takes."""
        return self.read_cost(number, window)

    def thumbnail(self, number: int, target: Size) -> Samples | None:
        """All of the mosaic, of single pixels; None where nothing is lacking."""
        window = Window.full(self.levels[number].shape)
        return shrink(self.read_sampled(number, window), target) if self.makes_all(number, window) else None

    def sample(self) -> Samples:
        """Pixels at some of the images' middles, at full resolution."""
        layout = self._assembly.layout
        found = []
        for place in self._assembly.places(SAMPLED):
            bounds = layout.bounds(place)
            if bounds is not None:
                y0 = max(0, min((bounds.y0 + bounds.y1 - SIDE) // 2, layout.grid.size.height - SIDE))
                x0 = max(0, min((bounds.x0 + bounds.x1 - SIDE) // 2, layout.grid.size.width - SIDE))
                wanted = Window(y0, x0, y0 + SIDE, x0 + SIDE).intersect(Window.full(layout.grid.size))
                if wanted is not None:
                    found.append(self._assembly.read(0, wanted))
        bands = len(self._assembly.bands)
        flat = [pixels.reshape(1, -1, bands) for pixels in found]
        return np.concatenate(flat, axis=1) if flat else np.full((1, 1, bands), np.nan, np.float32)

    def ready(self) -> Path | None:
        """None: no single file holds them."""
        return None

    def make(self, *, progress: Progress | None = None) -> Path | None:
        """Makes the small versions of all images, unless there is no cache to keep them.

        Returns:
            None: no single file holds them.
        """
        told = progress or self._progress
        pixels, total = 0, self._assembly.layout.grid.size.pixels
        if self._assembly.coarse.cache is not None:
            for more in self._assembly.make():
                pixels += more
                if told is not None:
                    told(min(pixels, total), total)
        return None

    def makes_all(self, number: int, window: Window) -> bool:
        """Whether ``read`` of this window first makes so many small versions that nobody should wait for them."""
        if self._assembly.coarse.cache is None:
            return False
        missing = 0
        for image in self._assembly.lacking(number + 1, window):
            missing += image.size.pixels * np.dtype(np.float32).itemsize
            if missing > WAITED:
                return True
        return False


def _info(assembly: Assembly) -> ImageInfo:
    layout, bands = assembly.layout, assembly.bands
    with quiet():
        header = layout.grid.wcs.to_header()
    axes: Axes = arrange((layout.grid.size.width, layout.grid.size.height))
    details: dict[str, JSON] = {
        "mosaic": {
            "name": layout.group.name,
            "bands": list(bands),
            "images": len(layout.group.numbers),
            "index": layout.survey.path.name,
            "first_row": "north",
        }
    }
    world = wcs_details(Cards(header.tostring().encode("ascii"), layout.where), axes)
    if world is not None:
        details["wcs"] = world
    return ImageInfo(
        format="mosaic",
        levels=(Level(layout.grid.size, TILE),),
        bands=len(bands),
        dtype="float32",
        bit_depth=32,
        kind="float",
        colour_space=ColourSpace.GREY if len(bands) == 1 else ColourSpace.UNKNOWN,
        details=MappingProxyType(details),
    )
