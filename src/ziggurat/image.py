"""``open(url)``: a place and a format joined into one image with its levels."""

import importlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from ziggurat import pyramid
from ziggurat.codestream.passes import Shown, Strength
from ziggurat.errors import OutOfMemory, UnsupportedFeature, UsageError
from ziggurat.format.protocol import OnTheSky, OpenReader, Reader, SparingReader, Stacked, StoringJpeg
from ziggurat.format.shelf import Indexed, Shelf
from ziggurat.format.table import FOLDER, FORMATS, HEAD, Format, recognise
from ziggurat.geometry import Size, Window
from ziggurat.model import SINGLE, ImageInfo, Level, Samples, Stack
from ziggurat.pyramid.blocks import Progress
from ziggurat.pyramid.made import Coarsening, Home, MadeLevels
from ziggurat.storage.cached import CachedSource
from ziggurat.storage.file_cache import default_cache
from ziggurat.storage.folder import FolderSource
from ziggurat.storage.local import LocalSource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import identity, local_path, open_source

if TYPE_CHECKING:
    import zarr

DEFAULT_MEMORY = 8 << 30
"""Bytes that one ``read`` may take unless told otherwise: a header that asks for more is more often a lie
than an image, and the caller who has such an image also knows of it."""


class Image:
    """One picture with its levels, finest first. Made by ``ziggurat.open``; close it or use ``with``.

    The levels that the file stores are followed by made ones, each half as large as the one before, down to 512
    pixels. Where a window of one is not cheap to make, all of them are made in one pass over the image and kept.
    """

    def __init__(
        self,
        source: ByteSource,
        reader: Reader,
        *,
        memory: int = DEFAULT_MEMORY,
        made: MadeLevels | None = None,
    ) -> None:
        self._source = source
        self._reader = reader
        self._memory = memory
        self._again: partial[Image] | None = None
        self._lent = False
        self._made = made or MadeLevels(reader, source.version, home=None, memory=memory, plain=lambda: reader)

    @property
    def url(self) -> str:
        """Where its bytes lie."""
        return self._source.url

    @property
    def source(self) -> ByteSource:
        """The bytes behind it."""
        return self._source

    @property
    def reader(self) -> Reader:
        """What reads the stored levels, for code that knows the format."""
        return self._reader

    @property
    def info(self) -> ImageInfo:
        """What the header says."""
        return self._reader.info

    @property
    def stack(self) -> Stack:
        """The axes along which the file holds images like this one, which is the first of them.

        The directories of a TIFF are looked at once more for that; the third and fourth axis of a FITS image are its
        depth and time, of which ``read`` takes the third for bands.

        Raises:
            CorruptImage: if what the file says of them is damaged.
            UnsupportedFeature: if they lie along other axes, or are too many.
        """
        return self._reader.stack if isinstance(self._reader, Stacked) else SINGLE

    def plane(self, number: int) -> "Image":
        """One of the images of the stack. It reads from the source of this one, which must stay open.

        Args:
            number: from 0; the depth runs faster than time.

        Raises:
            UsageError: if there is no such plane.
            CorruptImage: if it is damaged.
        """
        planes = self.stack.planes
        if not 0 <= number < planes:
            raise UsageError(f"{self.url} has planes 0 to {planes - 1}, not {number}")
        reader = self._reader.plane(number) if isinstance(self._reader, Stacked) else self._reader
        plane = Image(self._source, reader, memory=self._memory)
        plane._lent = True
        return plane

    @property
    def levels(self) -> tuple[Level, ...]:
        """The resolutions, finest first, each with ``shape`` (height, width): those of ``info``, then made ones."""
        return self._reader.info.levels + self._made.levels

    def read(
        self, level: int = 0, window: Window | tuple[int, int, int, int] | None = None, *, sampled: bool = False
    ) -> Samples:
        """Pixels of a window of a level, as stored: no orientation applied, no colour converted.

        Args:
            level: 0 is full resolution.
            window: (y0, x0, y1, x1), end-exclusive, in pixels of that level; None is all of it.
            sampled: where the level neither is in the file nor was made before, take single pixels of the next finer
                level that is, at every 2nd, 4th, 8th ... row and column, instead of means. Of a TIFF in strips only
                these rows are fetched: a rough first picture, at once.

        Returns:
            Array (y, x, band) of ``info.dtype``.

        Raises:
            UsageError: if there is no such level, or the window leaves it.
            OutOfMemory: if the header predicts more than the memory limit.
            CorruptImage: if the pixels do not decode completely.
        """
        wanted = self._checked(level, window)
        cost = self.read_cost(level, wanted, sampled=sampled)
        if cost > self._memory:
            raise OutOfMemory(
                f"{self.url}: reading {wanted.height} x {wanted.width} pixels of level {level} takes about "
                f"{cost >> 20} MiB, the limit is {self._memory >> 20} MiB; read a smaller window or a "
                "coarser level, or raise the limit"
            )
        stored = len(self.info.levels)
        if level < stored:
            return self._reader.read(level, wanted)
        return (self._made.read_sampled if sampled else self._made.read)(level - stored, wanted)

    def stored_jpeg(self, level: int, window: Window) -> bytes | None:
        """The JPEG that the file holds of a window, as a file of its own: the pixels of ``read`` without decoding them.

        Args:
            level: 0 is full resolution.
            window: exactly what the file stores as a unit.

        Returns:
            None where the file holds none of exactly this window, or not in plain grey or RGB.

        Raises:
            UsageError: if there is no such level, or the window leaves it.
            CorruptImage: if it lies outside the file.
        """
        wanted = self._checked(level, window)
        if level >= len(self.info.levels) or not isinstance(self._reader, StoringJpeg):
            return None
        return self._reader.stored_jpeg(level, wanted)

    def sparing(self, shown: Shown, strength: Strength) -> "Image | None":
        """The same image, read faster: what a lossy target cannot show is not decoded.

        Args:
            shown: the target.
            strength: how much may be lost.

        Returns:
            An image over this one's source, which must stay open; None where the format has nothing to leave out, or
            little would be saved.
        """
        reader = self._reader.sparing(shown, strength) if isinstance(self._reader, SparingReader) else None
        return None if reader is None else Image(self._source, reader, memory=self._memory)

    @property
    def overview(self) -> Path | None:
        """The file in which all made levels lie ready, beside the image or in the cache; None if there is none."""
        return self._made.ready()

    def build_levels(self, *, progress: Progress | None = None) -> Path | None:
        """Makes the levels that the file lacks, in one pass over it, unless they lie ready.

        Args:
            progress: called with the pixels read so far and those to be read.

        Returns:
            Where they lie: beside the image or in the cache; None if there are none to make, or no cache.

        Raises:
            WriteError: if they cannot be kept.
            CorruptImage: if the pixels do not decode completely.
        """
        return self._made.make(progress=progress)

    @property
    def sketches(self) -> bool:
        """Whether ``sketch`` makes something."""
        return self._made.sketches

    def sketch(self, level: int, window: Window, seconds: float) -> Samples | None:
        """As ``read`` with ``sampled``, of what can be read in some seconds; what comes later is NaN.

        Args:
            level: one that the file lacks.
            window: in pixels of that level.
            seconds: for all of it.

        Returns:
            Array (y, x, band); None where the image is nothing that can be read in parts.

        Raises:
            UsageError: if there is no such level, or the window leaves it.
        """
        wanted, stored = self._checked(level, window), len(self.info.levels)
        return self._made.sketch(level - stored, wanted, seconds) if level >= stored else None

    @property
    def has_holes(self) -> bool:
        """Whether a part of a mosaic was left out a moment ago, because it could not be read; ``warnings`` say why."""
        return self._made.has_holes

    def sample(self) -> Samples | None:
        """Some pixels of full resolution from all over the image, the same every time.

        Returns:
            Array (y, x, band); None where these are not quick to read.
        """
        return self._made.sample()

    def makes_levels(self, level: int, window: Window) -> bool:
        """Whether ``read`` of this window would first make all levels that the file lacks: a pass over all of it.

        Args:
            level: 0 is full resolution.
            window: in pixels of that level.

        Raises:
            UsageError: if there is no such level, or the window leaves it.
        """
        wanted, stored = self._checked(level, window), len(self.info.levels)
        return level >= stored and self._made.makes_all(level - stored, wanted)

    def write_levels(self, path: Path, *, progress: Progress | None = None) -> None:
        """Writes the levels that the file lacks into a TIFF of their own, lossless, as GDAL reads it.

        Named as the image with ``.ovr`` after it, and beside it, it is used from then on, as long as the image
        stays as it is.

        Args:
            path: the file to write; one that is there is written over.
            progress: called with the pixels read so far and those to be read.

        Raises:
            UsageError: if there are none to make.
            WriteError: if the file cannot be written.
            CorruptImage: if the pixels do not decode completely.
        """
        if not self._made.levels:
            raise UsageError(f"{self.url} has all its levels; there are none to make")
        self._made.write(path, progress=progress)

    def place(self, y: float, x: float) -> tuple[float, float] | None:
        """Where on the sky a pixel is, of formats that say so.

        Args:
            y: row of level 0 as stored, which need not lie inside; the middle of the first pixel is at 0.
            x: column.

        Returns:
            Right ascension and declination in degrees, ICRS; None where there is no sky.

        Raises:
            CorruptImage: if the header's coordinates make no sense.
        """
        return self._reader.place(y, x) if isinstance(self._reader, OnTheSky) else None

    def pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """The pixel of a place on the sky.

        Args:
            ra: right ascension in degrees, ICRS.
            dec: declination in degrees.

        Returns:
            Row and column of level 0, the middle of the first pixel at 0; they may lie outside of the image. None where
            the image has no coordinates, or no pixel for this place.

        Raises:
            CorruptImage: if the header's coordinates make no sense.
        """
        return self._reader.pixel(ra, dec) if isinstance(self._reader, OnTheSky) else None

    def make_index(self) -> bytes:
        """Where everything lies in the file, for readers that come later: ``open(url, index=...)``.

        Raises:
            UnsupportedFeature: if the format has no index, because its header says it all.
            CorruptImage: if the file is damaged.
        """
        if not isinstance(self._reader, Indexed):
            raise UnsupportedFeature(f"{self.url}: {self.info.format} needs no index; only JPEG 2000 does")
        return self._reader.make_index()

    def keep_index(self, data: bytes) -> None:
        """Keeps an index in the cache of this user, for whoever opens the image next.

        Args:
            data: as ``make_index`` made it.

        Raises:
            UsageError: if there is no cache.
        """
        shelf = self._reader.shelf if isinstance(self._reader, Indexed) else None
        if shelf is None or shelf.cache is None:
            raise UsageError("there is no cache: set ZIGGURAT_CACHE_SIZE to 1G or so, or write the index to a file")
        shelf.keep(data)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What decoders complained of so far and went on nevertheless."""
        found: tuple[str, ...] = getattr(self._reader, "warnings", ())
        return (*found, *self._made.notes)

    def read_cost(self, level: int = 0, window: Window | None = None, *, sampled: bool = False) -> int:
        """Peak bytes of memory that ``read`` of this window takes, its result included."""
        wanted, stored = self._checked(level, window), len(self.info.levels)
        if level < stored:
            return self._reader.read_cost(level, wanted)
        return (self._made.sampled_cost if sampled else self._made.read_cost)(level - stored, wanted)

    def thumbnail(self, size: int, *, sampled: bool = False) -> Samples:
        """The whole image made to fit into ``size`` x ``size`` pixels, from the coarsest level that suffices.

        Args:
            size: pixels of the longer side.
            sampled: where that level neither is in the file nor was made before, take single pixels of the next finer
                level that is, those in the middle of what each stands for, instead of means.

        Returns:
            Array (y, x, band) of ``info.dtype``; never larger than the image itself.
        """
        if size < 1:
            raise UsageError(f"a thumbnail of {size} pixels is none; ask for 1 or more")
        target = pyramid.fit(self.info.size, size)
        level = pyramid.coarsest_above(self.levels, target)
        stored = len(self.info.levels)
        if sampled and level >= stored and (pixels := self._made.thumbnail(level - stored, target)) is not None:
            return pixels
        return pyramid.shrink(self.read(level), target)

    def to_zarr(self) -> "zarr.Group":
        """The image as a read-only OME-Zarr 0.5 group: an array a level, axes (c, y, x), or (y, x) of one band.

        Chunks are decoded when they are read, side by side; the image must stay open. ``ziggurat.zarr_store`` opens a
        store by an image's URL, and knows stacks and virtual levels.
        """
        made: zarr.Group = importlib.import_module("ziggurat.interop.zarr").to_zarr(self, self._again)
        return made

    def _checked(self, level: int, window: Window | tuple[int, int, int, int] | None) -> Window:
        if not 0 <= level < len(self.levels):
            raise UsageError(f"{self.url} has levels 0 to {len(self.levels) - 1}, not {level}")
        size: Size = self.levels[level].shape
        if window is None:
            return Window.full(size)
        wanted = window if isinstance(window, Window) else Window(*window)
        if not wanted.within(size):
            raise UsageError(
                f"window ({wanted.y0}, {wanted.x0}, {wanted.y1}, {wanted.x1}) leaves level {level} of "
                f"{self.url}, which is {size.height} x {size.width}"
            )
        return wanted

    def close(self) -> None:
        """Releases the source, but for a plane of another image."""
        self._made.close()
        if not self._lent:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.info.size
        return f"<Image {self.url} {self.info.format} {height}x{width}x{self.info.bands} {self.info.dtype}>"


def open(  # noqa: A001 - the package's front door, always used as ziggurat.open
    url: str,
    *,
    formats: Mapping[str, Format] = FORMATS,
    memory: int = DEFAULT_MEMORY,
    cache: bool = True,
    index: str | None = None,
    progress: Progress | None = None,
) -> Image:
    """Opens an image by its header.

    Args:
        url: a path, or file:, s3:, gs:, az:, http(s):, pack:, sky: or memory: URL; of a Zarr that of its folder, of a
            folder in it, or of its document. On a web server, and in a store, the folder's name ends in .zarr.
        formats: the formats to recognise.
        memory: bytes that one ``read`` may take.
        cache: keep what is fetched of a remote image, and levels that are slow to make, on this machine for the
            next time. Without it, levels that lie beside the image are not used either.
        index: path or URL of the image's index, as ``ziggurat index`` writes it; None looks beside the image and in
            the cache.
        progress: called during a pass over the image that makes its levels, with the pixels read so far and those
            to be read.

    Raises:
        SourceError: if the bytes cannot be had.
        FormatError: if they are not an image that can be read.
    """
    kept = default_cache() if cache else None
    named = identity(url) if cache else None
    home = None if named is None else Home(named, kept, local_path(url), progress)
    shelf = Shelf(named or url, kept, local_path(url) if cache else None, index)
    image = open_image(open_source(url, cache=kept), formats=formats, memory=memory, home=home, shelf=shelf)
    if formats is FORMATS:
        image._again = partial(open, url, memory=memory, cache=cache, index=index)  # noqa: SLF001 - of this module
    return image


def open_image(
    source: ByteSource,
    *,
    formats: Mapping[str, Format] = FORMATS,
    memory: int = DEFAULT_MEMORY,
    home: Home | None = None,
    shelf: Shelf | None = None,
) -> Image:
    """Opens an image over a source; closes the source where that fails.

    Args:
        source: the bytes.
        formats: the formats to recognise.
        memory: bytes that one ``read`` may take.
        home: where made levels are looked for and kept; None computes them each time.
        shelf: where the index of a format that has one is looked for and kept; None makes it each time.
    """
    try:
        entry = _recognised(source, formats)
        module, _, name = entry.reader.partition(":")
        opener = cast("OpenReader", getattr(importlib.import_module(module), name))
        reader = opener(source)
        if isinstance(reader, Indexed):
            reader.shelf = shelf
        plain = partial(opener, source.inner) if isinstance(source, CachedSource) else lambda: reader
        near = isinstance(source, LocalSource) or (isinstance(source, FolderSource) and source.near)
        if isinstance(reader, Coarsening):
            made = reader.coarser(home)
        else:
            made = MadeLevels(reader, source.version, home=home, memory=memory, plain=plain, near=near)
        return Image(source, reader, memory=memory, made=made)
    except BaseException:
        source.close()
        raise


def _recognised(source: ByteSource, formats: Mapping[str, Format]) -> Format:
    if isinstance(source, FolderSource) and FOLDER in formats:
        return formats[FOLDER]
    head = source.read_ranges([ByteRange(0, min(HEAD, source.size))])[0]
    return recognise(head, formats, url=source.url)[1]
