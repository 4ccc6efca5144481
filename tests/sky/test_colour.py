"""Colours: Lupton's pictures as astropy makes them, for any number of bands and without being told a stretch."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.visualization import make_lupton_rgb

from sky_files import save, sky, tan
from ziggurat.errors import UsageError
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.bands import parse_bands
from ziggurat.sky.colour import ColourOptions, compose, mixing
from ziggurat.sky.one import cut_one
from ziggurat.sky.options import CutoutOptions

GRI = ("g", "r", "i")


def planes(count: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Noise of 0.02 and stars of all brightnesses, each with a colour of its own."""
    rng = np.random.default_rng(seed)
    image = np.zeros((80, 90))
    for _ in range(40):
        y, x, flux = rng.integers(5, 75), rng.integers(5, 85), rng.exponential(3)
        rows, columns = np.mgrid[:80, :90]
        image += flux * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 6)
    return [image * (0.5 + band / 2) + rng.normal(0, 0.02, image.shape) for band in range(count)]


@pytest.mark.parametrize(("minimum", "stretch", "q"), [(0.0, 0.5, 8.0), (-0.05, 2.0, 10.0), (0.1, 0.3, 3.0)])
def test_a_fixed_stretch_is_astropys(minimum: float, stretch: float, q: float) -> None:
    g, r, i = planes()
    ours = compose((g, r, i), GRI, ColourOptions(minimum=minimum, stretch=stretch, q=q))
    theirs = make_lupton_rgb(i, r, g, minimum=minimum, stretch=stretch, Q=q)
    # Where a band is below black the intensity is one of all bands here, of those above there.
    bright = np.minimum(np.minimum(g, r), i) > minimum
    assert np.abs(ours.astype(int) - theirs)[bright].max() <= 1


def test_the_colour_of_a_pixel_does_not_depend_on_its_brightness() -> None:
    faint = np.linspace(0.1, 1000, 50).reshape(1, -1)
    picture = compose((faint, 2 * faint, 4 * faint), GRI, ColourOptions(minimum=0.0, stretch=1.0)).astype(float)
    red, green, blue = np.moveaxis(picture, 2, 0)
    np.testing.assert_allclose(green[red > 100] / red[red > 100], 0.5, atol=0.01)
    np.testing.assert_allclose(blue[red > 100] / red[red > 100], 0.25, atol=0.01)
    assert picture.max() == 255


@pytest.mark.parametrize("curve", ["asinh", "linear", "log"])
@pytest.mark.parametrize(("level", "gain"), [(0.0, 1.0), (1000.0, 1.0), (-3.0, 1e-6), (5.0, 1e7)])
def test_the_automatic_stretch_suits_any_level_and_unit(curve: str, level: float, gain: float) -> None:
    options = ColourOptions(curve=curve)  # type: ignore[arg-type]
    plain = compose(planes(), GRI, options)
    other = compose([plane * gain + level for plane in planes()], GRI, options)
    assert np.abs(plain.astype(int) - other).max() <= 1
    assert np.percentile(plain.max(axis=2), 99.9) == 255
    assert np.median(plain) < 40


def test_noise_is_dark_and_faint_stars_are_seen_by_themselves() -> None:
    picture = compose(planes(), GRI, ColourOptions())
    grey = picture.mean(axis=2)
    star = np.mean(planes(), axis=0) > 0.2
    assert np.median(grey[~star]) < 20
    assert grey[star].min() > 30


def test_bands_are_spread_from_blue_to_red() -> None:
    np.testing.assert_array_equal(mixing(GRI), [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    red, green, blue = mixing("ugriz")
    assert (red @ range(5), green @ range(5), blue @ range(5)) == pytest.approx((11 / 3, 2, 1 / 3))
    for count in range(1, 9):
        np.testing.assert_allclose(mixing("abcdefgh"[:count]).sum(axis=1), 1)
    np.testing.assert_array_equal(mixing("ugriz", ("i", "r", "g")), np.eye(5)[[3, 2, 1]])
    assert compose(planes(1), ["r"], ColourOptions()).shape == (80, 90, 1)
    assert compose(planes(2), ["g", "r"], ColourOptions()).shape == (80, 90, 3)


def test_bands_can_be_scaled() -> None:
    g, r, i = planes()
    scaled = compose((g, r, i), GRI, ColourOptions(minimum=0.0, stretch=1.0, scales=(2.0, 1.0, 0.5)))
    np.testing.assert_array_equal(scaled, compose((2 * g, r, i / 2), GRI, ColourOptions(minimum=0.0, stretch=1.0)))


@pytest.mark.parametrize("empty", [np.nan, np.inf])
def test_pixels_without_a_value_are_black_and_disturb_no_others(empty: float) -> None:
    found = planes()
    for plane in found:
        plane[:10] = empty
    picture = compose(found, GRI, ColourOptions())
    assert not picture[:10].any()
    assert picture[10:].any()
    assert not compose([np.full((4, 4), empty)] * 3, GRI, ColourOptions()).any()
    assert not compose([np.zeros((4, 4))] * 3, GRI, ColourOptions()).any()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="--band-scales has 2 factors, there are 3 bands"):
        compose(planes(), GRI, ColourOptions(scales=(1.0, 2.0)))
    with pytest.raises(UsageError, match="--rgb names 'z'; the bands of the picture are g, r, i"):
        compose(planes(), GRI, ColourOptions(rgb=("z", "r", "g")))
    for wrong in ({"q": 0.0}, {"stretch": -1.0}, {"quality": 0}, {"rgb": ("r", "g")}, {"scales": (-1.0,)}):
        with pytest.raises(UsageError):
            ColourOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "avif"])
def test_pictures_have_the_last_row_on_top_and_the_size_of_the_cutout(tmp_path: Path, kind: str) -> None:
    for number, band in enumerate("gri"):
        pixels = sky((120, 120), number)
        # A bright bar at the file's last rows, which lie in the north.
        pixels[84:90, 40:80] += 30
        save(tmp_path / f"{band}.fits", (pixels, tan(150, 2, (120, 120), FILTER=band)))
    wanted = CutoutOptions(kind=kind, extent=parse_extent("60px"), bands=parse_bands("g,r,i"))
    made = cut_one([str(tmp_path)], SkyCoord(150, 2, unit="deg"), wanted, memory=1 << 30)
    picture = imagecodecs.imread(made.data, codec={"jpg": "jpeg"}.get(kind, kind)).astype(float)
    assert picture.shape == (60, 60, 3)
    assert picture[:6].mean() > 150
    assert picture[54:].mean() < 60


def test_bands_on_different_pixels_are_brought_onto_one_grid(tmp_path: Path) -> None:
    for number, band in enumerate("gri"):
        header = tan(150 + number * 1e-4, 2, (120, 120), turn=5 * number, FILTER=band)
        save(tmp_path / f"{band}.fits", (sky((120, 120), number), header))
    wanted = CutoutOptions(kind="png", extent=parse_extent("40px"), method="interp")
    made = cut_one([str(tmp_path)], SkyCoord(150, 2, unit="deg"), wanted, memory=1 << 30)
    assert imagecodecs.png_decode(made.data).shape == (40, 40, 3)
    assert "bands g, r, i" in made.summary
