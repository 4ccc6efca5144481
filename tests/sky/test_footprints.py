"""The index of footprints: found by headers alone, right at poles and seams, kept and brought up to date."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from fits_files import altered, plain, unit, written
from sky_files import SCALE, save, tan, wcs_of
from ziggurat.errors import CorruptImage, JobError, SourceNotFound
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.bands import parse_bands
from ziggurat.sky.footprints import Footprints, open_footprints
from ziggurat.sky.options import CutoutOptions
from ziggurat.sky.plan import choose

SIZE = (100, 140)
PIXELS = np.zeros(SIZE, "f4")


def covering(index: Footprints, places: SkyCoord, **more: object) -> list[set[str]]:
    """Names of the files that cover each place with its very pixel."""
    wanted = CutoutOptions(kind="fits", extent=parse_extent("1px"), fields="all", **more)  # type: ignore[arg-type]
    found = []
    for choice in choose(index, places, wanted):
        numbers = {number for numbers in choice.bands.values() for number in numbers}
        found.append({Path(index.image(number)[0].url).name for number in numbers})
    return found


def grid_of_sky(count: int = 3000) -> SkyCoord:
    rng = np.random.default_rng(5)
    return SkyCoord(rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count))), unit="deg")


def test_images_anywhere_are_found_by_exactly_the_places_that_they_cover(tmp_path: Path) -> None:
    headers = {}
    spots = [(0, 0), (359.99, 10), (0.01, -30), (120, 89.9), (10, 90), (200, -90), (180, 0), (90, 45), (270, -60)]
    for number, (ra, dec) in enumerate(spots):
        headers[f"{number}.fits"] = tan(ra, dec, SIZE, scale=0.2, turn=31 * number)
    # Whole skies, and one of which the corners have no place.
    headers["car.fits"] = tan(0, 0, (180, 360), scale=1.0, CTYPE1="RA---CAR", CTYPE2="DEC--CAR")
    headers["ait.fits"] = tan(80, 0, (170, 330), scale=1.0, CTYPE1="RA---AIT", CTYPE2="DEC--AIT")
    headers["gal.fits"] = tan(300, 80, SIZE, scale=0.2, CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", RADESYS=None)
    for name, header in headers.items():
        shape = {"car.fits": (180, 360), "ait.fits": (170, 330)}.get(name, SIZE)
        save(tmp_path / name, (np.zeros(shape, "f4"), header))
    places = SkyCoord([*grid_of_sky(), *[SkyCoord(0, 90, unit="deg"), SkyCoord(0, -90, unit="deg")]])
    expected: list[set[str]] = [set() for _ in places]
    for name, header in headers.items():
        shape = {"car.fits": (180, 360), "ait.fits": (170, 330)}.get(name, SIZE)
        wcs = wcs_of(header)
        x, y = wcs.world_to_pixel(places)
        with np.errstate(invalid="ignore"):
            inside = (np.ceil(x - 0.5) >= 0) & (np.ceil(x - 0.5) < shape[1])
            inside &= (np.ceil(y - 0.5) >= 0) & (np.ceil(y - 0.5) < shape[0])
        for place in np.flatnonzero(inside):
            expected[place].add(name)
    assert sum(map(len, expected)) > 4000
    assert set().union(*expected) == set(headers)
    with open_footprints([str(tmp_path)]) as index:
        assert covering(index, places) == expected


def test_a_box_is_not_much_larger_than_its_image(tmp_path: Path) -> None:
    for number in range(30):
        save(tmp_path / f"{number}.fits", (PIXELS, tan(150 + number * 0.05, 2, SIZE)))
    with open_footprints([str(tmp_path)]) as index:
        place = SkyCoord(150.5, 2, unit="deg").represent_as("unitspherical").to_cartesian().xyz.value
        assert len(index.near(place, 0.0)) == 1


def test_an_index_is_kept_and_only_what_changed_is_read_again(tmp_path: Path) -> None:
    folder, path = tmp_path / "sky", tmp_path / "sky.zgf"
    folder.mkdir()
    for number in range(3):
        save(folder / f"{number}.fits", (PIXELS, tan(150 + number, 2, SIZE)))
    with Footprints(path) as index:
        assert index.update([str(folder)]) == 3
        assert index.update([str(folder)]) == 0
    save(folder / "1.fits", (PIXELS, tan(10, 2, SIZE)))
    (folder / "2.fits").unlink()
    save(folder / "3.fits", (PIXELS, tan(20, 2, SIZE)), (PIXELS, tan(21, 2, SIZE)))
    with Footprints(path) as index:
        assert index.update([str(folder)]) == 2
        assert index.counts() == (3, 4)
        places = SkyCoord([150, 151, 152, 10, 20, 21], [2] * 6, unit="deg")
        names = [{"0.fits"}, set(), set(), {"1.fits"}, {"3.fits"}, {"3.fits"}]
        assert covering(index, places) == names
    with open_footprints([str(path)]) as index:
        assert index.counts() == (3, 4)


def test_what_has_no_place_is_left_out_with_a_reason(tmp_path: Path) -> None:
    header = tan(150, 2, SIZE)
    good = plain(PIXELS, **dict(header.items()))
    singular = good
    for keyword in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        singular = altered(singular, keyword, 1e-4)
    files = {
        "good.fits": good,
        "none.fits": plain(PIXELS),
        "cube.fits": plain(np.zeros((3, *SIZE), "f4"), **dict(header.items())),
        "torn.fits": good[:3000],
        "lie.fits": altered(good, "CRVAL1", "here"),
        "projection.fits": altered(altered(good, "CTYPE1", "RA---XYZ"), "CTYPE2", "DEC--XYZ"),
        "singular.fits": singular,
        "noise.fits": b"nothing of the kind",
        "empty.fits": b"",
        "table.fits": written(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with open_footprints([str(tmp_path)]) as index:
        assert index.counts() == (10, 2)  # a torn file has a header, and says nothing of its end
        problems = "\n".join(index.problems())
    for name in ("none", "cube", "lie", "projection", "singular", "noise", "empty"):
        assert f"{name}.fits" in problems
    assert "more than one plane" in problems


def test_headers_that_lie_cost_little_and_are_refused_where_they_are_read(tmp_path: Path) -> None:
    huge = {"SIMPLE": True, "BITPIX": -64, "NAXIS": 2, "NAXIS1": 10**9, "NAXIS2": 10**9}
    (tmp_path / "huge.fits").write_bytes(unit(huge | dict(tan(150, 2, SIZE).items()), bytes(1 << 16)))
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3, "A_3_0": 1.0, "B_0_3": 1.0}
    (tmp_path / "sip.fits").write_bytes(plain(PIXELS, **dict(tan(10, 2, SIZE, **sip).items())))
    with open_footprints([str(tmp_path)]) as index:
        places = SkyCoord([150, 10, 10.001], [2, 2, 2.001], unit="deg")
        covering(index, places)


@pytest.mark.parametrize("frame", ["TLON", "HPLN"])
def test_coordinates_of_another_sky_are_left_out(tmp_path: Path, frame: str) -> None:
    header = tan(0, 0, SIZE, CTYPE1=f"{frame}-TAN", CTYPE2=f"{frame[:2]}LT-TAN", RADESYS=None)
    (tmp_path / "sun.fits").write_bytes(plain(PIXELS, **dict(header.items())))
    with pytest.raises(CorruptImage, match="no image with a place on the sky"):
        open_footprints([str(tmp_path)])


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.zgf"
    with pytest.raises(JobError, match="there is no index"):
        open_footprints([str(wrong)])
    wrong.write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(JobError, match=r"no index|cannot be opened"):
        open_footprints([str(wrong)])
    with pytest.raises(SourceNotFound):
        open_footprints([str(tmp_path / "nowhere")])


def test_bands_are_known_by_headers_or_by_names(tmp_path: Path) -> None:
    for name, said in (("frame-g-1", "g"), ("frame-r-1", "r.MP9602"), ("frame-i-1", None)):
        save(tmp_path / f"{name}.fits", (PIXELS, tan(150, 2, SIZE, **({"FILTER": said} if said else {}))))
    place = SkyCoord([150], [2], unit="deg")

    def bands(text: str | None, pattern: str | None = None) -> list[str]:
        wanted = CutoutOptions(kind="fits", extent=parse_extent("5px"), bands=parse_bands(text, pattern))
        with open_footprints([str(tmp_path)]) as index:
            return list(choose(index, place, wanted)[0].bands)

    assert bands(None) == ["g", "r.MP9602", ""]
    assert bands("r,g") == ["r", "g"]
    assert bands("red=r.MP9602,g") == ["red", "g"]
    assert bands("i,r,g", "frame-{band}-*.fits") == ["i", "r", "g"]
    assert bands("u") == []


def test_the_image_that_covers_most_comes_first_and_alone_where_it_covers_all(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.fits", (PIXELS, tan(150 + number * 60 * SCALE, 2, SIZE)))

    def files(offset: float, fields: str, size: str) -> list[str]:
        wanted = CutoutOptions(kind="fits", extent=parse_extent(size), fields=fields)  # type: ignore[arg-type]
        with open_footprints([str(tmp_path)]) as index:
            [choice] = choose(index, SkyCoord([150 + offset * SCALE], [2], unit="deg"), wanted)
            return [Path(index.image(number)[0].url).stem for number in choice.bands.get("", ())]

    assert files(55, "auto", "20px") == ["1"]
    assert files(55, "all", "20px") == ["1", "0", "2"]
    assert files(25, "auto", "99px") == ["0", "1", "2"]
    assert files(25, "best", "99px") == ["0"]
    assert files(-200, "auto", "20px") == []
    # A cutout whose middle no image has is made of what reaches into it.
    assert files(-75, "auto", "20px") == ["0"]
