"""Opens a TIFF by its directories and reads windows of its levels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from typing import BinaryIO, cast

import numpy as np
from tifffile import TiffFile, TiffPage

from ziggurat.codec.threads import decoding_threads, side_by_side
from ziggurat.format.foreign import foreign_errors
from ziggurat.format.tiff.colour import Finish, finisher
from ziggurat.format.tiff.decode import decode
from ziggurat.format.tiff.header import image_info
from ziggurat.format.tiff.ifd import Survey, survey
from ziggurat.format.tiff.pages import Chosen, choose, choose_planes
from ziggurat.format.tiff.picks import picked_pieces
from ziggurat.format.tiff.plane import JPEG_2000, Plane, plane_of
from ziggurat.format.tiff.quiet import shortened_tables
from ziggurat.format.tiff.segments import GAP, RUN, Piece, batches, pieces
from ziggurat.format.tiff.stored import complete
from ziggurat.format.tiff.strips import GROUP, groups, unpack
from ziggurat.format.tiff.tables import read_places
from ziggurat.format.tiff.targets import Picked, Places, Target, Whole
from ziggurat.format.tiff.view import HeaderView
from ziggurat.format.tiff.wavelet import with_wavelet_levels
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples, Stack
from ziggurat.storage.protocol import ByteSource, Filling
from ziggurat.storage.ranges import ByteRange

BATCH = 1 << 25
"""Encoded bytes held at a time: 32 MiB in one batch of ranges. A source that joins ranges may hold them twice."""

SPARE = 1 << 26
"""Bytes that decoding several segments at once may take: 64 MiB."""

COUNTED = 4096
"""Segments up to which a read's bytes are summed; beyond, a full batch is assumed."""


type Plan = Callable[..., Iterator[Piece]]
"""A plane, and ``band``, ``size`` and ``where`` as ``pieces`` has them → what is needed of it."""


