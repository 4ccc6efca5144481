"""References: the chunks of an image's levels as spans of its own file, for readers without Ziggurat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat.codestream.chunk import TRAILER
from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.image import Image
from ziggurat.interop.fits import fits_levels
from ziggurat.interop.multiscale import array, group
from ziggurat.interop.planes import pyramid_of
from ziggurat.interop.spans import LevelReferences
from ziggurat.interop.tiff import tiff_levels
from ziggurat.interop.virtual import FORMATS, codecs, grids, tile_chunks
from ziggurat.model import JSON


@dataclass(frozen=True, slots=True)
class References:
    """A group of levels whose chunks lie in files as they are.

    Attributes:
        urls: of the files: one, or one a plane of a stack.
        document: the group's ``zarr.json``.
        levels: finest first.
    """

    urls: tuple[str, ...]
    document: dict[str, JSON]
    levels: tuple[LevelReferences, ...]

    def urls_of(self, level: LevelReferences) -> list[str | None]:
        """Of the file that each chunk of a level lies in, in the order of the array; None of one that is not there."""
        plane = np.zeros(level.offset.shape, np.int64)
        if level.grid.planes is not None:
            plane += np.arange(level.grid.planes)[:, None, None]
        there = level.length.ravel() > 0
        return [
            self.urls[at] if known else None for at, known in zip(plane.ravel().tolist(), there.tolist(), strict=True)
        ]


def references(images: Sequence[Image], *, stack: bool) -> References:
    """Finds where the chunks of images lie.

    Args:
        images: one, or the planes of a stack, open.
        stack: whether they are planes of a stack, even if there is but one.

    Raises:
        UnsupportedFeature: if their pixels cannot be had by decoding spans of their files.
        UsageError: if a file has to be laid out anew first, or a plane is not of the first one's kind.
        CorruptImage: if they are damaged.
    """
    planes = len(images) if stack else None
    pyramid = pyramid_of(images[0], planes)
    found = [_of_image(image, planes) for image in images]
    for image, own in zip(images, found, strict=True):
        if [level.document for level in own] != [level.document for level in found[0]]:
            raise UsageError(f"{image.url} is not stored as the first plane of the stack is: {images[0].url}")
    levels = tuple(map(_stacked, zip(*found, strict=True)))
    name = images[0].url.rstrip("/").rpartition("/")[2]
    document = group(pyramid, name, [level.document for level in levels])
    return References(tuple(image.url for image in images), document, levels)


def _of_image(image: Image, planes: int | None) -> list[LevelReferences]:
    match image.info.format:
        case name if name in FORMATS:
            return _jpeg2000(image, planes)
        case "tiff":
            return tiff_levels(image, planes)
        case "fits":
            return fits_levels(image, planes)
    raise UnsupportedFeature(
        f"{image.url} is {image.info.format}: there are references for JPEG 2000, TIFF and FITS; ziggurat.zarr_store "
        "shows every format as Zarr"
    )


def _jpeg2000(image: Image, planes: int | None) -> list[LevelReferences]:
    tiles = tile_chunks(image)
    made = grids(tiles.main, [level.shape for level in image.info.levels], planes)
    spans = tiles.spans(len(made))
    found = []
    for level, grid in enumerate(made):
        shape = grid.plane_counts
        trailer = 0 if tiles.suits_openjph(level) else TRAILER
        offset = spans[level, :, 0].reshape(shape)
        length = (spans[level, :, 1] + trailer).reshape(shape) - offset
        found.append(LevelReferences(grid, array(grid, image.info.dtype, codecs(tiles, level)), offset, length))
    return found


def _stacked(levels: Sequence[LevelReferences]) -> LevelReferences:
    """A level of all planes."""
    first = levels[0]
    if first.grid.planes is None:
        return first
    offset = np.concatenate([level.offset for level in levels], axis=-3)
    length = np.concatenate([level.length for level in levels], axis=-3)
    return LevelReferences(first.grid, first.document, offset, length)
