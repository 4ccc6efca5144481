"""The parts of the bench of cutouts that decide nothing by measuring: fields, targets, tables."""

import csv
from pathlib import Path
from types import ModuleType

import pytest
from astropy.coordinates import SkyCoord

from sky_files import SCALE, SDSS, tan, wcs_of


@pytest.mark.parametrize("size", [0.01, 0.05])
def test_cutouts_of_the_bench_lie_inside_of_their_field(
    bench: dict[str, ModuleType], tmp_path: Path, size: float
) -> None:
    fields = [tmp_path / f"{number}.fits" for number in range(12)]
    bench["cutout"].make_targets(tmp_path / "targets.csv", fields, 200, size)
    with (tmp_path / "targets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    half = size / SCALE / 2
    for row in rows:
        number = fields.index(Path(row["file"]))
        wcs = wcs_of(tan(*bench["cutout"].centre(number), SDSS, turn=number % 7))
        x, y = wcs.world_to_pixel(SkyCoord(float(row["ra"]), float(row["dec"]), unit="deg"))
        assert half < x < SDSS[1] - half, row
        assert half < y < SDSS[0] - half, row


def test_the_table_says_how_many_times_as_long_the_others_take(bench: dict[str, ModuleType]) -> None:
    run = bench["pipelines"].Run
    found = [("Ziggurat, 2 workers", run(10.0, 15.0, 1 << 28)), ("a loop", run(35.0, 34.0, 1 << 28))]
    text = bench["cutout"]._section(found, 0.01, 1000, "Same pixels.")
    assert "### 1,000 cutouts of 0.01°, 91 x 91 pixels" in text
    assert "| a loop              |   35.0 |        29 |                      3.50 |  34.0 |" in text
