"""An index of footprints, served: mosaics straight from the files, with places on the sky."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import ziggurat
from serving import Server, serving
from sky_files import SCALE, save, sky, tan
from ziggurat.sky.footprints import Footprints
from ziggurat.storage.listing import list_sources

SIZE = (240, 320)


def survey(folder: Path) -> Path:
    """Two fields beside each other in three bands, and one far away; their index lies elsewhere."""
    fields = folder / "fields"
    fields.mkdir()
    for band in "gri":
        for number in (0, 1):
            header = tan(150 - number * 280 * SCALE, 2, SIZE, FILTER=band)
            save(fields / f"{band}{number}.fits", (sky(SIZE, seed=number, level=0.1), header))
    save(fields / "far.fits", (sky(SIZE), tan(30.0, 40.0, SIZE, FILTER="r")))
    path = folder / "index" / "survey.zgf"
    path.parent.mkdir()
    with Footprints(path) as footprints:
        footprints.update([str(fields)])
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("served")
    path = survey(folder)
    with serving(path, "--workers", 1, ZIGGURAT_CACHE=str(folder / "cache")) as started:
        yield started, path


def names(server: Server) -> dict[str, str]:
    """Names of the mosaics to their places in URLs."""
    return {item["name"]: item["ref"] for item in server.get("/api/items").json["items"]}


def test_mosaics_are_listed_by_their_names(server: tuple[Server, Path]) -> None:
    found = names(server[0])
    assert len(found) == 2
    assert "J020000.0+400000" in found
    assert server[0].get("/api/site").json["title"] == "survey"
    assert server[0].get("/presentation/3/collection.json").status == 200


def test_tiles_are_pictures_of_the_fields(server: tuple[Server, Path]) -> None:
    started, path = server
    ref = next(ref for name, ref in names(started).items() if not name.startswith("J02"))
    info = started.get(f"/iiif/3/{ref}/info.json").json
    assert info["width"] == pytest.approx(SIZE[1] + 280, abs=3)
    colour = started.get(f"/iiif/3/{ref}/0,0,256,200/256,/0/default.png").pixels
    assert colour.shape == (200, 256, 3)
    # All three bands are alike, so are the colours; the sky is dark, and there are stars.
    assert np.abs(np.diff(colour.astype(int), axis=2)).mean() < 3
    assert np.median(colour) < 40
    assert colour.max() > 200
    grey = started.get(f"/iiif/3/{ref}/0,0,256,200/256,/0/default.png?bands=1&stretch=linear&range=0,1").pixels
    with ziggurat.open(next(item.url for item in list_sources(f"sky:{path}") if "J02" not in item.key)) as image:
        samples = image.read(0, (0, 0, 200, 256))[:, :, 1]
    wanted = np.rint(np.clip(np.nan_to_num(samples), 0, 1) * 255)
    assert np.abs(grey.reshape(200, 256) - wanted).max() <= 1
    assert started.get(f"/deepzoom/{ref}.dzi").status == 200
    assert started.get(f"/zarr/{ref}/zarr.json").status == 200


def test_what_is_told_of_a_mosaic(server: tuple[Server, Path]) -> None:
    started, _ = server
    ref = names(started)["J020000.0+400000"]
    told = started.get(f"/api/image/{ref}").json
    assert told["details"]["mosaic"]["bands"] == ["r"]
    assert told["composed"]
    assert told["compass"] == {"north": pytest.approx(0, abs=0.01), "east": pytest.approx(-90, abs=0.01)}
    said = started.get(f"/api/values/{ref}?x=10&y=20").json
    assert said["sky"][0] > 30
    assert said["sky"][1] > 40


def test_places_on_the_sky_have_pixels(server: tuple[Server, Path], tmp_path: Path) -> None:
    started, _ = server
    ref = names(started)["J020000.0+400000"]
    found = started.get(f"/api/pixel/{ref}?ra=30&dec=40").json
    assert (found["x"], found["y"]) == pytest.approx(((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2), abs=1)
    assert started.get(f"/api/pixel/{ref}?ra=210&dec=-40").json["x"] is None
    for wrong in ("", "?ra=x&dec=1", "?ra=1&dec=91", "?ra=nan&dec=1"):
        assert started.get(f"/api/pixel/{ref}{wrong}").status == 400
    save(tmp_path / "one.fits", (sky(SIZE), tan(10.0, -5.0, SIZE)))
    save(tmp_path / "none.fits", (sky(SIZE), fits.Header()))
    with serving(tmp_path, "--workers", 1) as plain:
        found = plain.get("/api/pixel/one.fits?ra=10&dec=-5").json
        assert (found["x"], found["y"]) == pytest.approx(((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2), abs=1e-6)
        # The file's first row is its southernmost, and shown on top.
        assert abs(plain.get("/api/image/one.fits").json["compass"]["north"]) == pytest.approx(180, abs=0.01)
        assert plain.get("/api/image/none.fits").json["compass"] is None
        assert plain.get("/api/pixel/none.fits?ra=10&dec=-5").json["x"] is None


def test_an_index_in_a_folder_is_a_file_like_others(server: tuple[Server, Path]) -> None:
    """What a file says of other files is not followed, unless the operator named it."""
    _, path = server
    with serving(path.parent, "--workers", 1) as started:
        assert started.get("/api/items").json["total"] == 0
        assert started.get("/iiif/3/survey.zgf/info.json").status == 404
        assert started.get("/iiif/3/survey.zgf!J020000.0%2B400000/info.json").status == 404


def test_names_of_mosaics_lead_nowhere_else(server: tuple[Server, Path]) -> None:
    started, path = server
    for below in ("nothing", "..%2F..%2Fother.zgf!J020000.0%2B400000", "x!J020000.0%2B400000", "%00", "!"):
        answer = started.get(f"/iiif/3/{below}/info.json")
        assert answer.status in {400, 404}
        assert str(path.parent) not in answer.body.decode()


def test_a_field_that_is_gone_leaves_a_hole_and_a_warning(tmp_path: Path) -> None:
    path = survey(tmp_path)
    for band in "gri":
        (tmp_path / "fields" / f"{band}1.fits").unlink()
    with serving(path, "--workers", 1, ZIGGURAT_CACHE=str(tmp_path / "cache")) as started:
        ref = next(ref for name, ref in names(started).items() if not name.startswith("J02"))
        answer = started.get(f"/iiif/3/{ref}/full/max/0/default.png")
        warned = any("goes without an image" in line and "g1.fits" in line for line in started.lines)
    assert answer.status == 200
    # It may be back in a moment: nothing of this is kept.
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.read_bytes()[1:4] == b"PNG"]
    columns = answer.pixels.max(axis=(0, 2))
    assert columns[:250].max() > 100
    assert columns[-250:].max() == 0
    assert warned
