"""What is not 8-bit is shown sensibly, and as the query says."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fits_files import plain
from serving import Server, serving


def deep() -> np.ndarray:
    """12 bits in 16, as microscopes write them: 100 to 4000 from left to right."""
    across = np.linspace(100, 4000, 400)
    return np.broadcast_to(across, (300, 400)).astype(np.uint16)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("measured")
    tifffile.imwrite(folder / "deep.tif", deep())
    tifffile.imwrite(folder / "photo.tif", np.full((20, 30, 3), 257 * 100, np.uint16), photometric="rgb")
    bands = np.stack([np.full((60, 80), 20 * band, np.uint8) for band in range(6)], axis=2)
    tifffile.imwrite(folder / "bands.tif", bands, photometric="minisblack", planarconfig="contig")
    floats = np.linspace(-1, 1, 300 * 200).reshape(200, 300).astype(np.float32)
    floats[0, :20] = np.nan
    floats[1, :20] = 1e30
    (folder / "floats.fits").write_bytes(plain(floats))
    with serving(folder, "--workers", 1) as server:
        yield server


def shown(server: Server, name: str, query: str = "") -> np.ndarray:
    answer = server.get(f"/iiif/3/{name}/full/max/0/default.png{query}")
    assert answer.status == 200, answer.body
    return answer.pixels.astype(int)


def test_measurements_fill_the_range_of_the_screen(measured: Server) -> None:
    pixels = shown(measured, "deep.tif")
    expected = (deep().astype(float) - 119.5) / (3980.5 - 119.5) * 255
    assert np.abs(pixels - np.clip(expected, 0, 255)).max() <= 2


def test_photographs_show_all_their_codes(measured: Server) -> None:
    assert (shown(measured, "photo.tif") == 100).all()


def test_values_that_are_none_are_black_and_do_not_count(measured: Server) -> None:
    pixels = shown(measured, "floats.fits")
    assert (pixels[0, :20] == 0).all()
    assert (pixels[1, :20] == 255).all()
    assert abs(int(pixels[100, 150]) - 128) < 4


@pytest.mark.parametrize(
    ("query", "value", "grey"),
    [
        ("range=0,4095", 2048, 128), ("range=2000,3000", 2500, 128), ("range=2000,3000", 1000, 0),
        ("range=2000,3000", 3500, 255), ("percentile=0,100", 2050, 128), ("range=0,4000&gamma=2", 1000, 128),
        ("range=0,4000&stretch=sqrt", 1000, 128), ("range=0,4000&stretch=linear", 1000, 64),
        ("range=0,4000&stretch=asinh", 1000, 255 * np.arcsinh(2.5) / np.arcsinh(10)),
        ("range=0,4000&stretch=log", 1000, 255 * np.log1p(250) / np.log1p(1000)),
        ("range=0,4000&invert=1", 1000, 191),
    ],
)  # fmt: skip
def test_the_query_says_what_is_black_and_white_and_the_curve_between(
    measured: Server, query: str, value: int, grey: float
) -> None:
    pixels = shown(measured, "deep.tif", f"?{query}")
    place = int(np.abs(deep()[0].astype(int) - value).argmin())
    assert abs(pixels[0, place] - grey) <= 2


def test_bands_are_chosen_and_coloured(measured: Server) -> None:
    assert (shown(measured, "bands.tif") == 0).all()
    assert (shown(measured, "bands.tif", "?bands=3") == 60).all()
    assert (shown(measured, "bands.tif", "?bands=5,0,2") == [100, 0, 40]).all()
    coloured = shown(measured, "deep.tif", "?colormap=viridis&range=100,4000")
    assert np.abs(coloured[0, 0] - [0x44, 0x01, 0x54]).max() <= 2
    assert np.abs(coloured[0, -1] - [0xFD, 0xE7, 0x25]).max() <= 3


def test_the_canonical_address_keeps_the_view(measured: Server) -> None:
    answer = measured.get("/iiif/3/deep.tif/full/max/0/default.png?other=1&range=1,2&gamma=1")
    assert "default.png?range=1.0,2.0>" in answer.headers["Link"]


@pytest.mark.parametrize(
    "query",
    ["bands=6", "bands=-1", "bands=1,2", "bands=x", "range=1", "range=2,1", "range=nan,1", "range=1,2&percentile=1,2",
     "percentile=5,101", "gamma=0", "gamma=x", "colormap=none", "stretch=none", "bands=1,2,3&colormap=heat",
     "range=" + "1" * 2000],
)  # fmt: skip
def test_what_makes_no_sense_is_said(measured: Server, query: str) -> None:
    answer = measured.get(f"/iiif/3/bands.tif/full/max/0/default.png?{query}")
    assert answer.status == 400
    assert len(answer.json["message"]) > 15


def test_real_measurements_are_neither_black_nor_white(shared_data: Path) -> None:
    for place, name in (
        ("astropy-data/tutorials/FITS-images", "HorseHead.fits"),
        ("astropy-wheel/astropy/io/fits/hdu/compressed/tests/data", "m13_rice.fits"),
        ("sunpy/sunpy/data", "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"),
        ("cantaloupe", "jp2-6res-rgba-64x56x16-monotiled-lossy.jp2"),
        ("tiff/cogeotiff+rio-tiler/tests/fixtures", "cog_hirise_mars.tif"),
    ):
        with serving(shared_data / place, "--workers", 1) as server:
            pixels = server.get(f"/iiif/3/{name}/full/!400,400/0/default.jpg").pixels
        assert 10 < pixels.mean() < 245, name
        assert pixels.std() > 8, name
