"""Writes a picture as a Blosc2 array of shape (y, x, band), or (y, x) for a single band, a row of chunks at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ziggurat.codec.blosc2 import HEADER, MAX_CHUNK, chunk_of, pack
from ziggurat.errors import UnsupportedFeature
from ziggurat.format.blosc2.frame import ZEROS, Frame, frame_header, frame_trailer, text_layer
from ziggurat.format.blosc2.metalayer import NAME, write_notes
from ziggurat.model import Samples
from ziggurat.storage.stored import writing
from ziggurat.write.b2nd.encode import Encode, block_encoder
from ziggurat.write.b2nd.options import B2ndOptions
from ziggurat.write.bands import BandPlan, plan_bands, tile_rows
from ziggurat.write.notes import notes_of
from ziggurat.write.protocol import Picture

BLOCKS = 2
"""Blocks along a side of a chunk: few chunks to find, and little to read in front of a block."""

LEVEL = 1
"""zstd's, of 9: behind bitshuffle, 5 saves 1 % of a photograph and takes three times as long."""

CODING_SCRATCH = 16
"""Bytes for a sample of a block that JPEG 2000 takes while it encodes."""


class B2ndWriter:
    """Writes Blosc2 arrays with the same options. Uses one thread."""

    def __init__(self, options: B2ndOptions | None = None) -> None:
        self._options = options or B2ndOptions()

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes of ``write``, reading included; above ``memory`` only where reading takes that much."""
        own = self._own_cost(picture)
        return own + self._plan(picture, memory).cost

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the file anew.

        Raises:
            UnsupportedFeature: if the codec cannot hold such samples, or a pixel has too many.
            WriteError: if the file cannot be written.
        """
        frame = _frame(picture, self._options.tile)
        if frame.block_bytes * frame.blocks > MAX_CHUNK:
            raise UnsupportedFeature(
                f"{path}: {picture.bands} bands make chunks of over 2 GiB; choose a smaller --tile"
            )
        encode = None if self._options.codec == "zstd" else block_encoder(picture, self._options)
        plan = self._plan(picture, memory)
        with writing(str(path)), path.open("wb") as file:
            self._write(picture, file, frame, encode, plan)

    def _write(self, picture: Picture, file: BinaryIO, frame: Frame, encode: Encode | None, plan: BandPlan) -> None:
        number = self._options.number
        layers = {
            NAME: text_layer(write_notes(notes_of(picture, ("y", "x", "band") if picture.bands > 1 else ("y", "x"))))
        }
        start = len(frame_header(frame, layers, codec=number, length=0))
        file.seek(start)
        offsets = []
        for row in tile_rows(picture, plan, BLOCKS * self._options.tile):
            for chunk in _chunks(row, frame):
                packed = self._chunk(chunk, frame, encode)
                if len(packed) == HEADER:
                    # Nothing but zeros: C-Blosc2 does not open frames in which that is a chunk.
                    offsets.append(ZEROS)
                    continue
                offsets.append(file.tell() - start)
                file.write(packed)
        length_of_chunks = file.tell() - start
        file.write(_index(offsets))
        file.write(frame_trailer())
        length = file.tell()
        file.seek(0)
        file.write(frame_header(_packed(frame, length_of_chunks), layers, codec=number, length=length))

    def _chunk(self, pixels: Samples, frame: Frame, encode: Encode | None) -> bytes:
        blocks = _blocks(pixels, frame, fill="constant" if encode is None else "edge")
        if encode is None:
            stacked = np.stack([block.reshape(-1) for block in blocks])
            return pack(stacked, level=LEVEL)
        # A block of as many bytes as its pixels is those pixels, to every reader; more than that none takes.
        payloads = [min(encode(block), block.tobytes(), key=len) for block in blocks]
        return chunk_of(
            payloads, typesize=frame.dtype.itemsize, blocksize=frame.block_bytes, codec=self._options.number
        )

    def _plan(self, picture: Picture, memory: int) -> BandPlan:
        return plan_bands(picture, BLOCKS * self._options.tile, memory=max(0, memory - self._own_cost(picture)))

    def _own_cost(self, picture: Picture) -> int:
        """Bytes for a chunk, its copies and what is made of it."""
        samples = (BLOCKS * self._options.tile) ** 2 * picture.bands
        return samples * picture.dtype.itemsize * 4 + self._options.tile**2 * picture.bands * CODING_SCRATCH


def _frame(picture: Picture, tile: int) -> Frame:
    chunk = tuple(min(BLOCKS * tile, side) for side in picture.size)
    block = tuple(min(tile, side) for side in picture.size)
    bands = (picture.bands,) if picture.bands > 1 else ()
    return Frame(
        header=0,
        packed=0,
        shape=(*picture.size, *bands),
        chunk=(*chunk, *bands),
        block=(*block, *bands),
        dtype=picture.dtype.newbyteorder("<"),
        metalayers={},
    )


def _packed(frame: Frame, packed: int) -> Frame:
    return Frame(0, packed, frame.shape, frame.chunk, frame.block, frame.dtype, {})


def _chunks(row: Samples, frame: Frame) -> Iterator[Samples]:
    """The chunks of a row of them, those at the edge not filled up."""
    for x0 in range(0, row.shape[1], frame.chunk[1]):
        yield row[:, x0 : x0 + frame.chunk[1]]


def _blocks(pixels: Samples, frame: Frame, *, fill: str) -> list[Samples]:
    """All blocks of a chunk, full ones: what lies beyond the picture is zero, or its edge goes on."""
    height, width = frame.block[:2]
    rows, columns = frame.block_grid[:2]
    beyond = ((0, rows * height - pixels.shape[0]), (0, columns * width - pixels.shape[1]), (0, 0))
    if any(sum(pair) for pair in beyond):
        pixels = np.pad(pixels, beyond, mode="edge") if fill == "edge" else np.pad(pixels, beyond)
    full = pixels.astype(frame.dtype, copy=False)
    return [
        full[y : y + height, x : x + width]
        for y in range(0, rows * height, height)
        for x in range(0, columns * width, width)
    ]


def _index(offsets: list[int]) -> bytes:
    """The chunk of offsets."""
    return pack(np.array([offsets], "<i8"), level=LEVEL)
