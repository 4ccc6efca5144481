"""The commands of the sky: what they refuse, and what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from sky_files import save, sky, tan
from ziggurat.cli import run

SIZE = (80, 100)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save(tmp_path / "image.fits", (sky(SIZE), tan(150, -2, SIZE, FILTER="r")))


AT = ("--ra", "150", "--dec", "-2", "--size", "10px")


@pytest.mark.parametrize(("words", "said"), [
    ((), "give an index of footprints"),
    (("image.fits",), "give --ra and --dec for one target, or --catalogue for many"),
    (("image.fits", "--ra", "150"), "give --ra and --dec"),
    (("image.fits", "--ra", "150", "--dec", "2", "--catalogue", "t.csv"), "give --ra and --dec"),
    (("image.fits", "--catalogue", "t.csv"), "give it with --dest"),
    (("image.fits", "--catalogue", "t.csv", "--dest", "out"), "the catalogue t.csv cannot be read"),
    (("image.fits", "--ra", "150", "--dec", "2", "--bands", "r,r"), "no list of different bands"),
    (("image.fits", "--ra", "150", "--dec", "2", "--bands", "grün=g"), "no list of different bands"),
    (("image.fits", "--ra", "150", "--dec", "2", "--band-pattern", "x"), "needs {band} once"),
    (("image.fits", "--ra", "150", "--dec", "2", "--project", "xyz"), "--project 'XYZ' is not one of TAN"),
    (("image.fits", "--ra", "150", "--dec", "2", "--band-scales", "a"), "is not numbers"),
    (("image.fits", "--ra", "150", "--dec", "2", "--frame", "lunar"), "is not one of icrs"),
])  # fmt: skip
def test_command_lines_that_make_no_sense_are_refused(
    image: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(["cutout", *words, "--size", "10px"]) == 2
    assert said in capsys.readouterr().err
    assert image.is_file()


def test_one_target_is_a_file_that_is_not_overwritten(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cutout", str(image), *AT]) == 0
    made = image.with_name("150.00000-2.00000.fits")
    assert f"{made}: 10 x 10 pixels, bands r, 100.0% covered" in capsys.readouterr().out
    np.testing.assert_array_equal(fits.getdata(made), sky(SIZE)[35:45, 45:55])
    assert run(["cutout", str(image), *AT]) == 1
    assert "TargetExists" in capsys.readouterr().err
    assert run(["cutout", str(image), *AT, "--overwrite"]) == 0


def test_a_pack_is_for_a_catalogue(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cutout", str(image), *AT, "--out", "pack", "--dest", "a.zpk"]) == 2
    assert "--out pack is for a catalogue's FITS cutouts" in capsys.readouterr().err
    assert run(["cutout", str(image), "--catalogue", "t.csv", "--size", "10px", "--out", "pack", "--dest", "out"]) == 2


def test_a_place_that_no_image_covers_says_so(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cutout", str(image), "--ra", "10", "--dec", "60", "--size", "10px"]) == 1
    assert "covers 10.00000 +60.00000; check the position, its frame and the bands" in capsys.readouterr().err
    assert run(["cutout", str(image), *AT, "--bands", "z"]) == 1


def test_footprints_name_what_was_left_out(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image.with_name("broken.fits").write_bytes(b"SIMPLE  = nothing")
    assert run(["footprints", str(image.parent), "--out", "sky.zgf"]) == 0
    told = capsys.readouterr().out
    assert "left out: " in told
    assert "broken.fits" in told
    assert "sky.zgf: 1 images in 2 files, 2 of them read now" in told
    assert run(["footprints", str(image.parent), "--out", "sky.db"]) == 2
    assert run(["footprints", "--out", "sky.zgf"]) == 2


def test_a_job_tells_its_failures_as_json(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = image.with_name("t.csv")
    catalogue.write_text("name,ra,dec\na,150,-2\nb,150.001,-2\n")
    (image.parent / "out").mkdir()
    (image.parent / "out" / "b.fits").write_text("mine")
    command = ["cutout", str(image), "--catalogue", "t.csv", "--dest", "out", "--size", "10px", "--workers", "1"]
    assert run([*command, "--log-format", "json"]) == 3
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    states = {event["id"]: event["state"] for event in events if event["event"] == "image"}
    assert states == {1: "done", 2: "failed"}
