"""What the server's front knows of an image without opening it: told by a worker, as JSON."""

import json
from dataclasses import dataclass
from typing import Self

from ziggurat.geometry import Size
from ziggurat.image import Image
from ziggurat.interop.multiscale import Pyramid
from ziggurat.model import Resolution
from ziggurat.write.orientation import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An image as clients see it: upright.

    Attributes:
        levels: sizes, finest first.
        tile: of the finest level, where the file has tiles.
        format: the file's.
        version: size in bytes and tag of the file that was looked at.
        bands: sample planes.
        dtype: of a sample.
        depth: significant bits of it.
        resolution: pixels per metre, vertical and horizontal, where the file says so.
        swapped: whether rows are columns in the file.
    """

    levels: tuple[Size, ...]
    tile: Size | None
    format: str
    version: tuple[int, str]
    bands: int
    dtype: str
    depth: int
    resolution: tuple[float, float] | None
    swapped: bool = False

    @classmethod
    def of(cls, image: Image) -> Self:
        """The facts of an open image."""
        info, turn, version = image.info, Turn.of(image.info.orientation), image.source.version
        tile, resolution = info.levels[0].tile, info.resolution
        density = None if resolution is None else (resolution.y, resolution.x)
        return cls(
            levels=tuple(turn.size(level.shape) for level in image.levels),
            tile=None if tile is None else turn.size(tile),
            format=info.format,
            version=(version.size, version.tag),
            bands=info.bands,
            dtype=info.dtype,
            depth=info.bit_depth,
            resolution=density[::-1] if density is not None and turn.swap else density,
            swapped=turn.swap,
        )

    @property
    def size(self) -> Size:
        """Of the finest level."""
        return self.levels[0]

    def stored(self, size: Size) -> Size:
        """A size of the upright image as the file has it."""
        return Size(size.width, size.height) if self.swapped else size

    @property
    def pyramid(self) -> Pyramid:
        """The image as Zarr has it: as stored."""
        density = None if self.resolution is None else Resolution(*self.resolution)
        return Pyramid(
            levels=tuple(self.stored(size) for size in self.levels),
            tile=None if self.tile is None else self.stored(self.tile),
            bands=self.bands,
            dtype=self.dtype,
            depth=self.depth,
            resolution=Resolution(density.x, density.y) if density is not None and self.swapped else density,
        )

    def dump(self) -> bytes:
        """As JSON."""
        names = ("levels", "tile", "format", "version", "bands", "dtype", "depth", "resolution", "swapped")
        return json.dumps({name: getattr(self, name) for name in names}).encode()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """From JSON that ``dump`` made."""
        said = json.loads(data)
        return cls(
            levels=tuple(Size(*level) for level in said["levels"]),
            tile=None if said["tile"] is None else Size(*said["tile"]),
            format=said["format"],
            version=(said["version"][0], said["version"][1]),
            bands=said["bands"],
            dtype=said["dtype"],
            depth=said["depth"],
            resolution=None if said["resolution"] is None else (said["resolution"][0], said["resolution"][1]),
            swapped=said["swapped"],
        )
