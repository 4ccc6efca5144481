"""Opens a TIFF by its directories and reads windows of its levels."""

import logging
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import numpy as np
from tifffile import TiffFile, TiffPage

from ziggurat.format.tiff.colour import Finish, finisher
from ziggurat.format.tiff.errors import foreign_errors
from ziggurat.format.tiff.header import image_info
from ziggurat.format.tiff.ifd import survey
from ziggurat.format.tiff.pages import choose
from ziggurat.format.tiff.plane import JPEG_2000, Plane, planes_of
from ziggurat.format.tiff.segments import RUN, Piece, decode, pieces
from ziggurat.geometry import Window
from ziggurat.model import ImageInfo, Samples
from ziggurat.storage.file_view import FileView
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

BATCH = 1 << 26
"""Encoded bytes held at a time: 64 MiB in one batch of ranges."""

COUNTED = 4096
"""Segments up to which a read's bytes are summed; beyond, a full batch is assumed."""

# What tifffile reports of odd files would otherwise go to standard error; what matters is checked here.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


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
        self._longest = [max((max(plane.counts, default=0) for plane in level), default=0) for level in levels]

    @property
    def info(self) -> ImageInfo:
        """What the directories say."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window of a level, from only the strips and tiles that it touches.

        Returns:
            Array (y, x, band).

        Raises:
            CorruptImage: if a segment lies outside the file or does not decode to what the directory says.
        """
        where = f"{self._source.url}: level {level}"
        with foreign_errors(where):
            result: Samples = np.empty((window.height, window.width, self._info.bands), self._info.dtype)
            for batch in _batches(self._pieces(level, window)):
                ranges = [piece.bytes or ByteRange(0, 0) for _, piece in batch]
                data = self._source.read_ranges(ranges)
                data.reverse()
                for plane, piece in batch:
                    self._place(plane, piece, data.pop(), (result, window, where))
        return result

    def _pieces(self, level: int, window: Window) -> Iterator[tuple[Plane, Piece]]:
        where = f"{self._source.url}: level {level}"
        for band, plane in enumerate(self._levels[level]):
            for piece in pieces(plane, window, band=band, size=self._source.size, where=where):
                yield plane, piece

    def _place(self, plane: Plane, piece: Piece, data: bytes, target: tuple[Samples, Window, str]) -> None:
        """Decodes one piece and copies what the window wants of it."""
        result, window, where = target
        at = piece.bytes.start if piece.bytes else 0
        unit = f"{where}: {'tile' if plane.tiled else 'strip'} {piece.index} at offset {at}"
        with foreign_errors(unit):
            pixels = decode(plane, piece, data, unit)
        common = window.intersect(piece.window)
        if common is None:
            return
        rows, columns = common.shifted(-piece.window.y0, -piece.window.x0).slices()
        wanted = pixels[rows, columns]
        if self._finish is not None:
            wanted = self._finish(wanted)
        rows, columns = common.shifted(-window.y0, -window.x0).slices()
        result[rows, columns, piece.band : piece.band + wanted.shape[2]] = wanted

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of ``read``: the result, a batch of encoded bytes, and a segment while it is decoded."""
        plane = self._levels[level][0]
        result = window.size.pixels * self._info.bands * np.dtype(self._info.dtype).itemsize
        touched = window.intersect(Window.full(plane.size)) or window
        rows = -(-touched.y1 // plane.segment.height) - touched.y0 // plane.segment.height
        columns = -(-touched.x1 // plane.segment.width) - touched.x0 // plane.segment.width
        segments = rows * columns * plane.planes * len(self._levels[level])
        stored = plane.segment.pixels * plane.samples
        if plane.raw is not None:
            run = min(max(RUN, plane.row_bytes), result + plane.row_bytes * window.height)
            return result + min(BATCH + run, plane.row_bytes * window.height * plane.planes) + 2 * run
        longest = self._longest[level]
        encoded = longest * segments if segments <= COUNTED else BATCH + longest
        # Decoded once, then byte order or predictor undone in a copy; OpenJPEG works in 32-bit integers.
        decoded = stored * (2 * plane.dtype.itemsize + (8 if plane.compression in JPEG_2000 else 0))
        if self._finish is not None:
            decoded += min(plane.segment.pixels, window.size.pixels) * self._info.bands * 16
        return result + min(BATCH + longest, encoded) + decoded


def _batches(found: Iterator[tuple[Plane, Piece]]) -> Iterator[list[tuple[Plane, Piece]]]:
    """Pieces in groups of about BATCH encoded bytes."""
    batch: list[tuple[Plane, Piece]] = []
    length = 0
    for plane, piece in found:
        count = piece.bytes.length if piece.bytes else 0
        if batch and length + count > BATCH:
            yield batch
            batch, length = [], 0
        batch.append((plane, piece))
        length += count
    if batch:
        yield batch


def open_reader(source: ByteSource) -> TiffReader:
    """Opens a TIFF by its directories alone.

    Raises:
        CorruptImage: if the directories are damaged, loop, or point outside the file.
        UnsupportedFeature: if the samples or the compression cannot be read.
    """
    with foreign_errors(f"{source.url}: the TIFF header"), FileView(source) as view:
        found = survey(view, source.url)
        # A data set that spans files is read as this file alone: others are not opened on its word.
        # Two dialects are read as plain TIFF, because tifffile would load all of their pages at once.
        file = cast("BinaryIO", view)
        with TiffFile(file, offset=0, _multifile=False, is_lsm=False, is_scanimage=False) as tif:
            chosen = choose(tif, found)
            page = cast("TiffPage", chosen.levels[0][0].keyframe)
            levels = tuple(planes_of(level, source.url) for level in chosen.levels)
            finish, mapped = finisher(page, source.url)
            first = levels[0][0]
            bands = 3 if mapped is not None else first.samples * first.planes * len(levels[0])
            dtype = (first.dtype if mapped is None else mapped).name
            info = image_info(page, levels, chosen, found, dtype, bands)
    return TiffReader(source, info, levels, finish)
