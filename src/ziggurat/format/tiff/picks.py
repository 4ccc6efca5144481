"""Which bytes single rows and columns of a level need. Planning is pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ziggurat.format.tiff.plane import Plane
from ziggurat.format.tiff.segments import Piece, pieces, runs
from ziggurat.format.tiff.targets import Places
from ziggurat.geometry import Window
from ziggurat.storage.ranges import ByteRange


def picked_pieces(plane: Plane, *, rows: Places, columns: Places, band: int, size: int, where: str) -> Iterator[Piece]:
    """What the crossings of rows and columns need, in the file's order of segments.

    Of an uncompressed strip that is a row from the first column to the last, of an uncompressed tile all from its first
    such row to its last; else whole strips or tiles. Those that hold no such row or column are left out.

    Args:
        plane: the directory's pixels.
        rows: of the level, ascending.
        columns: of the level, ascending.
        band: band that the plane's first sample goes to.
        size: bytes of the file.
        where: file and level, for messages.

    Raises:
        CorruptImage: as ``pieces`` does.
    """
    height, width = plane.segment
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    if width >= plane.size.width and plane.stride * plane.planes <= len(plane.places):
        # One row of every strip that is needed whole, all rows of those that are read in part.
        wanted = rows if plane.raw is not None else rows[np.unique(rows // height, return_index=True)[1]]
        windows = [Window(row, x0, row + 1, x1) for row in wanted.tolist()]
        yield from _strips(plane, windows, wanted, (band, size, where))
        return
    firsts = np.unique(rows // height, return_index=True)[1]
    lasts = np.append(firsts[1:], len(rows)) - 1
    windows = [
        Window(first, x0, last + 1, x1) for first, last in zip(rows[firsts].tolist(), rows[lasts].tolist(), strict=True)
    ]
    plane.places.prefetch(run for window in windows for run in runs(plane, window))
    held = set((columns // width).tolist())
    for window in windows:
        for piece in pieces(plane, window, band=band, size=size, where=where):
            if piece.window.x0 // width in held:
                yield piece


def _strips(
    plane: Plane, windows: list[Window], rows: NDArray[np.intp], place: tuple[int, int, str]
) -> Iterator[Piece]:
    """Strips with one of these rows, or these rows of them; what is odd is left to ``pieces``, which says why."""
    band, size, where = place
    height, stride = plane.segment.height, plane.row_bytes
    numbers = rows // height
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    for sample in range(plane.planes):
        base = sample * plane.stride
        starts, counts = plane.places.part(range(base + first, base + last))[:, numbers - first]
        inside = np.minimum((numbers + 1) * height, plane.size.height) - numbers * height
        fine = (starts > 0) & (counts > 0) & (starts + counts <= size)
        if plane.raw is not None:
            fine &= counts >= inside * stride
            left, length = (
                windows[0].x0 * (stride // plane.segment.width),
                windows[0].width * (stride // plane.segment.width),
            )
            starts = starts + (rows - numbers * height) * stride + left
            counts = np.full_like(counts, length)
        else:
            fine &= counts <= plane.longest
        for window, number, ok, start, count in zip(
            windows, numbers.tolist(), fine.tolist(), starts.tolist(), counts.tolist(), strict=True
        ):
            if not ok:
                yield from pieces(plane, window, band=band, size=size, where=where)
            elif plane.raw is not None:
                yield Piece(band + sample, base + number, (ByteRange(start, start + count),), window, raw=True)
            else:
                covered = Window(number * height, 0, min((number + 1) * height, plane.size.height), plane.size.width)
                yield Piece(band + sample, base + number, (ByteRange(start, start + count),), covered)
