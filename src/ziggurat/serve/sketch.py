"""Something to look at of images whose coarser levels are still to be made: a few of their rows.

A strip TIFF of 24 GB has no coarser level, and making one takes a pass over all of it. Single rows are cheap.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as Late
from typing import Final

import numpy as np

from ziggurat.errors import NotReady
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import Samples
from ziggurat.storage.urls import local_path
from ziggurat.write.orientation import Turn

INLINE: Final = 256 << 20
"""Bytes of pixels up to which a pass is made while somebody waits: two seconds or so."""

BUDGET: Final = 1 << 30
"""Bytes that the rows of a sketch may take all together, one after another."""

FEWEST: Final = 24
"""Rows of which something can be recognised."""

SECONDS: Final = 3.0
"""After which what has not come is left out."""

AT_ONCE: Final = 16
"""Rows asked for side by side of a store, which takes its time for each."""


def is_long(image: Image) -> bool:
    """Whether making the levels that the file lacks is nothing to wait for. Depends on the header alone."""
    info, stored = image.info, len(image.info.levels)
    pixel = info.bands * np.dtype(info.dtype).itemsize
    return len(image.levels) > stored and info.levels[-1].shape.pixels * pixel > INLINE


def needs_pass(image: Image, level: int, window: Window) -> bool:
    """Whether reading a window would first make all levels, and that is nothing to wait for."""
    return is_long(image) and image.makes_levels(level, window)


def sketch(image: Image, region: Window, target: Size) -> Iterator[tuple[slice, Samples]]:
    """Rows of a region, spread evenly, upright and at full width; those that come late are left out.

    Args:
        image: it.
        region: upright, at full resolution.
        target: size of the picture to be made.

    Yields:
        Rows of the picture, and the pixels (1, x, band) that they are to be made of, as stored.

    Raises:
        NotReady: if single rows cost too much as well.
    """
    turn = Turn.of(image.info.orientation)
    upright = turn.size(image.info.size)

    def stored(y: int) -> Window:
        return turn.stored(Window(y, region.x0, y + 1, region.x1), upright)

    count = min(target.height, region.height, BUDGET // max(1, image.read_cost(0, stored(region.y0))))
    if count < min(FEWEST, target.height, region.height):
        raise NotReady(f"{image.url}: its coarser levels are being made; try again in a while")
    edges = [round(number * target.height / count) for number in range(count + 1)]
    places = [region.y0 + int((number + 0.5) * region.height / count) for number in range(count)]
    # Every other row first, so that what has come in time is spread evenly.
    order = sorted(range(count), key=lambda number: -(number & -number if number else count))
    local = local_path(image.url) is not None
    pool = ThreadPoolExecutor(1 if local else AT_ONCE)
    try:
        reading = {pool.submit(image.read, 0, stored(places[number])): number for number in order}
        for done in as_completed(reading, SECONDS):
            number = reading[done]
            yield slice(edges[number], edges[number + 1]), turn.apply(done.result())
    except Late:
        return
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def sample(image: Image, rows: int, read: Callable[[int, Window], Samples]) -> Samples:
    """Some rows or other parts of an image, spread evenly, for measuring: array (y, x, band) as stored."""
    if (parts := image.sample()) is not None:
        return parts
    height, width = image.info.size
    step = max(1, height // rows)
    places = range(step // 2, height, step)
    return np.concatenate([read(0, Window(y, 0, y + 1, width)) for y in places])


def fill(picture: Samples, there: Samples) -> Samples:
    """A picture whose missing rows are copies of the nearest ones that are there.

    Args:
        picture: (y, x, band).
        there: whether each row is; at least one.
    """
    known = np.flatnonzero(there)
    after = np.minimum(np.searchsorted(known, np.arange(len(picture))), len(known) - 1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(picture))
    nearest = np.where(np.abs(known[before] - rows) <= np.abs(known[after] - rows), known[before], known[after])
    filled: Samples = picture[nearest]
    return filled
