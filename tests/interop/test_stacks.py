"""Images that lie one behind the other, in one file or in many, as one array with axes t and z."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import fsspec
import imagecodecs
import numpy as np
import pytest
import tifffile
import xarray
import zarr
from astropy.io import fits
from ome_zarr_models.v05 import Image as OmeImage
from zarr.storage import FsspecStore

import ziggurat
from s3_server import NEEDS_S3, S3Server
from tiled_pictures import picture
from ziggurat.cli import run
from ziggurat.errors import SourceNotFound, UnsupportedFeature, UsageError

TIMES, CHANNELS, DEPTH = 2, 3, 4


def volume(dtype: str = "uint16") -> np.ndarray:
    """Axes (t, c, z, y, x); no two planes are alike."""
    plane = picture(1, dtype)
    shifts = range(TIMES * CHANNELS * DEPTH)
    return np.stack([np.roll(plane, 5 * n, axis=1) for n in shifts]).reshape(TIMES, CHANNELS, DEPTH, *plane.shape)


def coarser(planes: np.ndarray, tmp_path: Path, level: int) -> np.ndarray:
    """That level of each plane, as an image of its own has it."""
    made = []
    for plane in planes.reshape(-1, *planes.shape[-2:]):
        tifffile.imwrite(tmp_path / "plane.tif", plane, tile=(64, 64))
        with ziggurat.open(str(tmp_path / "plane.tif")) as image:
            made.append(image.read(level)[..., 0])
    return np.stack(made).reshape(*planes.shape[:-2], *made[0].shape)


def opened(url: str | list[str], **options: Any) -> zarr.Group:
    return zarr.open_group(ziggurat.zarr_store(url, **options), mode="r")


def referred(tmp_path: Path, *arguments: str) -> zarr.Group:
    out = tmp_path / "references.json"
    assert run(["references", *arguments, str(out), "--overwrite"]) == 0
    files = fsspec.filesystem("reference", fo=str(out), asynchronous=True, skip_instance_cache=True)
    return zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")


def names(group: zarr.Group) -> tuple[str, ...]:
    array = group["0"]
    assert isinstance(array, zarr.Array)
    return tuple(str(name) for name in array.metadata.dimension_names)


# The order of the pages is the file's affair: the axes of the array are always t, c, z, y, x.
ORDERS: dict[str, tuple[int, ...]] = {"TCZYX": (0, 1, 2, 3, 4), "TZCYX": (0, 2, 1, 3, 4), "CZTYX": (1, 2, 0, 3, 4)}


@pytest.mark.parametrize("axes", ORDERS)
def test_an_ome_tiff_has_its_own_axes(axes: str, tmp_path: Path) -> None:
    pixels, path = volume(), tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, pixels.transpose(ORDERS[axes]), ome=True, metadata={"axes": axes}, tile=(64, 64))
    for group in (opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")):
        assert names(group) == ("t", "c", "z", "y", "x")
        assert np.array_equal(group["0"][...], pixels)
        assert [axis.name for axis in OmeImage.from_zarr(group).ome_attributes.multiscales[0].axes] == list("tczyx")
    # Without it the file is the one image that others take it for: its first plane.
    assert np.array_equal(opened(str(path))["0"][...], pixels[0, :, 0])


def test_levels_of_a_stack_are_in_y_and_x(tmp_path: Path) -> None:
    pixels = np.tile(volume()[0, 0], (1, 3, 3))
    path = tmp_path / "volume.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels, subifds=1, metadata={"axes": "ZYX"}, tile=(64, 64), compression="zstd")
        tif.write(pixels[:, ::2, ::2], subfiletype=1, tile=(64, 64), compression="zstd")
    group, references = opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")
    for levels in (group, references):
        assert np.array_equal(levels["1"][...], pixels[:, ::2, ::2])
    assert np.array_equal(group["0"][2:3, 100:200, :50], pixels[2:3, 100:200, :50])
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, tile=(64, 64))
    assert np.array_equal(opened(str(path), stack=True)["1"][...], coarser(pixels, tmp_path, 1))


def test_dask_and_xarray_read_stacks(tmp_path: Path) -> None:
    pixels, path = volume(), tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "TCZYX"}, tile=(64, 64))
    store = ziggurat.zarr_store(str(path), stack=True)
    deepest = da.from_zarr(zarr.open_group(store, mode="r")["0"]).max(axis=2).compute()
    assert np.array_equal(deepest, pixels.max(axis=2))
    data = xarray.open_dataset(store, engine="zarr", zarr_format=3, consolidated=True)
    assert data["0"].dims == ("t", "c", "z", "y", "x")
    assert np.array_equal(data["0"].isel(t=1, z=3).values, pixels[1, :, 3])


def test_pages_are_a_depth_unless_imagej_says_what_they_are(tmp_path: Path) -> None:
    pixels, path = volume(), tmp_path / "pages.tif"
    tifffile.imwrite(path, pixels[0, 0], photometric="minisblack")
    for group in (opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")):
        assert names(group) == ("z", "y", "x")
        assert np.array_equal(group["0"][...], pixels[0, 0])
    colours = np.stack([np.roll(picture(3, "uint8"), n, axis=0) for n in range(3)])
    tifffile.imwrite(path, colours, photometric="rgb", tile=(64, 64), compression="jpeg", subsampling=(1, 1))
    for group in (opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")):
        assert names(group) == ("c", "z", "y", "x")
        for number in range(3):
            with ziggurat.open(str(path)) as image, image.plane(number) as plane:
                assert np.array_equal(group["0"][:, number], np.moveaxis(plane.read(), 2, 0))
    tifffile.imwrite(path, pixels.transpose(0, 2, 1, 3, 4), imagej=True, metadata={"axes": "TZCYX"})
    for group in (opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")):
        assert names(group) == ("t", "c", "z", "y", "x")
        assert np.array_equal(group["0"][...], pixels)


def test_channels_alone_are_no_stack_but_bands(tmp_path: Path) -> None:
    pixels, path = volume()[0, :, 0], tmp_path / "channels.tif"
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "CYX"})
    for group in (opened(str(path), stack=True), referred(tmp_path, str(path), "--stack")):
        assert names(group) == ("c", "z", "y", "x")
        assert np.array_equal(group["0"][:, 0], pixels)


def _packed(cube: np.ndarray, path: Path) -> None:
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(cube, tile_shape=(*[1] * (cube.ndim - 3), 2, 100, 411))]
    ).writeto(path)


@pytest.mark.parametrize("write", [lambda cube, path: fits.writeto(path, cube), _packed], ids=["plain", "compressed"])
def test_the_axes_of_a_fits_cube(write: Callable[[np.ndarray, Path], None], tmp_path: Path) -> None:
    cube = volume("uint8")[0].astype("int16")
    write(cube[0], tmp_path / "cube.fits")
    with ziggurat.open(str(tmp_path / "cube.fits")) as image:
        assert (image.info.bands, image.stack.depth, image.stack.times) == (DEPTH, DEPTH, None)
        with image.plane(2) as plane:
            assert np.array_equal(plane.read()[..., 0], cube[0, 2])
        assert np.array_equal(image.read(), np.moveaxis(cube[0], 0, 2))
    group = opened(str(tmp_path / "cube.fits"), stack=True)
    assert names(group) == ("z", "y", "x")
    assert np.array_equal(group["0"][...], cube[0])
    write(cube, tmp_path / "times.fits")
    group = opened(str(tmp_path / "times.fits"), stack=True)
    assert names(group) == ("t", "z", "y", "x")
    assert np.array_equal(group["0"][...], cube)
    if write is not _packed:
        assert np.array_equal(referred(tmp_path, str(tmp_path / "times.fits"), "--stack")["0"][...], cube)


def test_a_folder_and_a_pattern_are_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    planes = volume()[0, 0]
    for number, plane in zip((1, 2, 10, 11), planes, strict=True):
        data = imagecodecs.htj2k_encode(plane, tile=(128, 128), resolutions=3, reversible=True)
        (folder / f"slice{number}.j2c").write_bytes(data)
    (folder / "notes.txt").write_text("not an image")
    for place in (str(folder), f"{folder}/*.j2c", folder.as_uri() + "/"):
        for virtual in (False, True):
            group = opened(place, virtual=virtual)
            assert names(group) == ("z", "y", "x")
            assert np.array_equal(group["0"][...], planes)
    assert np.array_equal(opened(f"{folder}/slice1?.j2c")["0"][...], planes[2:])
    for path in folder.glob("*.j2c"):
        laid = folder.with_name("laid") / path.name
        laid.parent.mkdir(exist_ok=True)
        assert run(["transcode", str(path), str(laid), "--layout", "chunks"]) == 0
    assert np.array_equal(referred(tmp_path, str(tmp_path / "laid"))["0"][...], planes)
    with pytest.raises(SourceNotFound):
        ziggurat.zarr_store(f"{folder}/*.png")
    imagecodecs.imwrite(folder / "slice3.png", picture(1, "uint8"))
    with pytest.raises(UsageError, match="differs in size"):
        opened(str(folder))["0"][...]


def test_files_of_a_depth_each_are_points_in_time(tmp_path: Path) -> None:
    pixels = volume()
    paths = [str(tmp_path / f"{number}.tif") for number in range(TIMES)]
    for path, planes in zip(paths, pixels[:, 0], strict=True):
        tifffile.imwrite(path, planes, photometric="minisblack", tile=(64, 64))
    for group in (opened(paths, stack=True), referred(tmp_path, *paths, "--stack")):
        assert names(group) == ("t", "z", "y", "x")
        assert np.array_equal(group["0"][...], pixels[:, 0])
    tifffile.imwrite(paths[1], pixels[0, 0, :2], photometric="minisblack", tile=(64, 64))
    with pytest.raises(UsageError, match="not as many planes"):
        opened(paths, stack=True)["0"][...]
    ome = tmp_path / "both.ome.tif"
    tifffile.imwrite(ome, pixels[:, 0], metadata={"axes": "TZYX"})
    with pytest.raises(UsageError, match="points in time"):
        opened([str(ome), str(ome)], stack=True)


def test_what_makes_no_stack_says_so(tmp_path: Path) -> None:
    path = tmp_path / "many.tif"
    with tifffile.TiffWriter(path) as tif:
        for _ in range(1100):
            tif.write(np.zeros((8, 8), np.uint8), contiguous=False, metadata=None)
    with pytest.raises(UnsupportedFeature, match="1100 directories"):
        ziggurat.zarr_store(str(path), stack=True)
    with ziggurat.open(str(path)) as image:
        assert image.read().shape == (8, 8, 1)
    tifffile.imwrite(path, volume()[0, 0], photometric="minisblack")
    with ziggurat.open(str(path)) as image, pytest.raises(UsageError, match="planes 0 to 3, not 4"):
        image.plane(4)
    # An image of no stack may be one of one plane.
    tifffile.imwrite(path, picture(1, "uint8"))
    assert opened(str(path), stack=True)["0"].shape == (1, 301, 411)


class TestOnS3:
    pytestmark = NEEDS_S3

    def test_a_prefix_and_a_pattern_of_a_store_are_stacks(
        self, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        bucket, planes = s3.make_bucket("slices"), volume()[0, 0]
        for number, plane in zip((1, 2, 10, 11), planes, strict=True):
            tifffile.imwrite(tmp_path / "plane.tif", plane, tile=(64, 64))
            s3.client.upload_file(str(tmp_path / "plane.tif"), bucket, f"scan/z{number}.tif")
        for place in (f"s3://{bucket}/scan/", f"s3://{bucket}/scan/*.tif"):
            assert np.array_equal(opened(place)["0"][...], planes)
