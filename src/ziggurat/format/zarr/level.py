"""One array as a level of an image: opened, checked, and read by windows."""

import json
import math
import warnings
from collections.abc import Sequence
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import zarr

from ziggurat.errors import CorruptImage, LimitExceeded, UnsupportedFeature
from ziggurat.format.foreign import foreign_errors
from ziggurat.format.zarr.axes import Axes, arrange
from ziggurat.format.zarr.blocks import Chunk, Span, Spans, blocks, pixels, steps, touched
from ziggurat.format.zarr.documents import OURS, Folder, Node, check_codecs
from ziggurat.format.zarr.ome import Axis, text
from ziggurat.format.zarr.store import FolderStore
from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH: Final = 1 << 25
"""Decoded bytes of a piece of a window: 32 MiB. Chunks that are larger come one by one."""

MANY: Final = 4096
"""Chunks of a piece: zarr-python plans them all before it reads the first."""

AT_ONCE: Final = 10
"""Chunks that zarr-python reads and decodes side by side."""

MOST: Final = 1 << 20
"""Chunks that one reading may touch. More are made to take time."""

LONGEST: Final = 1 << 31
"""Bytes of a decoded chunk: the limit of most codecs."""

ENTRY: Final = 16
"""Bytes of a chunk in a shard's index (Zarr v3, sharding codec 1.0)."""

PLANNING: Final = 4096
"""Bytes that zarr-python takes for each chunk besides its samples."""

SPARE: Final = 1 << 20
"""Bytes that the encoded form of a chunk may take above twice its samples: 1 MiB, of metadata and small blocks."""

KINDS: Final = "uifb"

_OPENING = RLock()
"""Warnings and settings are the whole process's: two threads that changed them at once would leave them changed."""


