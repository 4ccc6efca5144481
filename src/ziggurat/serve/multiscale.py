"""An image as an OME-Zarr 0.5 group: its documents, and which chunk holds which pixels. Pure.

Zarr v3 core specification 3.1; OME-Zarr 0.5 section 2 (https://ngff.openmicroscopy.org/0.5/). Arrays have the axes
(c, y, x), or (y, x) of one band, and hold samples as the file does: nothing is turned, converted or stretched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ziggurat.geometry import Size, Window
from ziggurat.model import JSON
from ziggurat.serve.facts import Facts

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


@dataclass(frozen=True, slots=True)
class Grid:
    """One level as an array in chunks.

    Attributes:
        size: of the level, as stored.
        bands: of the image.
        chunk: height and width of a chunk, those at the edges included.
        together: bands in a chunk.
    """

    size: Size
    bands: int
    chunk: Size
    together: int

    @property
    def shape(self) -> list[int]:
        """Of the array."""
        return [*self._leading(self.bands), *self.size]

    @property
    def chunk_shape(self) -> list[int]:
        """Of a chunk."""
        return [*self._leading(self.together), *self.chunk]

    def _leading(self, bands: int) -> list[int]:
        return [bands] if self.bands > 1 else []

    def part(self, place: Sequence[int]) -> tuple[tuple[int, int], Window] | None:
        """First band and the one behind the last, and the pixels of a chunk; None if there is no such chunk."""
        if len(place) != len(self.shape):
            return None
        band, row, column = place if self.bands > 1 else (0, *place)
        first, y0, x0 = band * self.together, row * self.chunk.height, column * self.chunk.width
        if first >= self.bands or y0 >= self.size.height or x0 >= self.size.width:
            return None
        y1, x1 = min(y0 + self.chunk.height, self.size.height), min(x0 + self.chunk.width, self.size.width)
        return (first, min(first + self.together, self.bands)), Window(y0, x0, y1, x1)


def grids(facts: Facts) -> list[Grid]:
    """The levels, finest first."""
    chunk = _chunk(facts)
    room = MOST // (chunk.pixels * np.dtype(facts.dtype).itemsize)
    together = max(1, min(facts.bands, room))
    sizes = [facts.stored(size) for size in facts.levels]
    return [
        Grid(size, facts.bands, Size(min(chunk.height, size.height), min(chunk.width, size.width)), together)
        for size in sizes
    ]


def _chunk(facts: Facts) -> Size:
    """Height and width of chunks that suit the file: its tiles, or some rows of its strips."""
    full = facts.stored(facts.size)
    pixel = facts.bands * np.dtype(facts.dtype).itemsize
    if facts.tile is None:
        return Size(LARGEST, LARGEST)
    height, width = facts.stored(facts.tile)
    if width >= full.width and SMALLEST < width <= WIDEST:
        return Size(max(1, min(max(height, SMALLEST), MOST // (width * pixel))), width)
    while min(height, width) < SMALLEST and max(height, width) * 2 <= LARGEST:
        height, width = height * 2, width * 2
    while min(height, width) >= 2 * SMALLEST and height * width * pixel > MOST:
        height, width = -(-height // 2), -(-width // 2)
    fits = max(height, width) <= 2 * LARGEST and min(height, width) >= SMALLEST
    return Size(height, width) if fits else Size(USUAL, USUAL)


def group(facts: Facts, name: str) -> dict[str, JSON]:
    """The group's ``zarr.json``, the arrays' ones within it: who has it need not ask for them.

    Args:
        facts: of the image.
        name: what people call it.
    """
    levels = grids(facts)
    axes: list[JSON] = [{"name": "c", "type": "channel"}] if facts.bands > 1 else []
    unit: dict[str, JSON] = {} if facts.resolution is None else {"unit": "micrometer"}
    axes += [{"name": axis, "type": "space", **unit} for axis in ("y", "x")]
    pixel = _pixel(facts)
    multiscale: dict[str, JSON] = {
        "name": name,
        "axes": axes,
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(levels[0], level, pixel)}
            for number, level in enumerate(levels)
        ],
    }
    ome: dict[str, JSON] = {"version": "0.5", "multiscales": [multiscale]}
    if (channels := _channels(facts)) is not None:
        ome["omero"] = {"channels": channels, "rdefs": {"model": "color" if len(channels) > 1 else "greyscale"}}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome},
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": {str(number): array(facts, level) for number, level in enumerate(levels)},
        },
    }


def array(facts: Facts, grid: Grid) -> dict[str, JSON]:
    """A level's ``zarr.json``."""
    order: dict[str, JSON] = {"configuration": {"endian": "little"}} if np.dtype(facts.dtype).itemsize > 1 else {}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": grid.shape,
        "data_type": facts.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid.chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [
            {"name": "bytes", **order},
            {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}},
        ],
        "dimension_names": ["c", "y", "x"][-len(grid.shape) :],
        "attributes": {},
    }


def _pixel(facts: Facts) -> tuple[float, float]:
    """Height and width of a pixel: in micrometres where the file says so, else 1."""
    if facts.resolution is None:
        return 1.0, 1.0
    down, across = facts.resolution[::-1] if facts.swapped else facts.resolution
    return MICROMETRES / down, MICROMETRES / across


def _transformations(full: Grid, level: Grid, pixel: tuple[float, float]) -> JSON:
    """Coordinates are those of the pixels' middles: that of a coarser one lies further in."""
    factors = [_factor(whole, part) for whole, part in zip(full.size, level.size, strict=True)]
    scale = [factor * side for factor, side in zip(factors, pixel, strict=True)]
    moved = [(factor - 1) / 2 * side for factor, side in zip(factors, pixel, strict=True)]
    first = full.bands > 1
    return [
        {"type": "scale", "scale": [*([1.0] if first else []), *scale]},
        {"type": "translation", "translation": [*([0.0] if first else []), *moved]},
    ]


def _factor(full: int, size: int) -> float:
    """Full pixels along one of a level: a whole number where the level's size is that division, rounded either way."""
    whole = max(1, round(full / size))
    return float(whole) if size in {full // whole, -(-full // whole)} else full / size


def _channels(facts: Facts) -> list[JSON] | None:
    """How viewers should begin to show the bands; None where the samples have no range of their own."""
    if not facts.dtype.startswith("uint") or facts.bands > len(_RGB):
        return None
    top = (1 << facts.depth) - 1
    names, colours = (_RGB, _COLOURS) if facts.bands == len(_RGB) else (("1", "2"), ("FFFFFF", "FFFFFF"))
    return [
        {
            "label": names[band],
            "color": colours[band],
            "active": True,
            "window": {"start": 0, "end": top, "min": 0, "max": top},
        }
        for band in range(facts.bands)
    ]
