"""Windows by the libraries that people use today, each as its documentation recommends. Runs in their interpreters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from window_task import LEVEL, OVERVIEW, Task

type Pixels = NDArray[np.uint8]

GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_NUM_THREADS": "ALL_CPUS",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "100000000",
    "CPL_VSIL_CURL_CACHE_SIZE": "200000000",
    "CPL_VSIL_CURL_CHUNK_SIZE": "262144",
}
"""What GDAL's and rasterio's documents recommend for reading parts of remote files; requests of 256 KiB at least,
which did best here of 16 KiB, 256 KiB and 1 MiB."""

PYRAMID = "ptiff"
PLAIN = "strips"
JP2 = ("jp2-plain", "jp2-precincts", "jp2-tiles")

STORE_BLOCK = 1 << 20
"""Bytes that s3fs reads ahead: 1 MiB."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One library.

    Attributes:
        load: imports it and tells its version.
        read: pixels (y, x, band) of a task.
    """

    load: Callable[[Task], str]
    read: Callable[[Task], Pixels]


def load_gdal(_: Task) -> str:
    """Imports rasterio."""
    import rasterio  # noqa: PLC0415 - measured

    return f"rasterio {rasterio.__version__} with GDAL {rasterio.__gdal_version__}"


def _gdal(task: Task, place: str, resampling: str) -> Pixels:
    import rasterio  # noqa: PLC0415 - measured
    from rasterio.enums import Resampling  # noqa: PLC0415 - measured
    from rasterio.windows import Window  # noqa: PLC0415 - measured

    y0, x0, y1, x1 = task.box
    with rasterio.Env(**GDAL_OPTIONS), rasterio.open(place) as image:
        shape = (image.count, *task.shape)
        part = None if task.aim == "overview" else Window(x0, y0, x1 - x0, y1 - y0)
        return np.moveaxis(image.read(window=part, out_shape=shape, resampling=Resampling[resampling]), 0, -1)


def read_gdal(task: Task) -> Pixels:
    """GDAL, with its default of the nearest pixel where there is no level of that size."""
    return _gdal(task, task.local or f"/vsis3/{task.key}", "nearest")


def read_gdal_average(task: Task) -> Pixels:
    """GDAL, averaging where there is no level of that size, as Ziggurat does."""
    return _gdal(task, task.local or f"/vsis3/{task.key}", "average")


def read_gdal_curl(task: Task) -> Pixels:
    """GDAL over plain HTTP."""
    return _gdal(task, f"/vsicurl/{task.endpoint}/{task.key}", "nearest")


def load_vips(_: Task) -> str:
    """Imports pyvips."""
    import pyvips  # noqa: PLC0415 - measured

    return f"libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}"


def read_vips(task: Task) -> Pixels:
    """Libvips: levels by ``page`` where the file has them, else by shrinking; overviews by its thumbnailer.

    The thumbnailer is given the right page: that of libvips 8.14 makes 176 x 96 of a JP2 where 1000 x 545 are wanted.
    """
    import pyvips  # noqa: PLC0415 - measured

    path = str(task.local)
    if task.aim == "overview":
        page = 0
        while task.kind in {*JP2, PYRAMID} and max(task.size) >> page + 1 >= OVERVIEW:
            page += 1
        high, wide = task.shape
        image = pyvips.Image.new_from_file(path, page=page)
        return np.asarray(image.thumbnail_image(wide, height=high, size="force").numpy())
    y0, x0, y1, x1 = task.coarse
    if not task.level or task.kind in {*JP2, PYRAMID}:
        image = pyvips.Image.new_from_file(path, page=task.level)
        return np.asarray(image.crop(x0, y0, x1 - x0, y1 - y0).numpy())
    y0, x0, y1, x1 = task.box
    image = pyvips.Image.new_from_file(path)
    return np.asarray(image.crop(x0, y0, x1 - x0, y1 - y0).shrink(1 << LEVEL, 1 << LEVEL).numpy())


def load_tifffile(task: Task) -> str:
    """Imports tifffile and zarr, and the decoder, which imagecodecs puts off until it is called."""
    import imagecodecs  # noqa: PLC0415 - measured
    import tifffile  # noqa: PLC0415 - measured
    import zarr  # noqa: PLC0415 - measured

    if task.local is None:
        import s3fs  # noqa: F401, PLC0415 - measured

    getattr(imagecodecs, {"ptiff": "jpeg8_decode", "deflate": "deflate_decode"}.get(task.kind, "none_decode"))
    return f"tifffile {tifffile.__version__} with zarr {zarr.__version__}"


def read_tifffile(task: Task) -> Pixels:
    """Tifffile: its memory map where nothing is compressed and local, else its Zarr store."""
    import tifffile  # noqa: PLC0415 - measured

    if task.local is not None:
        if task.kind == PLAIN:
            return np.ascontiguousarray(_cut(tifffile.memmap(task.local, mode="r"), task))
        with tifffile.TiffFile(task.local) as file:
            return _tifffile(file, task)
    import s3fs  # noqa: PLC0415 - measured

    store = s3fs.S3FileSystem(client_kwargs={"endpoint_url": task.endpoint})
    with store.open(task.key, block_size=STORE_BLOCK) as stream, tifffile.TiffFile(stream) as file:
        return _tifffile(file, task)


def _tifffile(file: Any, task: Task) -> Pixels:  # noqa: ANN401 - tifffile is only there in a peer's interpreter
    import zarr  # noqa: PLC0415 - measured

    levels = file.series[0].levels
    if len(levels) == 1:
        return _cut(zarr.open(file.aszarr(), mode="r"), task)
    if task.aim == "overview":
        fitting = [number for number, level in enumerate(levels) if max(level.shape) >= OVERVIEW]
        return np.asarray(zarr.open(file.aszarr(level=max(fitting)), mode="r")[:])
    y0, x0, y1, x1 = task.coarse
    return np.asarray(zarr.open(file.aszarr(level=task.level), mode="r")[y0:y1, x0:x1])


def _cut(image: Any, task: Task) -> Pixels:  # noqa: ANN401 - an array of zarr or numpy
    """A window of an array that has no levels; coarser ones by leaving out rows and columns."""
    if task.aim == "overview":
        step = max(1, max(task.size) // OVERVIEW)
        return np.asarray(image[::step, ::step])
    step = 1 << task.level
    y0, x0, y1, x1 = task.box
    return np.asarray(image[y0:y1:step, x0:x1:step])


def load_large_image(_: Task) -> str:
    """Imports large_image."""
    import large_image  # noqa: PLC0415 - measured

    return f"large_image {large_image.__version__}"


def read_large_image(task: Task) -> Pixels:
    """large_image, with the source that it chooses itself."""
    import large_image  # noqa: PLC0415 - measured
    from large_image.constants import TILE_FORMAT_NUMPY  # noqa: PLC0415 - measured

    image = large_image.open(task.local)
    high, wide = task.shape
    output = {"maxWidth": wide, "maxHeight": high}
    if task.aim == "overview":
        found, _ = image.getRegion(output=output, format=TILE_FORMAT_NUMPY)
    else:
        y0, x0, y1, x1 = task.box
        region = {"left": x0, "top": y0, "right": x1, "bottom": y1, "units": "base_pixels"}
        found, _ = image.getRegion(region=region, output=output, format=TILE_FORMAT_NUMPY)
    return np.asarray(found)


READERS: Mapping[str, Peer] = MappingProxyType(
    {
        "GDAL": Peer(load_gdal, read_gdal),
        "GDAL average": Peer(load_gdal, read_gdal_average),
        "GDAL vsicurl": Peer(load_gdal, read_gdal_curl),
        "libvips": Peer(load_vips, read_vips),
        "tifffile": Peer(load_tifffile, read_tifffile),
        "large_image": Peer(load_large_image, read_large_image),
    }
)
