"""Reading a level piece by piece in bounded memory, and halving the pieces."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ziggurat.codec.threads import decoding_threads, side_by_side
from ziggurat.format.protocol import Reader
from ziggurat.geometry import Size, Window
from ziggurat.model import Samples
from ziggurat.pyramid import halve

BLOCK_COST = 24 << 20
"""Bytes that reading one block may take: 24 MiB, so that several at once take little beside what else is held."""

AHEAD = 3
"""Blocks that are read, side by side, while one is worked on: the disk then does not wait for encoding, nor a store's
answers for each other, and compressed strips are decoded on several cores."""

NEAR_BLOCK = 1 << 20
"""Bytes of pixels that a block of a file on this machine has at least, and that are enough: 1 MiB, which stay in a
core's cache until they are halved. An image of 50 MB is then read and halved in half the time that blocks of 8 MiB
take."""

type Progress = Callable[[int, int], None]
"""Called with the pixels that were read so far, and with all that will be."""


def finer_window(window: Window, times: int, finer: Size) -> Window:
    """The pixels from which a window is made.

    Args:
        window: on a level that is so many halvings of the finer one.
        times: halvings.
        finer: the finer level's size.
    """
    y1, x1 = min(window.y1 << times, finer.height), min(window.x1 << times, finer.width)
    return Window(window.y0 << times, window.x0 << times, y1, x1)


def block_size(reader: Reader, level: int, unit: int, *, near: bool = False) -> Size:
    """Height and width in which a level is read from end to end, by what its reader says of the cost.

    Args:
        reader: of the image.
        level: that is read.
        unit: both sides are multiples of it, unless they reach the level's end.
        near: the bytes lie on this machine, so that many small reads cost no more than few large ones.

    Returns:
        Full-width bands of whole strips or tiles where these are affordable; else parts of a row of tiles, or a
        few rows of a strip where strips can be read in part. The whole level where it is stored whole.
    """
    shape, tile = reader.info.levels[level].shape, reader.info.levels[level].tile
    if tile is None:
        return shape

    def cost(rows: int, columns: int) -> int:
        return reader.read_cost(level, Window(0, 0, min(rows, shape.height), min(columns, shape.width)))

    rows, columns = _multiple(tile.height, unit), shape.width
    enough = NEAR_BLOCK // max(1, sample_bytes(reader, Size(1, columns))) if near else shape.height
    while rows < min(shape.height, enough) and cost(2 * rows, columns) <= BLOCK_COST:
        rows *= 2
    narrowest = _multiple(tile.width, unit)
    while cost(rows, columns) > BLOCK_COST and columns > narrowest:
        columns = max(narrowest, columns // 2 // narrowest * narrowest)
    # Where a few rows cost as much as all, a strip is decoded whole for any of them.
    in_parts = 2 * cost(unit, columns) < cost(max(tile.height, unit), columns)
    while in_parts and cost(rows, columns) > BLOCK_COST and rows > unit:
        rows = max(unit, rows // 2 // unit * unit)
    return Size(min(rows, shape.height), min(columns, shape.width))


def _multiple(side: int, unit: int) -> int:
    """Whole tiles and whole units, unless that is far more than one of either."""
    both = math.lcm(side, unit)
    return both if both <= 4 * max(side, unit) else -(-side // unit) * unit


def reduced(reader: Reader, level: int, times: int, window: Window, *, near: bool = False) -> Samples:
    """A window of what a level becomes when it is halved so many times; equal to that window of the whole.

    Args:
        reader: of the image.
        level: that is read.
        times: halvings, 1 or more.
        window: on the grid of the result.
        near: the bytes lie on this machine.

    Returns:
        Array (y, x, band) of the image's type.
    """
    wanted = finer_window(window, times, reader.info.levels[level].shape)
    size = block_size(reader, level, 1 << times, near=near)
    result: Samples = np.empty((*window.size, reader.info.bands), reader.info.dtype)

    def fill(part: Window) -> None:
        pixels = reader.read(level, part)
        for _ in range(times):
            pixels = halve(pixels)
        top, left = (part.y0 - wanted.y0) >> times, (part.x0 - wanted.x0) >> times
        result[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels

    side_by_side(fill, parts(wanted, size), _at_once(reader, level, size, near=near))
    return result


def reduced_cost(reader: Reader, level: int, times: int, window: Window, *, near: bool = False) -> int:
    """Peak bytes of memory that ``reduced`` takes, its result included."""
    wanted = finer_window(window, times, reader.info.levels[level].shape)
    size = block_size(reader, level, 1 << times, near=near)
    count = -(-wanted.height // size.height) * -(-wanted.width // size.width)
    block = Window(
        wanted.y0, wanted.x0, min(wanted.y0 + size.height, wanted.y1), min(wanted.x0 + size.width, wanted.x1)
    )
    # halve() widens and sums: three times what it is given, at most.
    working = max(reader.read_cost(level, block), 3 * sample_bytes(reader, block.size))
    return sample_bytes(reader, window.size) + working * min(count, _at_once(reader, level, size, near=near))


def parts(window: Window, size: Size) -> list[Window]:
    """Blocks of this size that make up a window."""
    return [
        Window(y0, x0, min(y0 + size.height, window.y1), min(x0 + size.width, window.x1))
        for y0 in range(window.y0, window.y1, size.height)
        for x0 in range(window.x0, window.x1, size.width)
    ]


def _at_once(reader: Reader, level: int, size: Size, *, near: bool) -> int:
    """Blocks that are read side by side: as many as there are cores, and some more where a store is waited for."""
    if reader.read_cost(level, Window.full(size)) > BLOCK_COST:
        return 1
    return decoding_threads() if near else max(1 + AHEAD, decoding_threads())


def pass_cost(reader: Reader, level: int) -> int:
    """Peak bytes of memory that reading and halving a level in blocks takes, besides what is made of it."""
    size = block_size(reader, level, 2)
    cost = reader.read_cost(level, Window.full(size))
    if size == reader.info.levels[level].shape:
        return max(cost, 3 * sample_bytes(reader, size))
    return (1 + AHEAD) * BLOCK_COST if cost <= BLOCK_COST else 2 * cost


def sample_bytes(reader: Reader, size: Size) -> int:
    """Bytes of so many pixels."""
    return size.pixels * reader.info.bands * np.dtype(reader.info.dtype).itemsize


def halved_strips(
    reader: Reader, level: int, rows: int, progress: Progress | None, *, near: bool = False
) -> Iterator[Samples]:
    """A level read once from top to bottom and halved, in strips of so many rows; the last may be lower.

    The next blocks are read and halved while this one is worked on. A strip is overwritten when the next one is asked
    for.
    """
    shape = reader.info.levels[level].shape
    half = shape.halved(1)
    strip: Samples = np.empty((min(rows, half.height), half.width, reader.info.bands), reader.info.dtype)
    filled = 0
    for band in _halved_bands(reader, level, progress, near=near):
        at = 0
        while at < band.shape[0]:
            count = min(strip.shape[0] - filled, band.shape[0] - at)
            strip[filled : filled + count] = band[at : at + count]
            filled, at = filled + count, at + count
            if filled == strip.shape[0]:
                yield strip
                filled = 0
    if filled:
        yield strip[:filled]


def _halved_bands(reader: Reader, level: int, progress: Progress | None, *, near: bool) -> Iterator[Samples]:
    shape = reader.info.levels[level].shape
    size = block_size(reader, level, 2, near=near)
    band: Samples = np.empty((-(-size.height // 2), -(-shape.width // 2), reader.info.bands), reader.info.dtype)
    done = 0
    for window, half in _ahead(reader, level, parts(Window.full(shape), size)):
        band[: half.shape[0], window.x0 // 2 : window.x0 // 2 + half.shape[1]] = half
        done += window.size.pixels
        if progress is not None:
            progress(done, shape.pixels)
        if window.x1 == shape.width:
            yield band[: half.shape[0]]


def _ahead(reader: Reader, level: int, windows: Sequence[Window]) -> Iterator[tuple[Window, Samples]]:
    """Windows with their pixels halved, in their order; the next ones are read meanwhile, side by side."""
    cost = reader.read_cost(level, windows[0])
    ahead = AHEAD if cost <= BLOCK_COST else 1

    def work(window: Window) -> Samples:
        return halve(reader.read(level, window))

    with ThreadPoolExecutor(ahead, thread_name_prefix="ziggurat-ahead") as pool:
        coming: deque[Future[Samples]] = deque()
        try:
            for number, window in enumerate(windows):
                for after in windows[number + len(coming) : number + 1 + ahead]:
                    coming.append(pool.submit(work, after))
                yield window, coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
