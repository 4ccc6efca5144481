import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fits_files import noise, opened, packed, plain
from ziggurat.errors import CorruptImage
from ziggurat.format.fits import open_reader
from ziggurat.storage.local import LocalSource

SKY: dict[str, Any] = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 20.5, "CRPIX2": 15.5,
    "CDELT1": -0.01, "CDELT2": 0.01, "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS",
}  # fmt: skip


def place(**cards: Any) -> dict[str, Any]:
    """The world coordinates of a 30 x 40 image, proven to be JSON."""
    found = opened(plain(noise(30, 40), **{k: v for k, v in cards.items() if v is not None})).info.details["wcs"]
    json.dumps(found, allow_nan=False)
    return found


def test_image_without_coordinates_has_none() -> None:
    assert "wcs" not in opened(plain(noise(30, 40))).info.details


def test_values_matrix_scale_centre_and_corners() -> None:
    found = place(**SKY)
    assert found["ctype"] == ["RA---TAN", "DEC--TAN"]
    assert found["crval"] == [150.0, 2.0]
    assert found["crpix"] == [20.5, 15.5]
    assert found["cunit"] == ["deg", "deg"]
    assert found["cd"] == [[-0.01, 0.0], [0.0, 0.01]]
    assert found["frame"] == "ICRS"
    assert found["pixel_scale"] == pytest.approx([36.0, 36.0])
    assert found["centre"] == pytest.approx([150.0, 2.0])
    assert found["corners"][0] == pytest.approx([150.2, 1.85], abs=1e-3)
    assert found["corners"][1] == pytest.approx([149.8, 1.85], abs=1e-3)
    assert found["corners"][2] == pytest.approx([149.8, 2.15], abs=1e-3)
    assert "note" not in found


@pytest.mark.parametrize("cards", [
    {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
    {"CROTA2": 25.0},
    {"CROTA2": 25.0, "CDELT2": 0.03},
    {"CDELT1": None, "CDELT2": None, "CD1_1": -0.008, "CD1_2": 0.006, "CD2_1": 0.006, "CD2_2": 0.008},
])  # fmt: skip
def test_matrix_is_astropys_however_it_is_written(cards: dict[str, Any]) -> None:
    merged = {k: v for k, v in (SKY | cards).items() if v is not None}
    expected = WCS(fits.Header(list(merged.items())))
    found = place(**merged)
    np.testing.assert_allclose(found["cd"], expected.pixel_scale_matrix, atol=1e-12)
    np.testing.assert_allclose(found["centre"], expected.all_pix2world([[19.5, 14.5]], 0)[0])
    np.testing.assert_allclose(found["corners"][2], expected.all_pix2world([[39.5, 29.5]], 0)[0])


def test_distortion_and_swapped_axes_are_followed() -> None:
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": 2e-3}
    expected = WCS(fits.Header(list((SKY | sip).items()))).all_pix2world([[39.5, 29.5]], 0)[0]
    assert place(**SKY | sip)["corners"][2] == pytest.approx(list(expected), abs=1e-9)
    swapped = SKY | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0}
    assert place(**swapped)["centre"] == pytest.approx([150.0, 2.0])


def test_cubes_and_axes_of_length_one_have_the_sky_of_their_rows_and_columns() -> None:
    cards = SKY | {"CTYPE3": "VELO", "CRVAL3": 1e3, "CDELT3": 10.0, "CRPIX3": 1.0, "CUNIT3": "m/s"}
    found = opened(plain(noise(5, 30, 40), **cards)).info.details["wcs"]
    assert found["centre"] == pytest.approx([150.0, 2.0])
    assert found["cd"][2] == [0.0, 0.0, 10.0]
    assert "centre" not in opened(plain(noise(5, 1, 40), **cards)).info.details["wcs"]


def test_compressed_images_have_the_sky_of_their_image() -> None:
    assert opened(packed(noise(30, 40), "RICE_1", cards=SKY)).info.details["wcs"] == place(**SKY)


def test_pixels_beyond_the_projection_are_null() -> None:
    sky = SKY | {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CDELT1": -10.0, "CDELT2": 10.0, "CRVAL2": 0.0}
    found = place(**sky)
    assert found["corners"] == [None] * 4
    assert found["centre"] == pytest.approx([150.0, 0.0])


def test_other_coordinates_are_given_as_they_stand() -> None:
    found = place(CTYPE1="WAVE", CTYPE2="LINEAR", CRVAL1=5e-7, CDELT1=1e-9)
    assert found["crval"] == [5e-7, 0.0]
    assert "centre" not in found


def test_a_pixel_has_its_place_in_icrs_whatever_the_frame_and_the_order_of_axes() -> None:
    assert opened(plain(noise(30, 40), **SKY)).place(14.5, 19.5) == pytest.approx((150.0, 2.0))
    assert opened(packed(noise(30, 40), "RICE_1", cards=SKY)).place(14.5, 29.5) == pytest.approx((149.9, 2.0), abs=1e-4)
    swapped = SKY | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0}
    assert opened(plain(noise(30, 40), **swapped)).place(14.5, 19.5) == pytest.approx((150.0, 2.0))
    galactic = SKY | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 0.0, "CRVAL2": 0.0}
    assert opened(plain(noise(30, 40), **galactic)).place(14.5, 19.5) == pytest.approx((266.405, -28.936), abs=1e-3)
    assert opened(plain(noise(30, 40))).place(0, 0) is None
    beyond = SKY | {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CDELT1": -10.0, "CDELT2": 10.0, "CRVAL2": 0.0}
    assert opened(plain(noise(30, 40), **beyond)).place(0, 0) is None


def test_reader_gives_the_transformation_itself() -> None:
    sky = opened(plain(noise(3, 30, 40), **SKY)).sky()
    assert sky is not None
    np.testing.assert_allclose(sky.all_world2pix([[150.0, 2.0]], 0), [[19.5, 14.5]], atol=1e-8)
    assert opened(plain(noise(30, 40))).sky() is None
    with pytest.raises(CorruptImage, match="world coordinates"):
        opened(plain(noise(30, 40), **SKY | {"CDELT1": 0.0})).sky()


@pytest.mark.parametrize("cards", [
    {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, {"CTYPE2": "DEC--SIN"}, {"CUNIT1": "furlong"}, {"CDELT1": 0.0},
    {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 30000}, {"CRVAL1": "here"}, {"WCSAXES": 999},
    {"A_ORDER": 2},
])  # fmt: skip
def test_what_astropy_refuses_is_noted_and_the_image_still_opens(cards: dict[str, Any]) -> None:
    found = place(**SKY | cards)
    assert found["note"].startswith("memory:test.fits: HDU 0")
    assert "centre" not in found


def test_tables_and_files_that_a_header_names_are_not_opened() -> None:
    found = place(**SKY, CPDIS1="LOOKUP", DP1="EXTVER: 1", D2IMDIS1="LOOKUP", PS3_0="/etc/passwd")
    assert found["centre"] == pytest.approx([150.0, 2.0])
    assert "distortions that tables" in found["note"]


def test_shared_images_lie_where_astropy_puts_them(shared_data: Path) -> None:
    path = shared_data / "astropy-data" / "tutorials" / "FITS-images" / "HorseHead.fits"
    if not path.is_file():
        pytest.skip("the shared images hold no HorseHead.fits")
    found = open_reader(LocalSource(path)).info.details["wcs"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = WCS(fits.getheader(path)).all_pix2world([[445.0, 446.0], [-0.5, -0.5]], 0)
    np.testing.assert_allclose([found["centre"], found["corners"][0]], expected)