class LevelArray:
    """An array of a Zarr. Safe to use from several threads.

    Args:
        folder: where its files lie.
        node: its document.
        named: its axes, where something says what they are; else its own names for them are taken.

    Raises:
        UnsupportedFeature: if it holds no numbers of a picture, or codecs that are not known.
        CorruptImage: if its document makes no sense.
    """

    def __init__(self, folder: Folder, node: Node, named: Sequence[Axis] = ()) -> None:
        self.path = node.path
        self.where = f"{folder.url}/{node.path}" if node.path else folder.url
        self.codecs = check_codecs(self.where, node)
        with foreign_errors(f"{self.where}: its document"):
            if node.version == 2 and any(name.startswith(OURS) for name in self.codecs):  # noqa: PLR2004 - the version
                _register_ours()
            store = FolderStore(folder, node.path, _documents(node))
            self._array = _opened(store, node.version, near=folder.near)
            lengths = tuple(int(length) for length in self._array.shape)
            self._chunks = tuple(int(side) for side in self._array.chunks)
            self._shards = None if self._array.shards is None else tuple(int(side) for side in self._array.shards)
            self._stored = self._array.dtype
        if self._stored.kind not in KINDS or self._stored.itemsize > 8:  # noqa: PLR2004 - bytes of the widest number
            raise UnsupportedFeature(
                f"{self.where} holds {self._stored}; only integers, floats and truth values are samples"
            )
        if min(self._chunks, default=0) < 1:
            raise CorruptImage(f"{self.where}: its chunks have the shape {self._chunks}")
        self._chunk_bytes = math.prod(self._chunks) * self._stored.itemsize
        if self._chunk_bytes > LONGEST:
            raise UnsupportedFeature(
                f"{self.where}: its chunks {self._chunks} have {self._chunk_bytes} bytes, {LONGEST} are possible"
            )
        self.named = tuple(named) or _own_names(node)
        self.axes: Axes = arrange(lengths, self.named, self.where)
        store.longest = 2 * math.prod(self._shards or self._chunks) * self._stored.itemsize + self._index_bytes + SPARE

    @property
    def dtype(self) -> "np.dtype[np.generic]":
        """Of the samples that are returned: truth values are bytes, halves are singles."""
        if self._stored.kind == "b":
            return np.dtype(np.uint8)
        if self._stored == np.float16:
            return np.dtype(np.float32)
        return self._stored.newbyteorder("=")

    @property
    def bit_depth(self) -> int:
        """Significant bits of a sample."""
        return 1 if self._stored.kind == "b" else 8 * self.dtype.itemsize

    @property
    def tile(self) -> Size | None:
        """Height and width of a chunk; None where it is the whole array."""
        _, height, width = self._chunk
        size = self.axes.size
        return (
            None
            if height >= size.height and width >= size.width
            else Size(min(height, size.height), min(width, size.width))
        )

    @property
    def _chunk(self) -> Chunk:
        return self.axes.roles(self._chunks)

    @property
    def _index_bytes(self) -> int:
        if self._shards is None:
            return 0
        return ENTRY * math.prod(shard // chunk for shard, chunk in zip(self._shards, self._chunks, strict=True))

    @property
    def _room(self) -> int:
        return max(1, min(MANY, BATCH // self._chunk_bytes))

    def facts(self) -> dict[str, JSON]:
        """What the document says, as plain values."""
        told: dict[str, JSON] = {
            "path": self.path,
            "shape": list(self.axes.lengths),
            "dtype": str(self._stored),
            "chunks": list(self._chunks),
            "codecs": list(self.codecs),
        }
        return told if self._shards is None else told | {"shards": list(self._shards)}

    def _spans(self, window: Window) -> Spans:
        return Span(0, self.axes.bands), Span(window.y0, window.y1), Span(window.x0, window.x1)

    def read(self, window: Window) -> Samples:
        """Pixels (y, x, band) of a window, from the chunks that it touches; what is not stored is the fill value.

        Raises:
            CorruptImage: if a chunk does not decode; says which.
            LimitExceeded: if it touches more chunks than make sense.
        """
        spans = self._spans(window)
        count = math.prod(touched(spans, self._chunk))
        if count > MOST:
            raise LimitExceeded(
                f"{self.where}: {count} chunks of {self._chunks} would be read, {MOST} are possible; "
                "read a smaller window"
            )
        with foreign_errors(self.where):
            result: Samples = np.empty((*window.size, self.axes.bands), self.dtype)
        for block in blocks(spans, self._chunk, self._room):
            bands, rows, columns = block
            result[
                rows.start - window.y0 : rows.end - window.y0, columns.start - window.x0 : columns.end - window.x0,
                bands.start : bands.end,
            ] = self._block(block)  # fmt: skip
        return result

    def _block(self, spans: Spans) -> Samples:
        """Pixels of a piece of a window."""
        try:
            return self._decoded(spans, self.where)
        except (CorruptImage, UnsupportedFeature):
            for one in blocks(spans, self._chunk, 1):
                self._decoded(one, self._named(one))
            raise

    def _decoded(self, spans: Spans, where: str) -> Samples:
        selection: list[int | slice] = [0] * len(self.axes.lengths)
        for axis, span in zip((self.axes.band, self.axes.y, self.axes.x), spans, strict=True):
            if axis is not None:
                selection[axis] = slice(span.start, span.end)
        with foreign_errors(where), np.errstate(all="ignore"):
            found: NDArray[Any] = np.asarray(self._array[tuple(selection)])
            turned = found.transpose(self.axes.to_pixels)
            return turned if self.axes.band is not None else turned[:, :, np.newaxis]

    def _named(self, spans: Spans) -> str:
        """A chunk's file, and which chunk it is."""
        places = [0] * len(self.axes.lengths)
        for axis, span in zip((self.axes.band, self.axes.y, self.axes.x), spans, strict=True):
            if axis is not None:
                places[axis] = span.start
        chunk = tuple(place // side for place, side in zip(places, self._chunks, strict=True))
        file = tuple(place // side for place, side in zip(places, self._shards or self._chunks, strict=True))
        key = self._array.metadata.encode_chunk_key(file)
        return f"{self.where}/{key}: chunk {chunk}"

    def cost(self, window: Window) -> int:
        """Peak bytes of ``read``: the result, a piece of it, and the chunks of that, encoded and decoded."""
        spans = self._spans(window)
        item = self._stored.itemsize
        count = math.prod(steps(spans, self._chunk, self._room))
        at_once = min(count, AT_ONCE)
        piece = min(pixels(spans) * item, count * self._chunk_bytes)
        encoded = (count if self._shards is not None else at_once) * self._chunk_bytes
        decoding = 3 * at_once * self._chunk_bytes
        indexes = 4 * at_once * self._index_bytes
        return pixels(spans) * self.dtype.itemsize + 2 * piece + encoded + decoding + indexes + count * PLANNING


@cache
def _register_ours() -> None:
    """Makes the codecs of imagecodecs known for version 2; for version 3 they are found by their names."""
    from imagecodecs.numcodecs import register_codecs  # noqa: PLC0415 - seldom needed

    with _OPENING:
        register_codecs(verbose=False)


def _documents(node: Node) -> dict[str, bytes]:
    """What zarr-python is told of an array: what was checked, without attributes."""
    if node.version == 3:  # noqa: PLR2004 - the version
        return {"zarr.json": json.dumps({**node.fields, "attributes": {}}).encode()}
    return {".zarray": json.dumps(node.fields).encode(), ".zattrs": b"{}"}


def _opened(store: FolderStore, version: int, *, near: bool) -> "zarr.Array[Any]":
    # Where nothing is waited for, planning every chunk as a task of its own would take most of the time.
    pipeline = "FusedCodecPipeline" if near else "BatchedCodecPipeline"
    with (
        _OPENING,
        warnings.catch_warnings(),
        zarr.config.set({"codec_pipeline.path": f"zarr.core.codec_pipeline.{pipeline}"}),
    ):
        # What zarr-python thinks of extensions and of other writers is nobody's business here.
        warnings.simplefilter("ignore")
        return zarr.open_array(store, mode="r", zarr_format=cast("Any", version))


def _own_names(node: Node) -> tuple[Axis, ...]:
    """What an array calls its axes: Zarr v3's ``dimension_names``, or xarray's attribute."""
    names = node.fields.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
    return tuple(Axis(text(name)) for name in names) if isinstance(names, list) else ()
