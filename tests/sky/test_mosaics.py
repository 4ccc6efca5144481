"""Mosaics as images: what ``sky:INDEX!NAME`` shows is what the cutout command would make of the same fields."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apsw import Connection
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.typing import NDArray

import ziggurat
from sky_files import SCALE, save, stars, tan
from ziggurat.errors import FormatError, SourceNotFound, SourceRefused, UnknownFormat, UnsupportedFeature, ZigguratError
from ziggurat.geometry import Size, Window
from ziggurat.image import open_image
from ziggurat.pyramid.made import Home
from ziggurat.sky.angles import Extent
from ziggurat.sky.footprints import Footprints
from ziggurat.sky.grid import Grid, moved
from ziggurat.sky.images import Field
from ziggurat.sky.mosaic import joined, needed, part_of
from ziggurat.sky.opening import open_mosaic
from ziggurat.sky.options import CutoutOptions
from ziggurat.sky.survey import designation
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.listing import list_sources
from ziggurat.storage.urls import Mosaic, absolute, parse

type Pixels = NDArray[Any]

SIZE = (300, 400)


def field(folder: Path, name: str, place: tuple[float, float], band: str = "r", turn: float = 0.0) -> Path:
    """A field of smooth stars on a little noise around a place."""
    header = tan(*place, SIZE, turn=turn, FILTER=band)
    rng = np.random.default_rng(11)
    near = [
        (150 + float(dx) * SCALE, 2 + float(dy) * SCALE)
        for dy, dx in zip(rng.uniform(-500, 500, 150), rng.uniform(-500, 500, 150), strict=True)
    ]
    pixels = stars(header, SIZE, near, 400.0) + np.random.default_rng(len(name)).normal(0, 0.01, SIZE)
    return save(folder / f"{name}.fits", (pixels.astype(np.float32), header))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four fields of two bands that overlap, turned a little, one with undefined pixels; and one far from them."""
    folder = tmp_path_factory.mktemp("fields")
    for row in (0, 1):
        for column in (0, 1):
            place = 150 - (column - 0.5) * 350 * SCALE, 2 + (row - 0.5) * 260 * SCALE
            for band in "rg":
                field(folder, f"{band}{row}{column}", place, band, turn=3.0 * column - 2.0 * row)
    with fits.open(folder / "r00.fits", mode="update") as file:
        file[0].data[100:110, 100:140] = np.nan
    field(folder, "far", (210.0, -45.0), "r")
    path = folder / "fields.zgf"
    with Footprints(path) as footprints:
        footprints.update([str(folder)])
    return path


def main(index: Path) -> str:
    """The URL of the larger mosaic."""
    return next(item.url for item in list_sources(f"sky:{index}") if "J10" in item.key or "J095" in item.key)


