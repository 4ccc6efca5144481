"""Sizes and positions as people write them."""

import pytest
from astropy.coordinates import SkyCoord

from ziggurat.errors import UsageError
from ziggurat.geometry import Size
from ziggurat.sky.angles import Extent, parse_angle, parse_extent, parse_position


@pytest.mark.parametrize(("text", "extent"), [
    ("0.05deg", Extent(0.05, 0.05, "deg")),
    ("3arcmin", Extent(0.05, 0.05, "deg")),
    ("180 arcsec", Extent(0.05, 0.05, "deg")),
    ("180000mas", Extent(0.05, 0.05, "deg")),
    ("64px", Extent(64, 64, "px")),
    ("64px,128PX", Extent(64, 128, "px")),
    ("1arcmin,0.5deg", Extent(1 / 60, 0.5, "deg")),
    ("5e-2deg", Extent(0.05, 0.05, "deg")),
])  # fmt: skip
def test_sizes_have_a_unit(text: str, extent: Extent) -> None:
    found = parse_extent(text)
    assert found.unit == extent.unit
    assert (found.height, found.width) == pytest.approx((extent.height, extent.width))


@pytest.mark.parametrize(
    "text", ["0.05", "", "deg", "-1deg", "0deg", "1furlong", "1deg,2deg,3deg", "1px,1deg", "1e999deg"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        parse_extent(text)


def test_pixels_go_by_the_scale_of_their_axis() -> None:
    assert parse_extent("1arcmin").pixels((1 / 3600, 0.5 / 3600)) == Size(60, 120)
    assert parse_extent("10px,20px").pixels((1.0, 2.0)) == Size(10, 20)
    with pytest.raises(UsageError, match="check the size and its unit"):
        parse_extent("100deg").pixels((1e-6, 1e-6))
    with pytest.raises(UsageError, match="check the size and its unit"):
        parse_extent("0.1arcsec").pixels((1.0, 1.0))


def test_pixel_scales_are_angles() -> None:
    assert parse_angle("0.4arcsec", "--pixel-scale") == pytest.approx(0.4 / 3600)
    with pytest.raises(UsageError, match="--pixel-scale '4px' is no angle"):
        parse_angle("4px", "--pixel-scale")


@pytest.mark.parametrize(("longitude", "latitude", "frame"), [
    ("150.1", "2.2", "icrs"), ("10:00:24", "+02:12:00", "icrs"), ("10h00m24s", "2d12m", "ICRS"),
    ("10 00 24", "2 12 0", "icrs"),
    ("150.1d", "2.2d", "icrs"), ("150.1", "2.2", "fk5"),
])  # fmt: skip
def test_positions_are_degrees_or_sexagesimal(longitude: str, latitude: str, frame: str) -> None:
    found = parse_position(longitude, latitude, frame)
    assert (found.ra.deg, found.dec.deg) == pytest.approx((150.1, 2.2), abs=1e-5)


@pytest.mark.parametrize("frame", ["galactic", "supergalactic", "ecliptic", "fk4"])
def test_positions_in_other_frames_become_icrs(frame: str) -> None:
    name = "barycentricmeanecliptic" if frame == "ecliptic" else frame
    place = SkyCoord(150.1, 2.2, unit="deg").transform_to(name)
    found = parse_position(f"{place.spherical.lon.deg:.12f}", f"{place.spherical.lat.deg:.12f}", frame)
    assert found.separation(SkyCoord(150.1, 2.2, unit="deg")).arcsec < 1e-3


@pytest.mark.parametrize(("longitude", "latitude", "frame"), [
    ("here", "2", "icrs"), ("150", "91", "icrs"), ("nan", "2", "icrs"), ("inf", "2", "icrs"), ("150", "2", "lunar"),
    ("", "", "icrs"),
])  # fmt: skip
def test_what_is_no_position_is_refused(longitude: str, latitude: str, frame: str) -> None:
    with pytest.raises(UsageError):
        parse_position(longitude, latitude, frame)
