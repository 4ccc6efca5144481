"""Cutouts on an image's own pixels are those of ``astropy.nddata.Cutout2D``, whatever the projection, and so is their
place on the sky."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel

from fits_files import image, unit
from sky_files import SCALE, save, sky, tan, wcs_of
from ziggurat.errors import CorruptImage, OutOfMemory
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.make import BandCutout
from ziggurat.sky.one import cut, cut_one
from ziggurat.sky.options import CutoutOptions

SIZE = (220, 300)

SIP: dict[str, Any] = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "A_1_1": -1e-5,
    "B_0_2": 3e-5, "B_1_1": 2e-5,
}  # fmt: skip
TPV: dict[str, Any] = {
    "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.05, "PV1_5": 0.02, "PV2_0": 0.0,
    "PV2_1": 1.0, "PV2_4": -0.03, "PV2_6": 0.04,
}  # fmt: skip
ZPN: dict[str, Any] = {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": -50.0}


def projected(name: str, **more: Any) -> dict[str, Any]:
    return {"CTYPE1": f"RA---{name}", "CTYPE2": f"DEC--{name}"} | more


HEADERS: dict[str, fits.Header] = {
    "TAN": tan(150, 2, SIZE),
    "TAN turned": tan(150, 2, SIZE, turn=37),
    "SIP": tan(150, 2, SIZE, turn=10, **SIP),
    "TPV": tan(150, 2, SIZE, turn=-20, **TPV),
    "ZPN": tan(150, 2, SIZE, **ZPN),
    "SIN": tan(150, -40, SIZE, **projected("SIN")),
    "ZEA": tan(150, -40, SIZE, scale=0.01, **projected("ZEA")),
    "CAR": tan(150, 0, SIZE, scale=0.02, **projected("CAR")),
    "GLS": tan(150, 0, SIZE, scale=0.02, **projected("GLS")),
    "AIT": tan(150, 0, SIZE, scale=0.5, **projected("AIT")),
    "galactic": tan(120, 30, SIZE, CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", RADESYS=None),
    "FK5": tan(150, 2, SIZE, RADESYS="FK5", EQUINOX=2000.0),
    "FK4": tan(150, 2, SIZE, RADESYS="FK4", EQUINOX=1950.0),
    "axes swapped": tan(2, 150, SIZE, CTYPE1="DEC--TAN", CTYPE2="RA---TAN"),
    "over 0 h": tan(0, 2, SIZE, turn=5),
    "north pole": tan(30, 89.99, SIZE, turn=5),
    "south pole": tan(0, -90, SIZE),
}


def options(size: str, **more: Any) -> CutoutOptions:
    return CutoutOptions(kind="fits", extent=parse_extent(size), **more)


def only(made: tuple[BandCutout, ...]) -> BandCutout:
    [band] = made
    return band


def written(path: Path, place: SkyCoord, wanted: CutoutOptions) -> fits.HDUList:
    made = cut_one([str(path)], place, wanted, memory=1 << 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=fits.verify.VerifyWarning)
        return fits.HDUList.fromstring(made.data, checksum=True)


def at(header: fits.Header, x: float, y: float) -> SkyCoord:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = WCS(header).all_pix2world([[x, y]], 0)[0][[0, 1]]
        if header["CTYPE1"].startswith("DEC"):
            ra, dec = dec, ra
        frame = "galactic" if header["CTYPE1"].startswith("GLON") else header["RADESYS"].lower()
        return SkyCoord(ra, dec, unit="deg", frame=frame).icrs


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(("x", "y"), [(201.3, 47.8), (3.2, 215.6)], ids=["inside", "corner"])
def test_pixels_and_places_are_those_of_cutout2d(tmp_path: Path, name: str, x: float, y: float) -> None:
    header, pixels = HEADERS[name], sky(SIZE)
    path = save(tmp_path / "image.fits", (pixels, header))
    place = at(header, x, y)
    with written(path, place, options("61px,40px")) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, wcs = file[0].data, WCS(file[0].header)
        whole = WCS(header)
        # Of axes in the other order astropy's positions would have x and y exchanged: there it gets the pixel.
        where = (x, y) if name == "axes swapped" else place
        theirs = Cutout2D(pixels, where, (61, 40), wcs=whole, mode="partial", fill_value=np.nan)
        np.testing.assert_array_equal(ours, theirs.data)
        assert ours.dtype.newbyteorder("=") == np.float32
        # Every corner of ours, by our header, is the pixel of the whole image that it was cut from.
        corners = np.array([(0, 0), (39, 0), (0, 60), (39, 60), (20, 30)])
        there = whole.all_world2pix(wcs.all_pix2world(corners, 0), 0)
        first = np.array(theirs.origin_original) - [part.start for part in theirs.slices_cutout[::-1]]
        assert np.hypot(*(there - first - corners).T).max() < 0.01


@pytest.mark.parametrize("name", ["TAN turned", "SIP", "ZEA", "galactic"])
def test_sizes_in_angles_are_the_pixels_of_cutout2d(tmp_path: Path, name: str) -> None:
    header, pixels = HEADERS[name], sky(SIZE)
    path = save(tmp_path / "image.fits", (pixels, header))
    place = at(header, 120.2, 99.7)
    side = 50.4 * abs(wcs_of(header).proj_plane_pixel_scales()[0].to_value(units.deg))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Cutout2D(pixels, place, side * units.deg, wcs=WCS(header), mode="partial", fill_value=np.nan)
    np.testing.assert_array_equal(
        only(cut([str(path)], place, options(f"{side}deg"), memory=1 << 30)).data, theirs.data
    )


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2"])
def test_compressed_images_are_cut_like_plain_ones(tmp_path: Path, kind: str) -> None:
    header = tan(150, 2, SIZE)
    path = save(tmp_path / "image.fits.fz", (sky(SIZE), header), kind=kind)
    place = at(header, 100, 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as file:
            theirs = Cutout2D(file[1].data, place, 50, wcs=WCS(header), mode="partial", fill_value=np.nan)
    with written(path, place, options("50px")) as ours:
        np.testing.assert_array_equal(ours[0].data, theirs.data)
        assert not any(keyword.startswith(("ZIMAGE", "ZTILE", "TFORM")) for keyword in ours[0].header)


@pytest.mark.parametrize(("bitpix", "cards"), [
    (16, {"BSCALE": 0.25, "BZERO": 100.0, "BLANK": -32768}),
    (16, {"BSCALE": 1.0, "BZERO": 32768.0, "BLANK": -32768}),
    (16, {"BLANK": 7}),
    (8, {}),
    (32, {"BLANK": -1, "BSCALE": 0.5, "BZERO": 0.0}),
])  # fmt: skip
def test_integers_become_physical_values_and_blanks_nan(tmp_path: Path, bitpix: int, cards: dict[str, Any]) -> None:
    stored = np.random.default_rng(3).integers(0, 100, SIZE)
    if "BLANK" in cards:
        stored[100:110, 140:150] = cards["BLANK"]
    header = tan(150, 2, SIZE)
    path = tmp_path / "image.fits"
    path.write_bytes(image(stored, bitpix, **cards, **dict(header.items())))
    made = only(cut([str(path)], at(header, 149.5, 109.5), options("40px"), memory=1 << 30))
    expected = stored[90:130, 130:170] * cards.get("BSCALE", 1.0) + cards.get("BZERO", 0.0)
    if "BLANK" in cards:
        expected[stored[90:130, 130:170] == cards["BLANK"]] = np.nan
    np.testing.assert_array_equal(made.data, expected)
    assert made.data.dtype == (np.float64 if bitpix == 32 else np.float32)


def test_cards_that_hold_for_a_part_are_kept_and_others_are_not(tmp_path: Path) -> None:
    more = {"BUNIT": "nanomaggy", "FILTER": "r", "EXPTIME": 53.9, "DATAMAX": 9.0, "LTV1": 3.0, "CRPIX1A": 5.0}
    header = tan(150, 2, SIZE, **more)
    path = save(tmp_path / "image.fits", (sky(SIZE), header))
    with written(path, at(header, 100, 100), options("30px")) as file:
        kept = file[0].header
        assert (kept["BUNIT"], kept["FILTER"], kept["EXPTIME"]) == ("nanomaggy", "r", 53.9)
        assert not {"DATAMAX", "LTV1", "CRPIX1A", "BZERO"} & set(kept)
        assert str(path) in "".join(kept["HISTORY"])
        assert {"CHECKSUM", "DATASUM", "NCOMBINE"} <= set(kept)


def test_headers_that_promise_more_than_the_file_holds_are_refused_at_once(tmp_path: Path) -> None:
    cards = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 10**8, "NAXIS2": 10**8}
    header = tan(150, 2, (10**8, 10**8), scale=1e-8)
    path = tmp_path / "huge.fits"
    path.write_bytes(unit(cards | dict(header.items()), bytes(1 << 20)))
    with pytest.raises(CorruptImage, match="it is truncated or its header lies"):
        cut([str(path)], SkyCoord(150, 2, unit="deg"), options("20px"), memory=1 << 30)


def test_cutouts_larger_than_the_memory_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "image.fits", (sky(SIZE), tan(150, 2, SIZE)))
    with pytest.raises(OutOfMemory, match="ask for a smaller one"):
        cut([str(path)], SkyCoord(150, 2, unit="deg"), options("100000px"), memory=1 << 30)


def test_the_same_cutout_is_the_same_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "image.fits", (sky(SIZE), tan(150, 2, SIZE)))
    place = SkyCoord(150, 2, unit="deg")
    one, two = (cut_one([str(path)], place, options("30px"), memory=1 << 30).data for _ in range(2))
    assert one == two


def test_bytes_read_are_hardly_more_than_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ziggurat.sky import images  # noqa: PLC0415 - patched here only
    from ziggurat.testing.sources import CountingSource  # noqa: PLC0415 - as above

    header = tan(150, 2, (1489, 2048), RUN=94)
    path = save(tmp_path / "field.fits", (sky((1489, 2048)), header))
    opened: list[CountingSource] = []
    real = images.open_source

    def counting(url: str) -> CountingSource:
        opened.append(CountingSource(real(url)))
        return opened[-1]

    monkeypatch.setattr(images, "open_source", counting)
    made = only(cut([str(path)], SkyCoord(150.02, 2.01, unit="deg"), options("0.05deg"), memory=1 << 30))
    assert made.data.shape == (round(0.05 / SCALE),) * 2
    [source] = opened
    assert source.bytes_read < 1.3 * made.data.nbytes


def test_images_in_late_extensions_are_read_without_the_headers_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ziggurat.sky import images  # noqa: PLC0415 - patched here only
    from ziggurat.testing.sources import CountingSource  # noqa: PLC0415 - as above

    parts = [(sky((100, 400), seed), tan(150 + seed / 10, 2, (100, 400))) for seed in range(8)]
    path = save(tmp_path / "mosaic.fits", *parts)
    opened: list[CountingSource] = []
    real = images.open_source
    monkeypatch.setattr(images, "open_source", lambda url: opened.append(CountingSource(real(url))) or opened[-1])
    made = only(cut([str(path)], SkyCoord(150.7, 2, unit="deg"), options("20px"), memory=1 << 30))
    np.testing.assert_array_equal(made.data, parts[7][0][40:60, 190:210])
    assert opened[0].bytes_read < 100_000


def test_photographic_plates_with_their_own_solution_are_cut_as_cutout2d_cuts_them(shared_data: Path) -> None:
    path = shared_data / "astropy-data" / "tutorials" / "FITS-images" / "HorseHead.fits"
    if not path.is_file():
        pytest.skip("the shared images hold no HorseHead.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as file:
            pixels, whole = file[0].data, WCS(file[0].header)
        place = pixel_to_skycoord(300.3, 411.7, whole, mode="all").icrs
        theirs = Cutout2D(pixels.astype(float), place, 64, wcs=whole, mode="partial", fill_value=np.nan)
        with written(path, place, options("64px")) as ours:
            np.testing.assert_array_equal(ours[0].data, theirs.data)
            wcs = WCS(ours[0].header)
            there = skycoord_to_pixel(pixel_to_skycoord(5, 60, wcs, mode="all"), whole, mode="all")
    assert np.hypot(there[0] - theirs.origin_original[0] - 5, there[1] - theirs.origin_original[1] - 60) < 0.01
