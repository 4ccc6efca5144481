"""An image as an OME-Zarr 0.5 group: its documents, and which chunk holds which pixels. Pure.

Zarr v3 core specification 3.1; OME-Zarr 0.5 section 2 (https://ngff.openmicroscopy.org/0.5/). Arrays have the axes
(t, c, z, y, x), without c of one band and without t and z of a single image, and hold samples as the file does: nothing
is turned, converted or stretched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ziggurat.geometry import Size, Window
from ziggurat.model import JSON, SINGLE, Resolution, Stack

SMALLEST: Final = 256
USUAL: Final = 512
LARGEST: Final = 1024
"""Pixels a side of a chunk; tiles of a file are doubled until they are worth a request."""

WIDEST: Final = 4096
"""Pixels of a strip up to which chunks are as wide as it: its rows are decoded whole anyway."""

MOST: Final = 8 << 20
"""Bytes of a chunk before it is packed."""

MICROMETRES: Final = 1e6
"""In a metre."""

ZSTD_LEVEL: Final = 1

_RGB: Final = ("Red", "Green", "Blue")
_COLOURS: Final = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """What an image's header says of its arrays: everything as stored.

    Attributes:
        levels: sizes, finest first.
        tile: of the finest level, where the file has tiles.
        bands: sample planes.
        dtype: of a sample.
        depth: significant bits of it.
        resolution: pixels per metre, where the file says so.
        stack: axes of images of the same kind that lie one behind the other; none of a single image.
    """

    levels: tuple[Size, ...]
    tile: Size | None
    bands: int
    dtype: str
    depth: int
    resolution: Resolution | None = None
    stack: Stack = SINGLE

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the arrays' axes."""
        return axes(self.bands, self.stack)


def axes(bands: int, stack: Stack) -> tuple[str, ...]:
    """Names of an array's axes, in the order that OME-Zarr 0.5 asks for."""
    there = (("t", stack.times is not None), ("c", bands > 1), ("z", stack.depth is not None))
    return (*(name for name, has in there if has), "y", "x")


@dataclass(frozen=True, slots=True)
class Part:
    """What a chunk holds.

    Attributes:
        bands: the first one, and the one behind the last.
        plane: number of the plane; 0 of a single image.
        window: of the level.
    """

    bands: tuple[int, int]
    plane: int
    window: Window


