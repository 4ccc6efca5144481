"""``ziggurat assess`` on real photographs: the sample, the jobs, the page, and what is predicted."""

import csv
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ziggurat.cli import run
from ziggurat.convert.assess import sample
from ziggurat.convert.manifest import Row
from ziggurat.errors import SourceNotFound

PHOTOGRAPHS = Path(__file__).parents[2] / "samples" / "photographs"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Two groups of crops, one of them with a file that is no image, and names with commas and quotes."""
    rows = []
    for number, name in enumerate(("astronaut", "chelsea", "coffee", "astronaut", "coffee")):
        pixels = np.asarray(imagecodecs.imread(PHOTOGRAPHS / f"{name}.png"))[..., :3]
        path = tmp_path / f'image, "{number}".png'
        imagecodecs.imwrite(path, np.ascontiguousarray(pixels[number * 20 :][:256, :280]))
        rows.append((path.name, "portraits, animals" if number < 2 else "things"))
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows.append(("broken.png", "things"))
    with (tmp_path / "all.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "kind"), *rows])
    return tmp_path / "all.csv"


def assess(collection: Path, folder: Path, *options: str) -> int:
    columns = ("--columns", "source=path,group=kind", "--workers", "1")
    return run(["assess", str(collection), str(folder), *columns, *options])


def test_a_collection_is_assessed_group_by_group(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "assessment"
    options = ("--samples", "10", "--settings", "q92,same-as=q92,ssimulacra2=70")
    assert assess(collection, folder, *options) == 3, "one of the sample cannot be converted"
    said = capsys.readouterr().out
    page = (folder / "index.html").read_text(encoding="utf-8")
    totals = {}
    for name in ("q92", "same-as-q92", "ssimulacra2-70"):
        with closing(sqlite3.connect(folder / f"{name}.zgj")) as ledger:
            states = dict(ledger.execute("SELECT state, count(*) FROM images GROUP BY state").fetchall())
            totals[name] = ledger.execute("SELECT sum(output_size) FROM images").fetchone()[0]
        assert states["done"] == 5
        assert len(list((folder / name).iterdir())) == 5
        assert f"{name}.zgj" in page
    assert totals["ssimulacra2-70"] < totals["same-as-q92"] < 0.93 * totals["q92"]
    assert page.count('<svg class="chart"') == 2
    assert page.count("<ellipse") == 6
    assert "portraits, animals" in page
    recommended = re.search(r"^use: +(.*)$", said, re.MULTILINE)
    assert recommended is not None
    words = shlex.split(recommended[1])
    assert words[:2] == ["ziggurat", "convert"]
    assert words[words.index("--fidelity") + 1] == "same-as=q92", "smaller than quality 92 and as good; 70 is not"
    assert run([*words[1:3], str(tmp_path / "out"), *words[4:], "--dry-run"]) == 3


def test_the_same_command_goes_on_with_the_same_sample(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "assessment"
    for _ in range(2):
        assess(collection, folder, "--samples", "1", "--settings", "q80")
    first, second = (
        re.findall("^q80: .*B .*$", part, re.MULTILINE) for part in capsys.readouterr().out.split("use:")[:2]
    )
    assert first == second
    with closing(sqlite3.connect(folder / "q80.zgj")) as ledger:
        assert ledger.execute("SELECT sum(attempts) FROM images WHERE state = 'done'").fetchone()[0] <= 2


def test_a_sample_is_of_every_group_and_the_same_every_time() -> None:
    rows = [Row(source=f"{number}.png", fields={"group": "many" if number % 50 else "few"}) for number in range(1000)]
    rows.append(Row(source="", problem="line 9 is no CSV"))
    found = sample(rows, 30)
    assert found == sample(iter(rows), 30)
    assert found.sizes == {"few": 20, "many": 980}
    by_group = {group: [row.source for name, row in found.chosen if name == group] for group in found.sizes}
    assert {group: len(set(sources)) for group, sources in by_group.items()} == {"few": 20, "many": 30}
    places = sorted(int(source.removesuffix(".png")) for source in by_group["many"])
    assert places[0] < 150
    assert places[-1] > 850, "from all over the manifest"


def test_nothing_to_assess_is_said() -> None:
    with pytest.raises(SourceNotFound):
        sample([Row(source="", problem="nothing there")], 3)


@pytest.mark.parametrize(
    "options", [("--samples", "0"), ("--settings", "q92,q92"), ("--settings", "best"), ("--settings", "")]
)
def test_what_makes_no_sense_is_refused(collection: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert assess(collection, tmp_path / "out", *options) == 2
    assert not (tmp_path / "out").exists()
