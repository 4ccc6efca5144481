"""Levels of any image as plain samples: a chunk is decoded when it is asked for."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from ziggurat.errors import UsageError
from ziggurat.interop.multiscale import Grid, array, grids, group, samples
from ziggurat.interop.planes import Planes
from ziggurat.model import JSON


def dumped(group_document: JSON, arrays: Sequence[JSON]) -> dict[str, bytes]:
    """The documents of a group and its levels, by key."""
    levels = {f"{number}/zarr.json": json.dumps(document).encode() for number, document in enumerate(arrays)}
    return {"zarr.json": json.dumps(group_document).encode(), **levels}


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
        block = np.zeros((grid.together, *grid.chunk), pixels.dtype.newbyteorder("<"))
        block[: behind - first, : part.window.height, : part.window.width] = np.moveaxis(
            pixels[:, :, first:behind], 2, 0
        )
        return block.tobytes()

    def close(self) -> None:
        """Closes the images."""
        self._planes.close()