@dataclass(frozen=True, slots=True)
class Grid:
    """One level as an array in chunks.

    Attributes:
        size: of the level, as stored.
        bands: of the image.
        chunk: height and width of a chunk, those at the edges included.
        together: bands in a chunk.
        stack: as in ``Pyramid``.
    """

    size: Size
    bands: int
    chunk: Size
    together: int
    stack: Stack = SINGLE

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the array's axes."""
        return axes(self.bands, self.stack)

    @property
    def shape(self) -> list[int]:
        """Of the array."""
        return self._along(self.stack.times, self.bands, self.stack.depth, self.size)

    @property
    def chunk_shape(self) -> list[int]:
        """Of a chunk."""
        return self._along(1, self.together, 1, self.chunk)

    @property
    def counts(self) -> list[int]:
        """Chunks along each axis."""
        return [-(-whole // part) for whole, part in zip(self.shape, self.chunk_shape, strict=True)]

    @property
    def plane_counts(self) -> list[int]:
        """Chunks of one plane along the axes c, y and x."""
        return [-(-self.bands // self.together), *self.counts[-2:]]

    def _along(self, times: int | None, bands: int, depth: int | None, size: Size) -> list[int]:
        """Lengths along the axes that there are."""
        lengths = {"t": times, "c": bands, "z": depth, "y": size.height, "x": size.width}
        return [length for name in self.axes if (length := lengths[name]) is not None]

    def whole(self, planes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Numbers of all chunks, shape ``counts``, from those of each plane, shape ``plane_counts``."""
        times, depth = self.stack.times or 1, self.stack.depth or 1
        parts = np.stack(planes).reshape(times, depth, *self.plane_counts)
        return parts.transpose(0, 2, 1, 3, 4).reshape(self.counts)

    def part(self, place: Sequence[int]) -> Part | None:
        """What the chunk at a place holds; None if there is no such chunk."""
        counts = self.counts
        if len(place) != len(counts) or any(not 0 <= at < count for at, count in zip(place, counts, strict=True)):
            return None
        at = dict(zip(self.axes, place, strict=True))
        first = at.get("c", 0) * self.together
        plane = at.get("t", 0) * (self.stack.depth or 1) + at.get("z", 0)
        y0, x0 = at["y"] * self.chunk.height, at["x"] * self.chunk.width
        y1, x1 = min(y0 + self.chunk.height, self.size.height), min(x0 + self.chunk.width, self.size.width)
        return Part((first, min(first + self.together, self.bands)), plane, Window(y0, x0, y1, x1))


def grids(image: Pyramid) -> list[Grid]:
    """The levels, finest first."""
    chunk = _chunk(image)
    room = MOST // (chunk.pixels * np.dtype(image.dtype).itemsize)
    together = max(1, min(image.bands, room))
    return [
        Grid(
            size,
            image.bands,
            Size(min(chunk.height, size.height), min(chunk.width, size.width)),
            together,
            image.stack,
        )
        for size in image.levels
    ]


def _chunk(image: Pyramid) -> Size:
    """Height and width of chunks that suit the file: its tiles, or some rows of its strips."""
    full = image.levels[0]
    pixel = image.bands * np.dtype(image.dtype).itemsize
    if image.tile is None:
        return Size(LARGEST, LARGEST)
    height, width = image.tile
    if width >= full.width and SMALLEST < width <= WIDEST:
        return Size(max(1, min(max(height, SMALLEST), MOST // (width * pixel))), width)
    while min(height, width) < SMALLEST and max(height, width) * 2 <= LARGEST:
        height, width = height * 2, width * 2
    while min(height, width) >= 2 * SMALLEST and height * width * pixel > MOST:
        height, width = -(-height // 2), -(-width // 2)
    fits = max(height, width) <= 2 * LARGEST and min(height, width) >= SMALLEST
    return Size(height, width) if fits else Size(USUAL, USUAL)


PACKED: Final[tuple[JSON, ...]] = ({"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}},)
"""Further codecs of arrays whose chunks are packed samples."""


def samples(dtype: str) -> JSON:
    """The codec that turns samples into bytes."""
    order: dict[str, JSON] = {"configuration": {"endian": "little"}} if np.dtype(dtype).itemsize > 1 else {}
    return {"name": "bytes", **order}


def group(
    image: Pyramid, name: str, arrays: Sequence[JSON], more: Mapping[str, JSON] = MappingProxyType({})
) -> dict[str, JSON]:
    """The group's ``zarr.json``, the arrays' ones within it: who has it need not ask for them.

    Args:
        image: what its header says.
        name: what people call it.
        arrays: documents of its levels, see ``array``.
        more: attributes beside OME-Zarr's.
    """
    unit: dict[str, JSON] = {} if image.resolution is None else {"unit": "micrometer"}
    kinds = {"t": "time", "c": "channel"}
    axes: list[JSON] = [
        {"name": axis, "type": kinds.get(axis, "space")} | (unit if axis in {"y", "x"} else {}) for axis in image.axes
    ]
    multiscale: dict[str, JSON] = {
        "name": name,
        "axes": axes,
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(image, size)}
            for number, size in enumerate(image.levels[: len(arrays)])
        ],
    }
    ome: dict[str, JSON] = {"version": "0.5", "multiscales": [multiscale]}
    if (channels := _channels(image)) is not None:
        ome["omero"] = {"channels": channels, "rdefs": {"model": "color" if len(channels) > 1 else "greyscale"}}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome, **more},
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": {str(number): document for number, document in enumerate(arrays)},
        },
    }


def array(grid: Grid, dtype: str, codecs: Sequence[JSON]) -> dict[str, JSON]:
    """A level's ``zarr.json``.

    Args:
        grid: of it.
        dtype: of its samples.
        codecs: how a chunk becomes bytes.
    """
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": grid.shape,
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid.chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": list(codecs),
        "dimension_names": list(grid.axes),
        "attributes": {},
    }


def _pixel(image: Pyramid) -> tuple[float, float]:
    """Height and width of a pixel: in micrometres where the file says so, else 1."""
    if image.resolution is None:
        return 1.0, 1.0
    return MICROMETRES / image.resolution.y, MICROMETRES / image.resolution.x


def _transformations(image: Pyramid, level: Size) -> JSON:
    """Coordinates are those of the pixels' middles: that of a coarser one lies further in."""
    factors = [_factor(whole, part) for whole, part in zip(image.levels[0], level, strict=True)]
    scale = [factor * side for factor, side in zip(factors, _pixel(image), strict=True)]
    moved = [(factor - 1) / 2 * side for factor, side in zip(factors, _pixel(image), strict=True)]
    leading = len(image.axes) - 2
    return [
        {"type": "scale", "scale": [*[1.0] * leading, *scale]},
        {"type": "translation", "translation": [*[0.0] * leading, *moved]},
    ]


def _factor(full: int, size: int) -> float:
    """Full pixels along one of a level: a whole number where the level's size is that division, rounded either way."""
    whole = max(1, round(full / size))
    return float(whole) if size in {full // whole, -(-full // whole)} else full / size


def _channels(image: Pyramid) -> list[JSON] | None:
    """How viewers should begin to show the bands; None where the samples have no range of their own."""
    if not image.dtype.startswith("uint") or image.bands > len(_RGB):
        return None
    top = (1 << image.depth) - 1
    names, colours = (_RGB, _COLOURS) if image.bands == len(_RGB) else (("1", "2"), ("FFFFFF", "FFFFFF"))
    return [
        {
            "label": names[band],
            "color": colours[band],
            "active": True,
            "window": {"start": 0, "end": top, "min": 0, "max": top},
        }
        for band in range(image.bands)
    ]
