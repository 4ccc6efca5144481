"""Groups as other programs read them: by zarr-python, with the codecs that imagecodecs-zarr registers."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import imagecodecs
import numpy as np
import zarr

from ziggurat.errors import CorruptImage
from ziggurat.geometry import Size, Window
from ziggurat.model import ImageInfo, Level, Samples
from ziggurat.write.omezarr.writer import REFERENCES

_ONE_THREAD: Final = {"threading.max_workers": 1, "async.concurrency": 1}

_INDEX_ENTRY: Final = 16
_CHECKSUM: Final = 4
"""Bytes of a chunk's place in a shard's index, and behind the index."""


class Group:
    """The stored levels of a group in a folder. Use as a context manager.

    Raises:
        CorruptImage: if it is none.
    """

    def __init__(self, path: Path) -> None:
        self._arrays: list[zarr.Array[Any]] = []
        with zarr.config.set(_ONE_THREAD):
            group = zarr.open_group(path, mode="r")
            ome = cast("dict[str, Any]", group.attrs["ome"])
            for dataset in ome["multiscales"][0]["datasets"]:
                array = group[dataset["path"]]
                if not isinstance(array, zarr.Array):
                    raise CorruptImage(f"{path}: {dataset['path']} is no array")
                self._arrays.append(array)
        finest = self._arrays[0]
        self._bands = finest.shape[0] if finest.ndim > len(Size._fields) else 1
        self.info = ImageInfo(
            format="ome-zarr",
            levels=tuple(Level(_size(array.shape), _size(array.chunks)) for array in self._arrays),
            bands=self._bands,
            dtype=finest.dtype.name,
            bit_depth=finest.dtype.itemsize * 8,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def read(self, level: int, window: Window) -> Samples:
        """Array (y, x, band) of a window of a level.

        Raises:
            CorruptImage: if a chunk does not decode.
        """
        try:
            with zarr.config.set(_ONE_THREAD):
                pixels = np.asarray(self._arrays[level][(..., *window.slices())])
        except (ValueError, RuntimeError) as error:
            raise CorruptImage(f"level {level} does not decode: {error}") from error
        return (
            pixels[..., None] if pixels.ndim == len(Size._fields) else np.ascontiguousarray(np.moveaxis(pixels, 0, 2))
        )

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of ``read``: the result in both orders of the axes, and a few chunks."""
        array = self._arrays[level]
        return 2 * window.size.pixels * self._bands * array.dtype.itemsize + 8 * array.dtype.itemsize * int(
            np.prod(array.chunks)
        )


def open_group(path: Path) -> Group:
    """Opens a group, whose virtual levels are checked if it has such.

    Raises:
        CorruptImage: if it is none, or a virtual level is not the beginning of its chunks.
    """
    if (path / REFERENCES).exists():
        check_references(path)
    return Group(path)


def _size(shape: Sequence[int]) -> Size:
    return Size(*shape[-2:])


def check_references(folder: Path) -> None:
    """Makes sure that what virtual levels refer to are the beginnings of their chunks, and decode to the level.

    OpenJPEG refuses a chunk that lacks as much as a byte, so that what decodes is what the whole chunk gives.

    Raises:
        CorruptImage: if not.
    """
    documents = json.loads((folder / REFERENCES).read_text(encoding="utf-8"))["refs"]
    finest = json.loads(documents["0/zarr.json"])
    shard = _chunk_shape(finest["chunk_grid"])
    inner = _chunk_shape(finest["codecs"][0])
    down, across = (whole // part for whole, part in zip(shard, inner, strict=True))
    name, index = "", np.zeros((0, 2), np.uint64)
    for key, value in documents.items():
        level, _, place = key.partition("/c/")
        if not place or level == "0":
            continue
        if value[0] != name:
            name = value[0]
            index = _index(folder / name, down * across)
        row, column = (int(part) for part in place.split("/")[-2:])
        start, length = (int(number) for number in index[row % down * across + column % across])
        if value[1] != start or value[2] > length:
            raise CorruptImage(f"the virtual chunk {key} is not the beginning of its chunk")
        with (folder / name).open("rb") as file:
            file.seek(start)
            data = file.read(value[2])
        try:
            shape = imagecodecs.jpeg2k_decode(data, skipres=int(level)).shape[:2]
        except RuntimeError as error:
            raise CorruptImage(f"the virtual chunk {key} does not decode: {error}") from error
        if list(shape) != _chunk_shape(json.loads(documents[f"{level}/zarr.json"])["chunk_grid"]):
            raise CorruptImage(f"the virtual chunk {key} decodes to {shape[0]} x {shape[1]} pixels")


def _chunk_shape(part: dict[str, Any]) -> list[int]:
    """Height and width of the chunks that a chunk grid, or a sharding codec, is of."""
    shape: list[int] = part["configuration"]["chunk_shape"][-2:]
    return shape


def _index(path: Path, chunks: int) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    with path.open("rb") as file:
        file.seek(-chunks * _INDEX_ENTRY - _CHECKSUM, 2)
        return np.frombuffer(file.read(chunks * _INDEX_ENTRY), "<u8").reshape(chunks, 2)
