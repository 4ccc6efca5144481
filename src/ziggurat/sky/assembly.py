"""Pixels of a mosaic: of the images under a window, and of no others, one after the other."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import batched
from typing import Final

import numpy as np

from ziggurat.errors import LimitExceeded, ZigguratError
from ziggurat.format.fits.places import Numbers
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.pyramid.sampled import sampled_places
from ziggurat.sky.bands import Bands
from ziggurat.sky.chart import Chart
from ziggurat.sky.coarse import TIMES, Coarse, Values, halved
from ziggurat.sky.images import Field, SkyImage
from ziggurat.sky.layout import Layout
from ziggurat.sky.survey import Group
from ziggurat.storage.urls import local_path

_log = logging.getLogger(__name__)

OPEN: Final = 64
"""Images whose files stay open."""

AT_ONCE: Final = 16
"""Images that are read side by side where a store is waited for, and whose pixels are in memory at once."""

GOLDEN: Final = (5**0.5 - 1) / 2
"""Multiples of it, without their whole parts, are spread evenly however many there are."""

WARNED: Final = 20
"""Images that were left out, of which is told; all are in the log."""

LOST_SECONDS: Final = 60.0
"""For which an image that could not be read is left out."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What one image gives to a window of a level.

    Attributes:
        band: of the mosaic.
        window: on the level's grid.
        values: (y, x), NaN where there are none.
    """

    band: int
    window: Window
    values: Numbers


class Assembly:
    """The pixels of a mosaic at all its levels. Safe to use from several threads.

    Args:
        layout: where its images lie.
        coarse: their small versions.
        memory: bytes that reading one image may take.

    Attributes:
        bands: names, from blue to red.
        warnings: why images were left out, the last ones.
    """

    def __init__(self, layout: Layout, coarse: Coarse, *, memory: int) -> None:
        self.layout = layout
        self.coarse = coarse
        self._memory = memory
        group = layout.group
        self.bands = Bands().ordered(set(group.bands))
        self._band = [self.bands.index(band) for band in group.bands]
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Field] = OrderedDict()
        self._lost: dict[int, float] = {}
        self.warnings: tuple[str, ...] = ()
        self._spread = _spread(group)

    def read(self, level: int, window: Window, *, sampled: bool = False, seconds: float | None = None) -> Samples:
        """Pixels of a window of a level: the mean of the images that are there, NaN where none is.

        A value is the flux in a pixel of full resolution, or the mean of these.

        Args:
            level: each is half as large as the one before.
            window: on that level's grid.
            sampled: of images whose small version is needed and was not made, take single pixels.
            seconds: after which images that have not been read are left out, the others being spread evenly; None
                waits for all.

        Returns:
            Array (y, x, band) of float32.
        """
        bands = len(self.bands)
        total = np.zeros((bands, *window.size), np.float32)
        count = np.zeros((bands, *window.size), np.uint16)
        until = None if seconds is None else time.monotonic() + seconds
        for given in self._gathered(level, window, sampled=sampled, until=until):
            known = np.isfinite(given.values)
            inside = given.window.shifted(-window.y0, -window.x0).slices()
            total[given.band][inside] += np.where(known, given.values, 0.0).astype(np.float32)
            count[given.band][inside] += known
        with np.errstate(invalid="ignore", divide="ignore"):
            total /= count
        pixels: Samples = np.moveaxis(total, 0, -1)
        return np.ascontiguousarray(pixels)

    @property
    def has_holes(self) -> bool:
        """Whether an image could not be read a moment ago."""
        return any(time.monotonic() - lost < LOST_SECONDS for lost in list(self._lost.values()))

    def cost(self, window: Window) -> int:
        """Peak bytes of memory that ``read`` takes: charts, pixels of an image that is finer than the level, sums."""
        return window.size.pixels * (10 * len(self.bands) + 200) + (16 << 20)

    def lacking(self, level: int, window: Window) -> Iterator[SkyImage]:
        """The images of a window whose small versions its level needs and that were not made."""
        for place in self.layout.near(_finer(level, window, self.layout.grid.size)):
            image = self._image(place)
            if image is not None and self._needs_coarse(place, level) and not self.coarse.has(image):
                yield image

    def make(self) -> Iterator[int]:
        """Makes all small versions that are not there; yields the pixels of each image that was looked at."""
        for place in range(len(self.layout.group.numbers)):
            image = self._image(place)
            if image is None:
                continue
            if not self.coarse.has(image):
                self._tried(place, partial(self._make, place, image))
            yield image.size.pixels

    def _make(self, place: int, image: SkyImage) -> None:
        self.coarse.make(self._field(place, image))

    def places(self, count: int) -> list[int]:
        """Some images, spread evenly over the group."""
        every = len(self.layout.group.numbers)
        return sorted({number * every // count for number in range(min(count, every))})

    # -- images ------------------------------------------------------------------------------------------------

    def _gathered(self, level: int, window: Window, *, sampled: bool, until: float | None) -> Iterator[_Given]:
        near = self.layout.near(_finer(level, window, self.layout.grid.size))
        if until is not None:
            near.sort(key=lambda place: (self._spread[place], place))

        def give(place: int) -> _Given | None:
            with np.errstate(all="ignore"):
                return self._tried(place, lambda: self._given(place, level, window, sampled=sampled))

        for batch in batched(near, AT_ONCE):
            if until is not None and time.monotonic() > until:
                return
            images = [self._image(place) for place in batch]
            if all(image is None or local_path(image.url) is not None for image in images):
                yield from (given for place in batch if (given := give(place)) is not None)
                continue
            with ThreadPoolExecutor(AT_ONCE) as pool:
                yield from (given for given in pool.map(give, batch) if given is not None)

    def _given(self, place: int, level: int, window: Window, *, sampled: bool) -> _Given | None:
        image = self._image(place)
        bounds = None if image is None else self.layout.bounds(place, closely=level < TIMES)
        if image is None or bounds is None:
            return None
        touched = _coarser(level, bounds).intersect(window)
        if touched is None:
            return None
        chart = Chart.of(self.layout.grid, level, touched, self.layout.world(place))
        needed = None if chart is None else chart.needed(image.size)
        if chart is None or needed is None:
            return None
        pixels = self._pixels(place, image, chart.halvings, needed, sampled=sampled)
        values = chart.values(image.size, pixels, (needed.y0, needed.x0))
        values *= chart.area
        return _Given(self._band[place], touched, values)

    def _pixels(self, place: int, image: SkyImage, halvings: int, window: Window, *, sampled: bool) -> Values:
        """A window of an image that is so many times halved."""
        if halvings < TIMES:
            step = 1 << halvings
            height, width = image.size
            finer = Window(
                window.y0 * step, window.x0 * step, min(window.y1 * step, height), min(window.x1 * step, width)
            )
            return halved(self._field(place, image).read(finer), halvings)
        small = self.coarse.get(image)
        if small is None and sampled:
            rows = sampled_places(window.y0, window.y1, halvings, image.size.height)
            columns = sampled_places(window.x0, window.x1, halvings, image.size.width)
            return self._field(place, image).picked(rows, columns).astype(np.float32, copy=False)
        if small is None:
            small = self.coarse.make(self._field(place, image))
        times = halvings - TIMES
        finer = Window(window.y0 << times, window.x0 << times, window.y1 << times, window.x1 << times)
        return halved(small[finer.slices()], times)

    def _needs_coarse(self, place: int, level: int) -> bool:
        scale = self.layout.group.scales[place]
        return float(np.log2(self.layout.group.scale / scale)) + level + 0.25 >= TIMES

    def _image(self, place: int) -> SkyImage | None:
        """What the index says of an image; None of one that is left out."""
        lost = self._lost.get(place)
        if lost is not None and time.monotonic() - lost < LOST_SECONDS:
            return None
        return self._tried(place, lambda: self.layout.survey.image(self.layout.group.numbers[place]))

    def _field(self, place: int, image: SkyImage) -> Field:
        with self._lock:
            field = self._open.get(place)
            if field is not None:
                self._open.move_to_end(place)
                return field
        # Others need not wait for a store that answers slowly.
        opened = Field(image, memory=self._memory)
        with self._lock:
            field = self._open.setdefault(place, opened)
            old = self._open.popitem(last=False)[1] if len(self._open) > OPEN + AT_ONCE else None
        if field is not opened:
            opened.close()
        if old is not None:
            old.close()
        return field

    def _tried[Result](self, place: int, attempt: Callable[[], Result]) -> Result | None:
        """What an attempt at an image gives; None if it cannot be read.

        Raises:
            LimitExceeded: if the limits of this process are reached, which is no fault of the image.
        """
        try:
            return attempt()
        except LimitExceeded:
            raise
        except ZigguratError as error:
            self._lose(place, error)
            return None

    def _lose(self, place: int, error: ZigguratError) -> None:
        """Leaves an image out, for a while, that cannot be read: a hole is better than no mosaic."""
        self._lost[place] = time.monotonic()
        with self._lock:
            field = self._open.pop(place, None)
        if field is not None:
            field.close()
        said = f"{self.layout.where} goes without an image: {error}"
        if said not in self.warnings:
            self.warnings = (*self.warnings[-WARNED:], said)
        _log.warning("%s", said)

    def close(self) -> None:
        """Closes all files."""
        with self._lock:
            for field in self._open.values():
                field.close()
            self._open.clear()


def _spread(group: Group) -> list[float]:
    """Numbers by which images are ordered that spread them over the group, bands of one place together."""
    cells = np.floor(group.middles / np.maximum(np.median(group.radii), 1e-9))
    _, numbers = np.unique(cells, axis=0, return_inverse=True)
    order: list[float] = (numbers.ravel() * GOLDEN % 1).tolist()
    return order


def _finer(level: int, window: Window, whole: Size) -> Window:
    """The pixels of full resolution under a window of a level."""
    return Window(
        window.y0 << level,
        window.x0 << level,
        min(window.y1 << level, whole.height),
        min(window.x1 << level, whole.width),
    )


def _coarser(level: int, window: Window) -> Window:
    """The pixels of a level that a window of full resolution touches."""
    return Window(window.y0 >> level, window.x0 >> level, -(-window.y1 >> level), -(-window.x1 >> level))
