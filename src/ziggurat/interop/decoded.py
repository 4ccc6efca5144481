"""Levels of any image as plain samples: a chunk is decoded when it is asked for."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from ziggurat.errors import UsageError
from ziggurat.interop.multiscale import Grid, array, grids, group, samples
from ziggurat.interop.planes import Planes
from ziggurat.model import JSON, Samples


def dumped(group_document: JSON, arrays: Sequence[JSON]) -> dict[str, bytes]:
    """The documents of a group and its levels, by key."""
    levels = {f"{number}/zarr.json": json.dumps(document).encode() for number, document in enumerate(arrays)}
    return {"zarr.json": json.dumps(group_document).encode(), **levels}


def chunk_of(pixels: Samples, shape: Sequence[int]) -> bytes:
    """The bytes of a chunk: samples in the order of the array's axes, little-endian; what pixels leave of it is 0.

    Args:
        pixels: (y, x, band).
        shape: of the chunk: bands, height and width.
    """
    planes = np.moveaxis(pixels, 2, 0)
    block = np.zeros(shape, pixels.dtype.newbyteorder("<"))
    block[: planes.shape[0], : planes.shape[1], : planes.shape[2]] = planes
    return block.tobytes()


class DecodedLevels:
    """A hierarchy of the samples that ``Image.read`` returns.

    Args:
        planes: the images, which are closed with it.
    """

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        image = planes.pyramid
        self.grids: Sequence[Grid] = grids(image)
        arrays = [array(grid, image.dtype, [samples(image.dtype)]) for grid in self.grids]
        self.documents: Mapping[str, bytes] = dumped(group(image, planes.name, arrays), arrays)

    def chunk(self, level: int, place: Sequence[int]) -> bytes:
        """The samples of one chunk in the order of the array's axes, little-endian; beyond the edges they are 0.

        Raises:
            ZigguratError: as reading the image does.
        """
        grid = self.grids[level]
        part = grid.part(place)
        if part is None:
            raise UsageError(f"level {level} has no chunk {'/'.join(map(str, place))}")
        with self._planes.borrow(part.plane) as image:
            pixels = image.read(level, part.window)
        first, behind = part.bands
        return chunk_of(pixels[:, :, first:behind], (grid.together, *grid.chunk))

    def close(self) -> None:
        """Closes the images."""
        self._planes.close()