def test_scattered_fields_are_a_mosaic_for_each_group(index: Path) -> None:
    names = [item.key for item in list_sources(f"sky:{index}")]
    assert len(names) == 2
    assert "J140000.0-450000" in names
    with ziggurat.open(f"sky:{index}!J140000.0-450000") as image:
        assert (image.info.bands, image.info.dtype, image.info.format) == (1, "float32", "mosaic")
        assert abs(image.info.size.height - SIZE[0]) <= 2
        assert abs(image.info.size.width - SIZE[1]) <= 2
        middle = image.pixel(210.0, -45.0)
    assert middle == pytest.approx([(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2], abs=1)
    with pytest.raises(SourceNotFound, match="has 2 mosaics"):
        ziggurat.open(f"sky:{index}")
    with pytest.raises(SourceNotFound, match="no mosaic"):
        ziggurat.open(f"sky:{index}!J1")


def test_bands_go_from_blue_to_red_and_north_is_up(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        details: Any = image.info.details
        assert details["mosaic"]["bands"] == ["g", "r"]
        assert details["mosaic"]["images"] == 8
        assert details["wcs"]["pixel_scale"] == pytest.approx([SCALE * 3600] * 2)
        top, bottom, right = image.place(0, 300), image.place(400, 300), image.place(0, 600)
    assert top is not None
    assert bottom is not None
    assert right is not None
    assert top[1] > bottom[1]
    assert top[0] > right[0]


def expected(url: str, band: str, window: Window) -> Pixels:
    """What joining the fields as cutouts do gives on the mosaic's own grid."""
    options = CutoutOptions(kind="fits", extent=Extent(1, 1, "px"), fields="all", method="interp")
    place = parse(url)
    assert isinstance(place, Mosaic)
    layout = open_mosaic(place).assembly.layout
    grid = Grid(moved(layout.grid.wcs, window.y0, window.x0), window.size)
    parts = []
    for number in layout.group.numbers:
        image = layout.survey.image(number)
        if image.band == band:
            with Field(image, memory=1 << 28) as opened:
                wanted = needed(opened, grid)
                if wanted is not None:
                    parts.append(part_of(opened, None, wanted, grid, options))
    return joined(parts, grid, options)[0]


@pytest.mark.parametrize("window", [Window(200, 250, 360, 480), Window(0, 0, 120, 150), Window(255, 100, 256, 600)])
def test_a_mosaic_is_what_cutouts_of_the_same_fields_are(index: Path, window: Window) -> None:
    with ziggurat.open(main(index)) as image:
        found = image.read(0, window)
    for place, band in enumerate("gr"):
        wanted = expected(main(index), band, window)
        # Coordinates are interpolated, to a thousandth of a pixel here; edges may fall on either side of one.
        both = np.isfinite(found[:, :, place]) & np.isfinite(wanted)
        assert (np.isfinite(found[:, :, place]) != np.isfinite(wanted)).mean() < 0.01
        close = np.abs(found[:, :, place] - wanted)[both]
        assert np.percentile(close, 99.5) < 0.01 * np.nanmax(wanted)


def test_windows_are_those_of_the_whole(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        for level in range(len(image.levels)):
            whole = image.read(level)
            height, width = image.levels[level].shape
            window = Window(height // 5, width // 4, height // 2, width // 2)
            part, same = image.read(level, window), whole[window.slices()]
            both = np.isfinite(part) & np.isfinite(same)
            assert both.mean() > 0.9
            assert np.percentile(np.abs(part - same)[both], 99) < 0.02 * np.nanmax(same)


def test_coarse_levels_are_means_of_the_finest(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        finest, level = image.read(0)[:, :, 1], len(image.levels) - 1
        coarse = image.read(level)[:, :, 1]
    assert level >= 1
    step = 1 << level
    height, width = finest.shape[0] // step, finest.shape[1] // step
    means = finest[: height * step, : width * step].reshape(height, step, width, step).mean(axis=(1, 3))
    both = np.isfinite(means) & np.isfinite(coarse[:height, :width])
    assert both.mean() > 0.6
    # Flux stays: pixels are a little smoothed, as any interpolation smooths.
    assert coarse[:height, :width][both].mean() == pytest.approx(means[both].mean(), rel=0.01)
    assert np.corrcoef(coarse[:height, :width][both], means[both])[0, 1] > 0.95


def test_undefined_pixels_and_what_no_field_covers_are_nan(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        whole = image.read(0)
        corner = image.read(0, (0, 0, 4, 4))
    assert np.isnan(corner).all()
    with fits.open(index.parent / "r00.fits") as file:
        wcs = expected_wcs(file[0].header)
        ra, dec = wcs.all_pix2world(120, 105, 0)
    with ziggurat.open(main(index)) as image:
        found = image.pixel(float(ra), float(dec))
    assert found is not None
    y, x = (round(value) for value in found)
    assert np.isnan(whole[y, x, 1])
    assert np.isfinite(whole[y, x, 0])


def expected_wcs(header: fits.Header) -> Any:
    from astropy.wcs import WCS  # noqa: PLC0415 - of this test alone

    return WCS(header)


def test_places_are_astropys(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        star = image.place(100.25, 300.75)
        assert star is not None
        assert image.pixel(*star) == pytest.approx([100.25, 300.75], abs=1e-6)
        opposite = image.pixel(330.0, -2.0)
    assert opposite is None
    # The brightest pixel of a field is the brightest of the mosaic, at the same place.
    with fits.open(index.parent / "r11.fits") as file:
        y, x = np.unravel_index(np.argmax(file[0].data), SIZE)
        ra, dec = expected_wcs(file[0].header).all_pix2world(x, y, 0)
    with ziggurat.open(main(index)) as image:
        found = image.pixel(float(ra), float(dec))
        assert found is not None
        top, left = (max(0, int(value) - 6) for value in found)
        near = image.read(0, (top, left, top + 13, left + 13))[:, :, 1]
        y, x = np.unravel_index(np.nanargmax(near), near.shape)
        place = image.place(top + float(y), left + float(x))
    assert place is not None
    assert SkyCoord(*place, unit="deg").separation(SkyCoord(float(ra), float(dec), unit="deg")).arcsec < 1


def test_fields_that_are_gone_leave_a_hole_and_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, place in (("a", 150.0), ("b", 150 - 300 * SCALE)):
        field(tmp_path, name, (place, 2.0))
    path = tmp_path / "two.zgf"
    with Footprints(path) as footprints:
        footprints.update([str(tmp_path)])
    (tmp_path / "b.fits").unlink()
    with ziggurat.open(f"sky:{path}") as image:
        pixels = image.read(0)[:, :, 0]
    known = np.isfinite(pixels).mean(axis=0)
    assert known[: SIZE[1] // 2].mean() > 0.9
    assert known[-200:].mean() == 0
    assert any("b.fits" in record.getMessage() for record in caplog.records)


def test_small_versions_are_made_once_and_kept(tmp_path: Path) -> None:
    header = tan(150, 2, (1200, 1600), FILTER="r")
    pixels = np.random.default_rng(3).normal(5, 1, (1200, 1600)).astype(np.float32)
    pixels[300, 300] = np.nan
    save(tmp_path / "one.fits", (pixels, header))
    with Footprints(tmp_path / "one.zgf") as footprints:
        footprints.update([str(tmp_path / "one.fits")])
    cache = FileCache(tmp_path / "cache", limit=1 << 26)
    home = Home("one", cache)
    mosaic = Mosaic(os.fspath(tmp_path / "one.zgf"))
    with open_image(open_mosaic(mosaic), home=home) as image:
        assembly = open_mosaic(mosaic).assembly
        level = 3
        assert not image.makes_levels(2, Window(0, 0, 50, 50))
        rough = assembly.read(level, Window(10, 10, 90, 120), sampled=True)
        assert [found.url for found in assembly.lacking(level, Window(0, 0, 10, 10))] == [str(tmp_path / "one.fits")]
        told: list[tuple[int, int]] = []
        image.build_levels(progress=lambda *said: told.append(said))
        assert list(assembly.lacking(level, Window(0, 0, 10, 10))) == []
        assert told
        smooth = assembly.read(level, Window(10, 10, 90, 120))
    # Single pixels are as noisy as the field, means of 64 an eighth as much.
    assert np.nanstd(rough) == pytest.approx(1, rel=0.3)
    assert np.nanstd(smooth) < 0.2
    assert np.isfinite(smooth).all()
    assert len(list((tmp_path / "cache").rglob("*"))) > 0


def test_what_is_out_of_time_is_left_out(index: Path) -> None:
    with ziggurat.open(main(index)) as image:
        level = len(image.levels) - 1
        assert image.sketches
        found = image.sketch(level, Window.full(image.levels[level].shape), 30.0)
        assert found is not None
        assert np.isfinite(found).mean() > 0.5
        sampled = image.sample()
        assert sampled is not None
        assert sampled.shape[2] == 2


def test_only_a_name_opens_a_mosaic(index: Path, tmp_path: Path) -> None:
    (tmp_path / "trick.fits").write_bytes(b"ZIGGURAT MOSAIC\n{}")
    with pytest.raises(UnknownFormat, match="open the mosaic by its name"):
        ziggurat.open(str(tmp_path / "trick.fits"))
    with pytest.raises(UnknownFormat):
        ziggurat.open(str(index))


def test_indexes_that_lie_are_refused_or_leave_holes(index: Path, tmp_path: Path) -> None:
    def changed(name: str, *statements: str) -> str:
        path = tmp_path / f"{name}.zgf"
        path.write_bytes(index.read_bytes())
        db = Connection(str(path))
        for statement in statements:
            db.execute(statement)
        db.close()
        return f"sky:{path}"

    def listed(url: str) -> list[str]:
        return [item.key for item in list_sources(url)]

    with pytest.raises(SourceRefused, match="damaged"):
        listed(changed("scale", "UPDATE images SET scale_y = -1, scale_x = 0"))
    with pytest.raises(ZigguratError):
        listed(changed("gone", "DROP TABLE images"))
    wide = changed("wide", "UPDATE places SET x0 = -1, x1 = 1, y0 = -1, y1 = 1, z0 = -1, z1 = 1")
    with pytest.raises(UnsupportedFeature, match="60 are shown on one plane"):
        ziggurat.open(wide)
    fine = changed("fine", "UPDATE images SET scale_y = 1e-12, scale_x = 1e-12")
    with pytest.raises(FormatError, match="too many"):
        ziggurat.open(f"{fine}!{listed(fine)[0]}")
    for number, named in enumerate(("sky:/etc/other.zgf", "memory:x", "nowhere://x")):
        url = changed(f"named{number}", f"UPDATE files SET url = '{named}' WHERE url LIKE '%far.fits'")  # noqa: S608 - our own
        with pytest.raises(FormatError, match="no image has a place"):
            ziggurat.open(f"{url}!J140000.0-450000")
    url = changed("device", "UPDATE files SET url = '/dev/zero' WHERE url LIKE '%far.fits'")
    with ziggurat.open(f"{url}!J140000.0-450000") as image:
        assert np.isnan(image.read(0, (0, 0, 9, 9))).all()


def test_a_url_names_an_index_and_a_mosaic() -> None:
    assert parse("sky:a/b.zgf!J1") == Mosaic("a/b.zgf", "J1")
    assert parse("sky:a!b%.zgf".replace("!", "%21")) == Mosaic("a!b%.zgf")
    assert parse(Mosaic("odd!%21.zgf", "J1").url) == Mosaic("odd!%21.zgf", "J1")
    assert absolute("sky:b.zgf!J1") == f"sky:{os.path.abspath('b.zgf')}!J1"  # noqa: PTH100 - as absolute does
    for wrong in ("sky:", "sky:s3://bucket/a.zgf!J1", "sky:a.zgf!", "sky:pack:x!y"):
        with pytest.raises(ZigguratError):
            parse(wrong)


@pytest.mark.parametrize(
    ("ra", "dec", "name"),
    [
        (20.94, 1.396, "J012345.6+012345"),
        (359.99999, -0.0001, "J235959.9-000000"),
        (0.0, 90.0, "J000000.0+900000"),
    ],
)
def test_mosaics_are_named_by_their_middles(ra: float, dec: float, name: str) -> None:
    assert designation(ra, dec) == name


def test_a_field_at_the_pole_is_a_mosaic(tmp_path: Path) -> None:
    save(tmp_path / "pole.fits", (np.ones((60, 80), np.float32), tan(12.0, 90.0, (60, 80))))
    with Footprints(tmp_path / "pole.zgf") as footprints:
        footprints.update([str(tmp_path / "pole.fits")])
    with ziggurat.open(f"sky:{tmp_path / 'pole.zgf'}") as image:
        assert image.info.size.pixels < 4 * Size(60, 80).pixels
        assert np.nanmean(image.read(0)) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", [None, "RICE_1", "GZIP_2"])
def test_single_rows_and_columns_are_those_of_the_image(tmp_path: Path, kind: str | None) -> None:
    pixels = np.random.default_rng(5).integers(0, 30000, (90, 130)).astype(np.int16)
    save(tmp_path / "one.fits", (pixels, tan(10.0, 20.0, (90, 130))), kind=kind)
    with Footprints() as footprints:
        footprints.update([str(tmp_path / "one.fits")])
        image, _ = footprints.image(1)
    rows, columns = np.array([0, 3, 4, 40, 89]), np.array([2, 3, 77, 129])
    with Field(image, memory=1 << 26) as opened:
        assert np.array_equal(opened.picked(rows, columns), pixels[np.ix_(rows, columns)])
