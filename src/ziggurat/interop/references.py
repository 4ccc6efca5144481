"""References: the chunks of an image's levels as spans of its own file, for readers without Ziggurat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat.codestream.chunk import TRAILER
from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.image import Image
from ziggurat.interop.fits import fits_levels
from ziggurat.interop.multiscale import array, group
from ziggurat.interop.planes import Planes
from ziggurat.interop.spans import LevelReferences
from ziggurat.interop.tiff import tiff_levels
from ziggurat.interop.virtual import FORMATS, codecs, grids, tile_chunks
from ziggurat.model import JSON, Stack


@dataclass(frozen=True, slots=True)
class References:
    """A group of levels whose chunks lie in files as they are.

    Attributes:
        urls: of the file that each plane lies in; one of a single image.
        document: the group's ``zarr.json``.
        levels: finest first.
    """

    urls: tuple[str, ...]
    document: dict[str, JSON]
    levels: tuple[LevelReferences, ...]

    def urls_of(self, level: LevelReferences) -> list[str | None]:
        """Of the file that each chunk of a level lies in, in the order of the array; None of one that is not there."""
        one = np.zeros(level.grid.plane_counts, np.int64)
        files = level.grid.whole([one + number for number in range(len(self.urls))]).ravel()
        there = level.length.ravel() > 0
        return [self.urls[at] if known else None for at, known in zip(files.tolist(), there.tolist(), strict=True)]


def references(planes: Planes) -> References:
    """Finds where the chunks of images lie.

    Args:
        planes: the images.

    Raises:
        UnsupportedFeature: if their pixels cannot be had by decoding spans of their files.
        UsageError: if a file has to be laid out anew first, or a plane is not of the first one's kind.
        CorruptImage: if they are damaged.
    """
    urls, found = list[str](), list[list[LevelReferences]]()
    for number in range(planes.pyramid.stack.planes):
        with planes.borrow(number) as image:
            own = _of_image(image, planes.pyramid.stack)
            urls.append(image.url)
        found.append(own)
        if [level.document for level in own] != [level.document for level in found[0]]:
            raise UsageError(f"{urls[-1]} is not stored as the first plane of the stack is: {urls[0]}")
    levels = tuple(map(_whole, zip(*found, strict=True)))
    document = group(planes.pyramid, planes.name, [level.document for level in levels])
    return References(tuple(urls), document, levels)


def _of_image(image: Image, stack: Stack) -> list[LevelReferences]:
    match image.info.format:
        case name if name in FORMATS:
            return _jpeg2000(image, stack)
        case "tiff":
            return tiff_levels(image, stack)
        case "fits":
            return fits_levels(image, stack)
    raise UnsupportedFeature(
        f"{image.url} is {image.info.format}: there are references for JPEG 2000, TIFF and FITS; ziggurat.zarr_store "
        "shows every format as Zarr"
    )


def _jpeg2000(image: Image, stack: Stack) -> list[LevelReferences]:
    tiles = tile_chunks(image)
    made = grids(tiles.main, [level.shape for level in image.info.levels], stack)
    spans = tiles.spans(len(made))
    found = []
    for level, grid in enumerate(made):
        shape = grid.plane_counts
        trailer = 0 if tiles.suits_openjph(level) else TRAILER
        offset = spans[level, :, 0].reshape(shape)
        length = (spans[level, :, 1] + trailer).reshape(shape) - offset
        found.append(LevelReferences(grid, array(grid, image.info.dtype, codecs(tiles, level)), offset, length))
    return found


def _whole(planes: Sequence[LevelReferences]) -> LevelReferences:
    """A level of all planes."""
    grid, document = planes[0].grid, planes[0].document
    offset = grid.whole([plane.offset for plane in planes])
    return LevelReferences(grid, document, offset, grid.whole([plane.length for plane in planes]))