class TiffReader:
    """One image of a TIFF. Safe to use from several threads."""

    def __init__(
        self,
        source: ByteSource,
        info: ImageInfo,
        levels: Sequence[tuple[Plane, ...]],
        finish: Finish | None,
    ) -> None:
        self._source = source
        self._info = info
        self._levels = levels
        self._finish = finish
        self._stacked: tuple[Stack, Sequence[TiffReader]] | None = None
        self._longest = [max(plane.longest for plane in level) for level in levels]
        self._gaps: dict[int, int] = {}

    @property
    def info(self) -> ImageInfo:
        """What the directories say."""
        return self._info

    @property
    def planes(self) -> Sequence[tuple[Plane, ...]]:
        """The directories that each level consists of, finest first."""
        return self._levels

    @property
    def as_stored(self) -> bool:
        """Whether decoded samples are the pixels: no palette is looked up, no colour converted."""
        return self._finish is None

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window of a level, from only the strips and tiles that it touches.

        Returns:
            Array (y, x, band).

        Raises:
            CorruptImage: if a segment lies outside the file or does not decode to what the directory says.
        """
        result: Samples = np.empty((window.height, window.width, self._info.bands), self._info.dtype)
        self._fill(Whole(result, window, self._finish), level, partial(pieces, window=window), apart=False)
        return result

    def read_picked(self, level: int, rows: Places, columns: Places) -> Samples:
        """Pixels at the crossings of some rows and columns, from only the rows, strips or tiles that hold them.

        Args:
            level: index into ``info.levels``.
            rows: of the level, ascending, at least one.
            columns: of the level, ascending, at least one.

        Returns:
            Array (y, x, band), one pixel a crossing.

        Raises:
            CorruptImage: as ``read`` does.
        """
        result: Samples = np.empty((len(rows), len(columns), self._info.bands), self._info.dtype)
        plan = partial(picked_pieces, rows=rows, columns=columns)
        self._fill(Picked(result, rows, columns, self._finish), level, plan, apart=True)
        return result

    @property
    def stack(self) -> Stack:
        """The axes t and z of the image's series; the directories are parsed once more when this is asked first.

        Raises:
            CorruptImage: if a plane is missing or damaged.
            UnsupportedFeature: if the series has other axes, or too many directories.
        """
        if self._stacked is None:
            self._stacked = _open_planes(self._source)
        return self._stacked[0]

    def plane(self, number: int) -> "TiffReader":
        """A reader of one plane of the series, its channels as bands."""
        return self if self._stacked is None else self._stacked[1][number]

    def stored_jpeg(self, level: int, window: Window) -> bytes | None:
        """The JPEG that the file holds of a window, as a file of its own: the pixels of ``read`` without decoding them.

        Args:
            level: index into ``info.levels``.
            window: exactly a tile or strip.

        Returns:
            None where it is none, is cut by the level's edge, or its colours are not plain grey, RGB or YCbCr.

        Raises:
            CorruptImage: if it lies outside the file.
        """
        planes = self._levels[level]
        plane = planes[0]
        if len(planes) > 1 or plane.jpeg is None or self._finish is not None or self._info.icc is not None:
            return None
        where = f"{self._source.url}: level {level}"
        with foreign_errors(where):
            found = list(islice(pieces(plane, window=window, band=0, size=self._source.size, where=where), 2))
            if len(found) != 1 or found[0].window != window or len(found[0].ranges) != 1:
                return None
            return complete(self._source.read_ranges(list(found[0].ranges))[0], plane.jpeg, window.size)

    def _fill(self, target: Target, level: int, plan: Plan, *, apart: bool) -> None:
        """Fetches and decodes pieces of a level, batch by batch."""
        where = f"{self._source.url}: level {level}"
        with foreign_errors(where):
            found = (
                (plane, piece)
                for band, plane in enumerate(self._levels[level])
                for piece in plan(plane, band=band, size=self._source.size, where=where)
            )
            for planned in batches(found, BATCH):
                batch = [(plane, piece) for plane, piece in planned if not self._in_place(target, plane, piece)]
                ranges = [item for _, piece in batch for item in piece.ranges]
                data = self._source.read_ranges(ranges) if ranges else []
                data.reverse()
                fetched = [_Fetched(plane, piece, [data.pop() for _ in piece.ranges]) for plane, piece in batch]
                work = partial(_place_all, target, where)
                side_by_side(work, _jobs(fetched, apart=apart), self._threads(level))

    def _in_place(self, target: Target, plane: Plane, piece: Piece) -> bool:
        """Has uncompressed rows put where they belong, if the source and the target allow that."""
        if plane.raw is None or len(piece.ranges) != 1 or not isinstance(self._source, Filling):
            return False
        room = target.room(piece.window, plane.samples, plane.raw)
        if room is None or room.nbytes != piece.ranges[0].length:
            return False
        self._source.read_into(piece.ranges[0].start, memoryview(room).cast("B"))
        return True

    def _threads(self, level: int) -> int:
        """How many pieces may be decoded at once."""
        plane = self._levels[level][0]
        return 1 if plane.raw is not None else max(1, min(decoding_threads(), SPARE // _decoded(plane)))

    def _gap(self, level: int) -> int:
        """Bytes between two segments of a level that a source may fetch in vain."""
        if level not in self._gaps:
            planes = self._levels[level]
            alone = len(planes) == planes[0].planes == 1
            self._gaps[level] = planes[0].places.gap(GAP) if alone else GAP
        return self._gaps[level]

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of ``read``: the result, a batch of encoded bytes, and a segment while it is decoded."""
        plane = self._levels[level][0]
        result = window.size.pixels * self._info.bands * np.dtype(self._info.dtype).itemsize
        touched = window.intersect(Window.full(plane.size)) or window
        rows = -(-touched.y1 // plane.segment.height) - touched.y0 // plane.segment.height
        columns = -(-touched.x1 // plane.segment.width) - touched.x0 // plane.segment.width
        segments = rows * columns * plane.planes * len(self._levels[level])
        if plane.raw is not None:
            encoded = plane.row_bytes * window.height * plane.planes * columns
            run = min(max(RUN, plane.row_bytes), encoded)
            return result + 2 * min(BATCH + run, encoded) + 2 * run
        longest = self._longest[level]
        # A source may fetch what lies between segments too, to save requests.
        spread = longest * segments + self._gap(level) * (segments - 1)
        encoded = min(spread, self._source.size) if segments <= COUNTED else BATCH + longest
        decoded = _decoded(plane)
        if self._finish is not None:
            decoded += min(plane.segment.pixels, window.size.pixels) * self._info.bands * 16
        decoded *= min(segments, self._threads(level))
        return result + 2 * min(BATCH + longest, encoded) + decoded

    def picked_cost(self, level: int, rows: Places, columns: Places) -> int:
        """Peak bytes of ``read_picked``: as ``read_cost``, for the rows alone."""
        plane = self._levels[level][0]
        height, width = plane.segment
        result = len(rows) * len(columns) * self._info.bands * np.dtype(self._info.dtype).itemsize
        x0, x1 = int(columns[0]) // width, -(-(int(columns[-1]) + 1) // width)
        planes = plane.planes * len(self._levels[level])
        if plane.raw is not None:
            encoded = plane.row_bytes * len(rows) * (x1 - x0) * planes
            return result + 2 * min(BATCH + plane.row_bytes, encoded) + 2 * GROUP + 2 * plane.row_bytes
        segments = len(np.unique(rows // height)) * (x1 - x0) * planes
        encoded = min(self._longest[level] + GAP, self._source.size) * segments
        at_once = min(segments, self._threads(level))
        return result + 2 * min(BATCH + self._longest[level], encoded) + 2 * _decoded(plane) * at_once


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A piece with the bytes of its ranges."""

    plane: Plane
    piece: Piece
    data: list[bytes]


def _jobs(fetched: Sequence[_Fetched], *, apart: bool) -> Iterator[list[_Fetched]]:
    """What is decoded at once: a piece, or low strips, or rows of uncompressed ones that lie apart."""
    for (_, _, together), members in groupby(
        fetched, lambda item: (id(item.plane), item.piece.band, _stacks(item, apart=apart))
    ):
        if together:
            strips = [(item, item.piece.window) for item in members]
            yield from groups(strips, strips[0][0].plane.row_bytes, apart=apart)
        else:
            yield from ([item] for item in members)


def _stacks(item: _Fetched, *, apart: bool) -> bool:
    if len(item.data) != 1:
        return False
    return item.plane.packing is not None or (apart and item.piece.raw and not item.plane.tiled)


def _place_all(target: Target, where: str, job: Sequence[_Fetched]) -> None:
    """Decodes one piece, or several strips."""
    plane, piece = job[0].plane, job[0].piece
    windows = [item.piece.window for item in job]
    if len(job) > 1 and plane.raw is not None:
        joined = np.frombuffer(b"".join([item.data[0] for item in job]), plane.raw)
        pixels = joined.reshape(-1, piece.window.width, plane.samples).astype(plane.dtype, copy=False)
        target.paste(pixels, windows, piece.band)
    elif plane.packing is not None and piece.ranges:
        rows = Window(windows[0].y0, 0, windows[-1].y1, plane.size.width)
        room = target.room(rows, plane.samples, plane.packing.stored)
        singles = [(item, number) for item in job for number in range(max(1, len(item.piece.strips)))]
        strips = [_strip(item, number) for item, number in singles]
        pixels, failed = unpack(plane.packing, strips, plane.size.width, plane.samples, room)
        if room is None:
            target.paste(pixels, windows, piece.band)
        for number in failed:
            _place(target, where, _single(*singles[number]))
    else:
        _place(target, where, job[0])


def _strip(item: _Fetched, number: int) -> tuple[int, bytes | memoryview]:
    """Rows and bytes of one of a piece's strips."""
    if not item.piece.strips:
        return item.piece.window.height, item.data[0]
    height = item.plane.segment.height
    at, length = item.piece.strips[number]
    return min(height, item.piece.window.height - number * height), memoryview(item.data[0])[at : at + length]


def _single(item: _Fetched, number: int) -> _Fetched:
    """One of a piece's strips as a piece."""
    piece = item.piece
    if not piece.strips:
        return item
    rows, data = _strip(item, number)
    at, length = piece.strips[number]
    start, top = piece.ranges[0].start + at, piece.window.y0 + number * item.plane.segment.height
    window = Window(top, piece.window.x0, top + rows, piece.window.x1)
    alone = Piece(piece.band, piece.index + number, (ByteRange(start, start + length),), window)
    return _Fetched(item.plane, alone, [bytes(data)])


def _place(target: Target, where: str, item: _Fetched) -> None:
    """Decodes one piece."""
    plane, piece = item.plane, item.piece
    at = piece.ranges[0].start if piece.ranges else 0
    unit = f"{where}: {'tile' if plane.tiled else 'strip'} {piece.index} at offset {at}"
    with foreign_errors(unit):
        pixels = decode(plane, piece, item.data, unit)
    target.paste(pixels, [piece.window], piece.band)


def _decoded(plane: Plane) -> int:
    """Bytes that decoding takes at a time: decoded once, then byte order or predictor undone in a copy."""
    if plane.packing is not None:
        return 2 * GROUP
    # OpenJPEG works in 32-bit integers.
    return (
        plane.segment.pixels * plane.samples * (2 * plane.dtype.itemsize + (8 if plane.compression in JPEG_2000 else 0))
    )


@contextmanager
def _parsed(source: ByteSource) -> Iterator[tuple[TiffFile, HeaderView, Survey]]:
    """The file's directories, as tifffile has them, after a walk over them."""
    with foreign_errors(f"{source.url}: the TIFF header"), HeaderView(source) as view, shortened_tables():
        found = survey(view, source.url)
        # A data set that spans files is read as this file alone: others are not opened on its word.
        # Two dialects are read as plain TIFF, because tifffile would load all of their pages at once.
        file = cast("BinaryIO", view)
        with TiffFile(file, offset=0, _multifile=False, is_lsm=False, is_scanimage=False) as tif:
            yield tif, view, found


def _readers(source: ByteSource, view: HeaderView, found: Survey, chosen: Sequence[Chosen]) -> list[TiffReader]:
    """Readers of images of one kind; the tables of all their segments come in one batch."""
    pages = [page for one in chosen for level in one.levels for page in level]
    places = iter(read_places(view, source, pages, found.tables, found.order))
    page = cast("TiffPage", chosen[0].levels[0][0].keyframe)
    finish, mapped = finisher(page, source.url)
    readers: list[TiffReader] = []
    for one in chosen:
        stored = tuple(tuple(plane_of(page, next(places), source.url) for page in level) for level in one.levels)
        levels = with_wavelet_levels(stored, view)
        first = levels[0][0]
        bands = 3 if mapped is not None else first.samples * first.planes * len(levels[0])
        dtype = (first.dtype if mapped is None else mapped).name
        info = image_info(page, levels, one, found, dtype, bands)
        readers.append(TiffReader(source, info, levels, finish))
    return readers


def _open_planes(source: ByteSource) -> tuple[Stack, Sequence[TiffReader]]:
    with _parsed(source) as (tif, view, found):
        stack, chosen = choose_planes(tif, found, source.url)
        return stack, _readers(source, view, found, chosen)


def open_reader(source: ByteSource) -> TiffReader:
    """Opens a TIFF by its directories alone.

    Raises:
        CorruptImage: if the directories are damaged, loop, or point outside the file.
        UnsupportedFeature: if the samples or the compression cannot be read.
    """
    with _parsed(source) as (tif, view, found):
        [reader] = _readers(source, view, found, [choose(tif, found)])
    return reader
