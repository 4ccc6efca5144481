"""A catalogue's cutouts are followed, told of and checked again by the commands that conversions have."""

import csv
import json
import sqlite3
import time
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sky_files import save, sky, tan
from ziggurat.cli import run
from ziggurat.pack.writer import PackWriter
from ziggurat.sky.ledger import CutoutLedger

SIZE = (120, 160)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    for band, factor in (("g", 1), ("r", 2)):
        save(folder / f"{band}.fits", (factor * sky(SIZE, 1), tan(150, 2, SIZE, FILTER=band)))
    return folder


def cut(fields: Path, out: Path, *more: str) -> Path:
    """Five targets: three on an image, one on none, one without a position."""
    catalogue = out.with_suffix(".csv")
    rows = ["good,150,2,7", "half,150.008,2,8", "far,10,10,9", f"{HOSTILE},here,there,10", "taken,150.001,2,11"]
    catalogue.write_text("name,ra,dec,mag\n" + "\n".join(rows) + "\n")
    command = ["cutout", str(fields), "--catalogue", str(catalogue), "--size", "20px", "--workers", "1"]
    assert run([*command, "--dest", str(out), *more]) == 3
    return Path(f"{out}.zgj")


@pytest.fixture(scope="module")
def job(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("job") / "out"
    out.mkdir()
    # Is never overwritten: this target fails.
    (out / "taken.fits").write_text("mine")
    return cut(fields, out)


def test_status_tells_how_far_a_catalogue_is(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(job)]) == 0
    told = capsys.readouterr().out
    assert "no process works on it now; the last target was finished" in told
    assert "targets: 2 of 5 done, 40.0 % (2 done, 1 failed, 1 refused, 1 uncovered)" in told
    assert "no image covers 1 target" in told
    assert "target 5 taken failed: TargetExists" in told
    assert "image " not in told.replace("no image covers", "")


def test_status_of_a_running_catalogue_tells_the_time_that_is_left(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.zgj"
    copy.write_bytes(job.read_bytes())
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("UPDATE targets SET state = 'planned' WHERE state IN ('failed', 'refused')")
        db.execute("UPDATE targets SET finished_at = ?, seconds = 15 WHERE state = 'done'", (time.time() - 5,))
    with CutoutLedger.open(copy):
        assert run(["status", str(copy), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["working"], found["targets"], found["done"]) == (True, 5, 2)
    assert found["states"] == {"planned": 2, "done": 2, "uncovered": 1}
    # Two in twenty seconds, and two to come.
    assert found["seconds_left"] == pytest.approx(20, abs=3)
    assert "pixels" not in found


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[str] = []
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.add(tag)
        self.anchors |= {found["id"] or ""} if "id" in found else set()
        self.links += [found["href"] or ""] if "href" in found else []
        self.pictures += [found["src"] or ""] if tag == "img" else []


def test_the_page_shows_cutouts_and_every_target_with_its_reason(job: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert run(["report", str(job), str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    page = _Page(text)
    assert "script" not in page.elements
    assert HOSTILE not in text
    assert len(page.pictures) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures)
    assert {"cutouts", "uncovered", "failures", "targets", "throughput", "job"} <= page.anchors
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.anchors
    files = [link for link in page.links if not link.startswith("#")]
    assert files
    assert all((tmp_path / link).is_file() for link in files)
    for said in ("no image covers it", "TargetExists", "150.00800", "2 cutouts of 5 targets are in place"):
        assert said in text


def test_tables_have_every_target_and_failed_ones_can_be_fed_in_again(fields: Path, job: Path, tmp_path: Path) -> None:
    names = {option: tmp_path / f"t.{option}" for option in ("csv", "json", "failed")}
    options = [word for option, path in names.items() for word in (f"--{option}", str(path))]
    assert run(["report", str(job), str(tmp_path / "p.html"), "--samples", "0", *options]) == 0
    with names["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["done", "done", "uncovered", "refused", "failed"]
    assert float(rows[0]["ra"]) == 150
    assert float(rows[0]["covered"]) == 1
    found = json.loads(names["json"].read_text())
    assert [row["name"] for row in found["targets"]] == [row["name"] for row in rows]
    assert (found["summary"]["whole"], found["summary"]["joined"], found["summary"]["used"]) == (1, 0, 2)
    with names["failed"].open(newline="") as file:
        again = list(csv.DictReader(file))
    assert [(row["name"], row["mag"], row["state"]) for row in again] == [
        (HOSTILE, "10", "refused"),
        ("taken", "11", "failed"),
    ]
    command = ["cutout", str(fields), "--catalogue", str(names["failed"]), "--size", "20px", "--workers", "1"]
    assert run([*command, "--dest", str(tmp_path / "again")]) == 3
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["taken.fits"]


@pytest.mark.parametrize("kind", ["png", "pack"])
def test_pictures_and_packs_are_shown_and_checked_alike(
    fields: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("out.zpk" if kind == "pack" else "out")
    job = cut(fields, out, "--out", kind)
    assert run(["report", str(job)]) == 0
    assert len(_Page(job.with_suffix(".html").read_text()).pictures) == 3
    assert run(["verify", str(job)]) == 0
    assert "3 outputs read, 3 as recorded, 0 not" in capsys.readouterr().out
    if kind == "pack":
        with PackWriter(out) as writer:
            writer.remove("half.fits")
    else:
        (out / "half.png").unlink()
    assert run(["verify", str(job)]) == 3
    assert f"target 2 half.{'fits' if kind == 'pack' else kind}: it is gone" in capsys.readouterr().err


def test_a_changed_cutout_is_found(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = job.with_suffix("") / "good.fits"
    before = path.read_bytes()
    changed = bytearray(before)
    changed[-3000] ^= 1
    path.write_bytes(changed)
    assert run(["verify", str(job), "--json"]) == 3
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    path.write_bytes(before)
    assert [(row["id"], row["target"], row["problem"] is None) for row in told] == [
        (1, "good.fits", False),
        (2, "half.fits", True),
    ]


def test_looking_at_a_ledger_changes_nothing(job: Path, tmp_path: Path) -> None:
    before, names = job.read_bytes(), sorted(job.parent.iterdir())
    for command in (["status", str(job)], ["verify", str(job)], ["report", str(job), str(tmp_path / "p.html")]):
        assert run(command) == 0
    assert (job.read_bytes(), sorted(job.parent.iterdir())) == (before, names)
