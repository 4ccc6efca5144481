"""``zarr_store``: any image, or a stack of images, as a Zarr store."""

from collections.abc import Sequence
from functools import partial

import zarr

from ziggurat.image import DEFAULT_MEMORY, Image
from ziggurat.interop.decoded import DecodedLevels
from ziggurat.interop.files import planes_at
from ziggurat.interop.planes import Planes
from ziggurat.interop.store import KEPT, ImageStore
from ziggurat.interop.virtual import VirtualLevels


def zarr_store(
    url: str | Sequence[str],
    *,
    stack: bool = False,
    virtual: bool = False,
    memory: int = DEFAULT_MEMORY,
    cache: int = KEPT,
) -> ImageStore:
    """Opens an image as an OME-Zarr 0.5 group: one array a level, axes (t, c, z, y, x), those that there are.

    Chunks are made when they are asked for, in threads, and kept as long as there is room for them. The store may be
    pickled, and is read-only: ``zarr.open_group(store, mode="r")``.

    Args:
        url: path or URL of an image. Several of the same size and kind are the planes of a stack and get the axis z:
            URLs in their order, or a folder or a pattern (``*``, ``?``, ``[...]``, ``**``) whose names are put into
            natural order.
        stack: give the planes within a file axes too, even a single one: z and t of an OME-TIFF, an ImageJ TIFF or a
            TIFF of several pages; the third axis of a FITS image is z then, and not c. Files of a z each are points
            in time.
        virtual: give out the file's own bytes instead of samples: every tile of a JPEG 2000 image is a chunk, and the
            reader decodes it with the codecs of imagecodecs-zarr. Levels are then those of the wavelet transform, and
            a coarse one reads none of the bytes of finer ones.
        memory: bytes that reading one chunk may take.
        cache: bytes of chunks that are kept.

    Raises:
        SourceError: if the bytes cannot be had.
        FormatError: if they are not an image that can be read, or that has no virtual levels or has planes along
            other axes (``UnsupportedFeature``).
        UsageError: if there are no images; while reading, if a plane is not of the first one's kind.
    """
    planes = planes_at(url, stack=stack, virtual=virtual, memory=memory)
    try:
        levels = VirtualLevels(planes) if virtual else DecodedLevels(planes)
    except BaseException:
        planes.close()
        raise
    place = url if isinstance(url, str) else tuple(url)
    again = partial(zarr_store, place, stack=stack, virtual=virtual, memory=memory, cache=cache)
    return ImageStore(levels, again, cache)


def to_zarr(image: Image, again: partial[Image] | None) -> zarr.Group:
    """The group of an open image, which must stay open; see ``Image.to_zarr``.

    Args:
        image: it.
        again: opens it once more; None where that is not possible.
    """
    levels = DecodedLevels(Planes([again], first=image))
    reopened = None if again is None else partial(_reopened, again)
    return zarr.open_group(ImageStore(levels, reopened), mode="r")


def _reopened(again: partial[Image]) -> ImageStore:
    return ImageStore(DecodedLevels(Planes([again])), partial(_reopened, again))
