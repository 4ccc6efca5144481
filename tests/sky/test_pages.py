"""Every command of docs/sky.md runs as it stands, in the order of the page."""

import re
import shlex
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from astropy.io import fits

from sky_files import save, sky, tan
from ziggurat.cli import run

PAGE = Path(__file__).parents[2] / "docs" / "sky.md"
SIZE = (260, 320)


def commands() -> list[str]:
    shells = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in shells for line in block.replace("\\\n", " ").splitlines()]


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frames").mkdir()
    for number, band in enumerate("gri"):
        for field in range(2):
            header = tan(150.01 + 0.02 * field, 2.003, SIZE, turn=2 * field, FILTER=band, BUNIT="nanomaggy")
            name = f"frame-{band}-{field}.fits" + (".fz" if field else "")
            pixels = sky(SIZE, number * 2 + field)
            save(tmp_path / "frames" / name, (pixels, header), kind="RICE_1" if field else None)
    (tmp_path / "targets.csv").write_text("name,ra,dec\none,150.01,2.003\ntwo,150.02,2.001\nnone,10,10\n")
    monkeypatch.chdir(tmp_path)
    for line in commands():
        assert run(shlex.split(line)[1:]) == 0, line
    made = {path.name for path in tmp_path.iterdir()}
    assert {"r.fits", "galactic.fits", "colour.png", "fixed.jpg", "named.webp", "north.fits", "joined.fits"} <= made
    assert sorted(path.name for path in (tmp_path / "stamps").iterdir()) == ["one.fits", "two.fits"]
    with fits.open(tmp_path / "stamps" / "one.fits") as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "g", "r", "i"]
    assert fits.getdata(tmp_path / "galactic.fits", 1).shape == (64, 128)
    assert imagecodecs.imread(tmp_path / "colour.png").shape == (182, 182, 3)
    assert np.isfinite(fits.getdata(tmp_path / "north.fits")).all()
