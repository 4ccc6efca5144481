"""OME-Zarr over HTTP, read by zarr-python and judged by the models of its specification."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from astropy.io import fits
from numpy.typing import NDArray
from ome_zarr_models.v05 import Image as OmeImage

import ziggurat
from jobs import encoded, picture, write_image
from serving import Server, serving

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

IMAGES = {
    "tiled.tif": "three bands in tiles, two levels, pixel size",
    "grey 16.tif": "strips of 16 bits",
    "stack/deep.tif": "strips of seven bands",
    "tiles.j2k": "wavelet levels",
    "plain.png": "decoded whole",
    "one.png": "a single pixel",
    "sky.fits": "floating point, one band",
    "turned.tif": "rows are columns",
    "signed.tif": "signed samples, big-endian",
}


def make(folder: Path) -> None:
    rgb = picture(1100, 900)
    tiles = {"tile": (256, 256), "photometric": "rgb"}
    with tifffile.TiffWriter(folder / "tiled.tif") as file:
        file.write(rgb, subifds=1, resolution=(40_000, 20_000), resolutionunit="CENTIMETER", **tiles)
        file.write(rgb[::2, ::2], subfiletype=1, **tiles)
    codes = np.arange(1300 * 700, dtype=np.uint16).reshape(1300, 700)
    tifffile.imwrite(folder / "grey 16.tif", codes, rowsperstrip=16, compression="zlib")
    (folder / "stack").mkdir()
    deep = np.random.default_rng(1).integers(0, 60_000, (300, 420, 7), np.uint16)
    tifffile.imwrite(folder / "stack" / "deep.tif", deep, photometric="minisblack", planarconfig="contig")
    (folder / "tiles.j2k").write_bytes(
        imagecodecs.htj2k_encode(picture(1000, 1300), reversible=True, resolutions=4, tile=(512, 512))
    )
    write_image(folder / "plain.png", picture(1030, 1500))
    write_image(folder / "one.png", picture(1, 1))
    fits.writeto(folder / "sky.fits", np.linspace(-1, 5, 640 * 530, dtype=np.float32).reshape(640, 530))
    tifffile.imwrite(folder / "turned.tif", rgb[:700, :300], extratags=[(274, "H", 1, 6, True)], **tiles)
    signed = np.arange(-5000, 5000, dtype=np.int16).reshape(100, 100)
    tifffile.imwrite(folder / "signed.tif", signed, byteorder=">")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("zarr")
    make(folder)
    cache = tmp_path_factory.mktemp("cache")
    with serving(folder, "--workers", 2, ZIGGURAT_CACHE=str(cache)) as server:
        yield server, folder


def group(server: Server, name: str) -> zarr.Group:
    from urllib.parse import quote  # noqa: PLC0415 - as a user would have it

    return zarr.open_group(f"{server.url}/zarr/{quote(name, safe='')}", mode="r", zarr_format=3)


def level(of: zarr.Group, number: int) -> zarr.Array[Any]:
    array = of[str(number)]
    assert isinstance(array, zarr.Array)
    return array


def as_read(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else np.moveaxis(pixels, 2, 0)


@pytest.mark.parametrize("name", IMAGES)
def test_every_level_is_what_is_read(arrays: tuple[Server, Path], name: str) -> None:
    server, folder = arrays
    opened = group(server, name)
    with ziggurat.open(str(folder / name)) as image:
        assert sorted(opened.array_keys()) == [str(number) for number in range(len(image.levels))]
        for number in range(len(image.levels)):
            array = level(opened, number)
            expected = as_read(image.read(number))
            assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
            assert np.array_equal(array[:], expected)
            assert np.array_equal(array[..., 5:, -7:], expected[..., 5:, -7:])


@pytest.mark.parametrize("name", IMAGES)
def test_the_metadata_is_what_its_specification_asks_for(arrays: tuple[Server, Path], name: str) -> None:
    model = OmeImage.from_zarr(group(arrays[0], name))
    [multiscale] = model.ome_attributes.multiscales
    assert [axis.name for axis in multiscale.axes][-2:] == ["y", "x"]
    assert len(multiscale.datasets) == len(list(model.members))


def test_scales_are_the_files_own(arrays: tuple[Server, Path]) -> None:
    [multiscale] = OmeImage.from_zarr(group(arrays[0], "tiled.tif")).ome_attributes.multiscales
    assert multiscale.name == "tiled"
    assert [axis.unit for axis in multiscale.axes] == [None, "micrometer", "micrometer"]
    told = [[one.model_dump() for one in data.coordinateTransformations] for data in multiscale.datasets]
    assert told[0][0]["scale"] == pytest.approx([1, 0.5, 0.25])
    assert told[1][0]["scale"] == pytest.approx([1, 1, 0.5])
    assert told[1][1]["translation"] == pytest.approx([0, 0.25, 0.125])
    plain = group(arrays[0], "plain.png").attrs.asdict()["ome"]["multiscales"][0]  # type: ignore[index,call-overload]
    assert "unit" not in plain["axes"][1]


def test_chunks_are_the_files_tiles(arrays: tuple[Server, Path]) -> None:
    assert level(group(arrays[0], "tiled.tif"), 0).chunks == (3, 256, 256)
    assert level(group(arrays[0], "tiles.j2k"), 0).chunks == (3, 512, 512)
    assert level(group(arrays[0], "grey 16.tif"), 0).chunks == (256, 700)


def test_an_array_is_opened_alone(arrays: tuple[Server, Path]) -> None:
    server, _ = arrays
    alone = zarr.open_array(f"{server.url}/zarr/stack%2Fdeep.tif/0", mode="r")
    assert alone.shape == (7, 300, 420)
    decoded = zarr.open_array(f"{server.url}/zarr/stack/deep.tif/0", mode="r")
    assert np.array_equal(decoded[3], alone[3])


def test_chunks_are_kept_and_known_again(arrays: tuple[Server, Path]) -> None:
    server, _ = arrays
    url = "/zarr/tiled.tif/0/c/0/1/2"
    first = server.get(url)
    made = server.metric('pictures_total{from="made"}')
    again = server.get(url)
    assert first.body == again.body
    assert server.metric('pictures_total{from="made"}') == made
    assert first.headers["Content-Type"] == "application/octet-stream"
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    assert server.get(url, If_None_Match=first.headers["ETag"]).status == 304
    assert len(imagecodecs.zstd_decode(first.body)) == 3 * 256 * 256
    document = server.get("/zarr/tiled.tif/zarr.json")
    assert server.get("/zarr/tiled.tif/zarr.json", If_None_Match=document.headers["ETag"]).status == 304


def test_chunks_come_from_the_disk_after_a_restart(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", picture(300, 300))
    told = {"ZIGGURAT_CACHE": str(tmp_path / "cache")}
    url = "/zarr/a.png/0/c/0/0/0"
    with serving(tmp_path / "in", "--workers", 1, **told) as server:
        before = server.get(url).body
        server.get("/zarr/a.png/1/zarr.json")
        server.get("/iiif/3/a.png/full/9,/0/default.png")  # the worker writes before it takes what comes next
    with serving(tmp_path / "in", "--workers", 1, **told) as server:
        assert server.get(url).body == before
        assert server.metric('pictures_total{from="disk"}') == 1
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])
    with serving(tmp_path / "in", "--workers", 1, **told) as server:
        assert server.get(url).body == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("tiled.tif/zarr.json", 200), ("tiled.tif/0/zarr.json", 200), ("tiled.tif/99/zarr.json", 404),
        ("tiled.tif/.zgroup", 404), ("tiled.tif/.zattrs", 404), ("tiled.tif/0/.zarray", 404), ("tiled.tif", 404),
        ("tiled.tif/0/c/0/0", 404), ("tiled.tif/0/c/0/0/0/0", 404), ("tiled.tif/0/c/1/0/0", 404),
        ("tiled.tif/0/c/0/99/0", 404), ("tiled.tif/0/c/0/00/0", 404), ("tiled.tif/0/c/0/-1/0", 404),
        ("tiled.tif/0/0/0/0", 404), ("none.tif/zarr.json", 404), ("", 404), ("zarr.json", 404), ("/zarr.json", 404),
        ("tiled.tif/9999999999/c/0/0/0", 404), ("none.tif/0/c/0/0/0", 503), ("..%2Fx/0/c/0/0/0", 503),
    ],
)  # fmt: skip
def test_what_is_there_and_what_is_not(arrays: tuple[Server, Path], path: str, status: int) -> None:
    assert arrays[0].get(f"/zarr/{path}").status == status


def test_damage_is_never_taken_for_fill_values(tmp_path: Path) -> None:
    data = encoded(picture(64, 64), ".png")
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with serving(tmp_path, "--workers", 1) as server:
        assert server.get("/zarr/a.png/0/c/0/0/0").status == 500
