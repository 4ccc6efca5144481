import io
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from ziggurat.format.tiff import open_reader
from ziggurat.testing.reader_contract import Case, ReaderContract

type Pixels = np.ndarray[Any, np.dtype[Any]]


def noise(*shape: int, dtype: Any = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def pages(*arrays: Pixels, **options: Any) -> Case:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as writer:
        for number, array in enumerate(arrays):
            rgb = "rgb" if array.ndim == 3 else "minisblack"
            writer.write(array, **{"photometric": rgb, "subfiletype": int(number > 0), "metadata": None} | options)
    return Case(file.getvalue(), tuple(array if array.ndim == 3 else array[..., None] for array in arrays))


def wide() -> Case:
    """Rows so long that their columns are fetched apart."""
    return pages(noise(60, 14_000, 3), rowsperstrip=60)


def planar() -> Case:
    array = noise(50, 70, 3, dtype=np.uint16)
    case = pages(np.ascontiguousarray(np.moveaxis(array, -1, 0)), photometric="rgb", planarconfig="separate")
    return Case(case.data, (array,))


def codestreams() -> Case:
    """Two tiles of JPEG 2000, and the level of their wavelets."""
    halves = [noise(64, 64, 3), 255 - noise(64, 64, 3)]
    tiles = [imagecodecs.jpeg2k_encode(half, level=0, codecformat="j2k", resolutions=2) for half in halves]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        iter(tiles),
        shape=(64, 128, 3),
        dtype=np.uint8,
        tile=(64, 64),
        compression=34712,
        photometric="rgb",
        metadata=None,
    )
    coarse = [imagecodecs.jpeg2k_decode(tile, skipres=1) for tile in tiles]
    return Case(file.getvalue(), (np.concatenate(halves, axis=1), np.concatenate(coarse, axis=1)))


class TestTiffReader(ReaderContract):
    format = "tiff"
    open_reader = staticmethod(open_reader)
    header_bytes = 1 << 19
    cases = {  # noqa: RUF012 - a table of the suite
        "raw strips": lambda: pages(noise(100, 90, 3), rowsperstrip=16),
        "raw tiles": lambda: pages(noise(96, 96, dtype=np.uint16), tile=(32, 48)),
        "wide": wide,
        "planar": planar,
        "packed tiles": lambda: pages(noise(200, 150, 3), tile=(32, 32), compression="zlib", bigtiff=True),
        "codestreams": codestreams,
    }
