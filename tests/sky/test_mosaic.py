"""Cutouts on another grid: flux is kept, maps say what covers what, and results are reproject's."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp

from sky_files import SCALE, save, sky, stars, tan, wcs_of
from ziggurat.errors import CorruptImage, OutOfMemory, UsageError
from ziggurat.geometry import Size
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.grid import areas, made_grid, part_needed
from ziggurat.sky.make import BandCutout
from ziggurat.sky.one import cut, cut_one
from ziggurat.sky.options import CutoutOptions, Method

SIZE = (300, 320)
CENTRE = SkyCoord(150, 2, unit="deg")
FLUX = 1000.0


def options(size: str, **more: object) -> CutoutOptions:
    return CutoutOptions(kind="fits", extent=parse_extent(size), **more)  # type: ignore[arg-type]


def one(paths: list[Path], wanted: CutoutOptions, place: SkyCoord = CENTRE) -> BandCutout:
    [made] = cut([str(path) for path in paths], place, wanted, memory=2 << 30)
    return made


def places(count: int = 6) -> list[tuple[float, float]]:
    """Stars far from each other and from the edges of what the tests cut."""
    rng = np.random.default_rng(7)
    spots = [(x, y) for x in (-0.006, 0.0, 0.006) for y in (-0.004, 0.004)][:count]
    return [(150 + x + rng.uniform(-1, 1) * SCALE, 2 + y + rng.uniform(-1, 1) * SCALE) for x, y in spots]


def photometry(made: BandCutout, radius: float = 9 * SCALE) -> np.ndarray:
    """Flux within a radius, in degrees, of every star, against what was put in."""
    scale = np.sqrt(abs(np.linalg.det(made.grid.wcs.pixel_scale_matrix)))
    x, y = made.grid.wcs.all_world2pix(np.array(places()), 0).T
    rows, columns = np.mgrid[: made.grid.size.height, : made.grid.size.width]
    inside = np.hypot(columns - x[:, None, None], rows - y[:, None, None]) < radius / scale
    return np.nansum(np.where(inside, made.data, 0), axis=(1, 2)) / FLUX


@pytest.mark.parametrize("scale", [None, SCALE, 0.25 / 3600, 0.6 / 3600], ids=["as it is", "same", "finer", "coarser"])
@pytest.mark.parametrize("turn", [0.0, 23.0])
def test_exact_resampling_keeps_the_flux_of_injected_stars(tmp_path: Path, scale: float | None, turn: float) -> None:
    header = tan(150.003, 1.998, SIZE, turn=turn)
    path = save(tmp_path / "image.fits", (stars(header, SIZE, places(), FLUX).astype("f4"), header))
    made = one([path], options("0.022deg", scale=scale, projection="TAN" if scale is None else None))
    np.testing.assert_allclose(photometry(made), 1.0, atol=1e-3)
    assert np.nansum(made.data) == pytest.approx(FLUX * len(places()), rel=1e-3)


@pytest.mark.parametrize("method", ["interp", "adaptive"])
def test_faster_methods_keep_the_flux_of_well_sampled_stars(tmp_path: Path, method: Method) -> None:
    header = tan(150.003, 1.998, SIZE, turn=23)
    path = save(tmp_path / "image.fits", (stars(header, SIZE, places(), FLUX).astype("f4"), header))
    made = one([path], options("0.022deg", scale=SCALE, method=method))
    np.testing.assert_allclose(photometry(made), 1.0, atol=1e-3)


def test_flux_is_kept_where_distortion_changes_the_size_of_pixels(tmp_path: Path) -> None:
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 3e-4, "B_0_2": 3e-4}
    header = tan(150, 2, SIZE, **sip)
    pixel = areas(wcs_of(header), Size(*SIZE))
    assert pixel.max() / pixel.min() > 1.2
    # A sky of equal brightness: every pixel holds what its solid angle gets.
    path = save(tmp_path / "image.fits", ((pixel / SCALE**2).astype("f4"), header))
    made = one([path], options("0.02deg", scale=SCALE, method="interp"))
    np.testing.assert_allclose(made.data, 1.0, rtol=2e-3)
    bright = one([path], options("0.02deg", scale=SCALE, method="interp", quantity="brightness"))
    assert np.ptp(bright.data) > 0.05


def test_a_new_grid_of_brightness_is_what_reproject_makes(tmp_path: Path) -> None:
    header = tan(150.003, 1.998, SIZE, turn=23)
    pixels = sky(SIZE)
    path = save(tmp_path / "image.fits", (pixels, header))
    made = one([path], options("80px", scale=SCALE, method="interp", quantity="brightness"))
    grid = made_grid(CENTRE, Size(80, 80), SCALE, "TAN")
    theirs, _ = reproject_interp((pixels.astype("f8"), wcs_of(header)), grid.wcs, shape_out=(80, 80))
    np.testing.assert_allclose(made.data, theirs, atol=1e-5)
    assert made.grid.same_as(grid)


def test_images_that_cover_a_part_each_are_joined_on_the_best_ones_pixels(tmp_path: Path) -> None:
    left, right = tan(150.0151, 2, SIZE, turn=8), tan(149.987, 2, SIZE)
    paths = [
        save(tmp_path / f"{name}.fits", (stars(header, SIZE, places(), FLUX).astype("f4"), header))
        for name, header in (("left", left), ("right", right))
    ]
    made = one(paths, options("0.022deg"))
    assert len(made.used) == 2
    assert made.used[0].image.url.endswith("right.fits")
    assert made.coverage is not None
    assert set(np.unique(np.round(made.coverage))) == {1, 2}
    assert np.isfinite(made.data).all()
    np.testing.assert_allclose(photometry(made), 1.0, atol=1e-3)
    # The pixels of the best image stay where they were.
    x = made.grid.wcs.all_world2pix([[150, 2]], 0)[0][0]
    whole = wcs_of(right).all_world2pix([[150, 2]], 0)[0]
    assert x - whole[0] == pytest.approx(round(x - whole[0]), abs=1e-6)
    assert one(paths, options("0.022deg", fields="best")).coverage is None


def test_background_matching_takes_out_what_images_differ_by(tmp_path: Path) -> None:
    paths = []
    for name, header, level in (("a", tan(150.0151, 2, SIZE), 5.0), ("b", tan(149.987, 2, SIZE), 2.0)):
        paths.append(save(tmp_path / f"{name}.fits", (np.full(SIZE, level, "f4"), header)))
    apart = one(paths, options("0.022deg", method="interp"))
    assert np.ptp(apart.data[np.isfinite(apart.data)]) > 1
    matched = one(paths, options("0.022deg", method="interp", match_background=True))
    np.testing.assert_allclose(matched.data, 2.0, atol=1e-3)


def test_weights_rule_the_mean_and_bad_pixels_do_not_spread(tmp_path: Path) -> None:
    paths, header = [], tan(150, 2, SIZE)
    for name, level, weight in (("a", 1.0, 1.0), ("b", 4.0, 2.0)):
        weights = np.full(SIZE, weight, "f4")
        pixels = np.full(SIZE, level, "f4")
        if name == "b":
            weights[150, 160] = 0
            pixels[150, 160] = 1e9
        paths.append(save(tmp_path / f"{name}.fits", (pixels, header)))
        save(tmp_path / f"{name}.weight.fits", (weights, header))
    chosen = [path for path in paths if "weight" not in path.name]
    made = one(chosen, options("40px", fields="all", method="interp", weights="{stem}.weight.fits"))
    middle = np.median(made.data)
    assert middle == pytest.approx(3.0, rel=1e-5)
    assert made.weight is not None
    assert made.coverage is not None
    assert np.median(made.weight) == pytest.approx(3.0)
    assert np.median(made.coverage) == 2
    assert made.data.max() < 3.1
    assert made.data.min() == pytest.approx(1.0, rel=1e-5)
    assert made.coverage.min() == 1


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    header = tan(150, 2, SIZE)
    path = save(tmp_path / "a.fits", (sky(SIZE), header))
    save(tmp_path / "a.weight.fits", (sky((10, 10)), header))
    with pytest.raises(CorruptImage, match="sizes differ"):
        one([path], options("40px", scale=SCALE, weights="{stem}.weight.fits"))


def test_maps_are_extensions_with_the_same_place(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{n}.fits", (sky(SIZE, n), tan(150 + n * 0.02, 2, SIZE))) for n in (0, 1)]
    place, wanted = SkyCoord(150.01, 2, unit="deg"), options("40px", fields="all", method="interp")
    made = cut_one([str(path) for path in paths], place, wanted, memory=1 << 30)
    with fits.HDUList.fromstring(made.data) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "COVERAGE"]
        assert file[0].header["NCOMBINE"] == 2
        for keyword in ("CRPIX1", "CRVAL1", "CTYPE1"):
            assert file[0].header[keyword] == file[1].header[keyword]


def test_new_grids_have_north_up_and_the_target_in_the_middle(tmp_path: Path) -> None:
    path = save(tmp_path / "a.fits", (sky(SIZE), tan(150, 2, SIZE, turn=40)))
    made = cut_one([str(path)], CENTRE, options("41px", scale=SCALE, method="interp"), memory=1 << 30)
    with fits.HDUList.fromstring(made.data) as file:
        wcs = WCS(file[0].header)
    assert wcs.world_to_pixel(CENTRE) == pytest.approx((20, 20), abs=1e-6)
    north = wcs.world_to_pixel(SkyCoord(150, 2 + 5 * SCALE, unit="deg"))
    east = wcs.world_to_pixel(SkyCoord(150 + 5 * SCALE, 2, unit="deg"))
    assert north == pytest.approx((20, 25), abs=1e-3)
    assert east == pytest.approx((15, 20), abs=0.01)


@pytest.mark.parametrize("dec", [89.999, -89.9995])
def test_grids_over_a_pole_need_the_pixels_around_it(tmp_path: Path, dec: float) -> None:
    path = save(tmp_path / "pole.fits", (np.ones(SIZE, "f4"), tan(10, dec, SIZE, turn=12)))
    wanted = options("60px", scale=SCALE, method="interp", quantity="brightness")
    made = one([path], wanted, SkyCoord(200, dec, unit="deg"))
    assert np.isfinite(made.data).all()


def test_only_the_pixels_that_a_grid_needs_are_read() -> None:
    header = tan(150, 2, (2000, 2000), turn=30)
    grid = made_grid(SkyCoord(150.02, 2.03, unit="deg"), Size(100, 100), SCALE, "TAN")
    window = part_needed(grid, wcs_of(header), Size(2000, 2000), 4)
    assert window is not None
    assert window.height < 165
    assert window.width < 165
    far = made_grid(SkyCoord(10, -60, unit="deg"), Size(100, 100), SCALE, "TAN")
    assert part_needed(far, wcs_of(header), Size(2000, 2000), 4) is None


def test_cutouts_that_would_take_too_much_memory_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.fits", (sky(SIZE), tan(150, 2, SIZE)))
    with pytest.raises(OutOfMemory, match="the limit is 2048 MiB"):
        one([path], options("0.02deg", scale=SCALE / 1000))
    large = save(tmp_path / "b.fits", (np.zeros((3000, 3000), "f4"), tan(150, 2, (3000, 3000))))
    with pytest.raises(OutOfMemory, match="ask for a smaller one"):
        cut([str(large)], CENTRE, options("20px", scale=100 * SCALE), memory=1 << 29)
    with pytest.raises(UsageError, match="check the size"):
        one([path], options("100deg", scale=SCALE / 1000))
    with pytest.raises(UsageError, match="--project 'XYZ' is not one of"):
        one([path], options("10px", projection="XYZ"))


def test_undefined_pixels_stay_undefined(tmp_path: Path) -> None:
    pixels = np.ones(SIZE, "f4")
    pixels[140:160, 150:170] = np.nan
    path = save(tmp_path / "a.fits", (pixels, tan(150, 2, SIZE)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = one([path], options("60px", scale=SCALE, quantity="brightness"))
    assert np.isnan(made.data[28:32, 28:32]).all()
    assert np.isfinite(made.data[:10]).all()
