"""The cutouts of a catalogue: every target has its row and its reason, and nothing is lost by a kill."""

import hashlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import ziggurat
from sky_files import save, sky, tan
from ziggurat.cli import run

SIZE = (200, 260)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    for number in range(3):
        header = tan(150 + number * 0.05, 2, SIZE, FILTER="r", BUNIT="nanomaggy")
        save(folder / f"field{number}.fits", (sky(SIZE, number), header))
    hole = np.full(SIZE, np.nan, "f4")
    save(folder / "hole.fits", (hole, tan(160, 2, SIZE, FILTER="r")))
    return folder


def table(path: Path, rows: Sequence[str], header: str = "name,ra,dec") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def rows(job: Path, columns: str = "id, state") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(job)) as ledger:
        return ledger.execute(f"SELECT {columns} FROM targets ORDER BY id").fetchall()  # noqa: S608 - our own words


def cutout(fields: Path, catalogue: Path, out: Path, *more: str) -> list[str]:
    command = ["cutout", str(fields), "--catalogue", str(catalogue), "--dest", str(out), "--size", "20px"]
    return [*command, *(() if "--workers" in more else ("--workers", "1")), *more]


def test_every_target_has_a_row_with_its_state_and_its_reason(fields: Path, tmp_path: Path) -> None:
    catalogue = table(
        tmp_path / "t.csv",
        [
            "good,150.01,2.003", "half,150.014,2", "sexagesimal,10:00:11.9,+02:00:00.5", "far,10,10", "hole,160,2",
            "words,here,there", "beyond,150,91", "twice,150,2", "twice,150.001,2", "short,150", "a/b c,150.05,2",
        ],
    )  # fmt: skip
    out = tmp_path / "out"
    assert run(cutout(fields, catalogue, out)) == 3
    found = rows(tmp_path / "out.zgj", "name, state, target, error_class")
    assert [(name, state) for name, state, _, _ in found] == [
        ("good", "done"), ("half", "done"), ("sexagesimal", "done"), ("far", "uncovered"), ("hole", "uncovered"),
        ("words", "refused"), ("beyond", "refused"), ("twice", "refused"), ("twice", "refused"), ("short", "refused"),
        ("a/b c", "done"),
    ]  # fmt: skip
    assert [kind for *_, kind in found if kind] == [
        "NotCovered", "NotCovered", "UsageError", "UsageError", "NameCollision", "NameCollision", "UsageError",
    ]  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == ["a_b_c.fits", "good.fits", "half.fits", "sexagesimal.fits"]
    covered = dict(rows(tmp_path / "out.zgj", "name, covered"))
    assert covered["good"] == 1
    assert 0 < covered["half"] < 1
    for name, target, size, digest in rows(tmp_path / "out.zgj", "name, target, output_size, output_sha256"):
        if digest is not None:
            data = (out / target).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest), name
    [(ra, dec)] = [row[1:] for row in rows(tmp_path / "out.zgj", "name, ra, dec") if row[0] == "sexagesimal"]
    assert (ra, dec) == pytest.approx((150 + 11.9 / 240, 2 + 0.5 / 3600))


def test_targets_are_cut_image_by_image_whatever_their_order(fields: Path, tmp_path: Path) -> None:
    targets = [f"t{n},{150 + 0.05 * (n % 3) + n * 1e-5:.6f},2" for n in range(60)]
    catalogue = table(tmp_path / "t.csv", targets)
    assert run(cutout(fields, catalogue, tmp_path / "out")) == 0
    leads = [lead for _, lead in sorted(rows(tmp_path / "out.zgj", "finished_at, lead"))]
    assert leads == sorted(leads)
    assert len(set(leads)) == 3


@pytest.mark.parametrize(("kind", "suffix"), [("pack", "fits"), ("png", "png")])
def test_cutouts_go_into_a_pack(fields: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    catalogue, out = table(tmp_path / "t.csv", ["a,150,2", "b,150.05,2", "far,10,10"]), tmp_path / "stamps.zpk"
    command = cutout(fields, catalogue, out, "--out", kind, "--workers", "2")
    assert run(command) == 0
    assert run(command) == 0
    for name, number in (("a", 0), ("b", 1)):
        with ziggurat.open(f"pack:{out}!{name}.{suffix}") as image:
            assert image.info.size == (20, 20)
            if suffix == "fits":
                np.testing.assert_array_equal(image.read()[:, :, 0], sky(SIZE, number)[90:110, 120:140])
    assert [state for _, state in rows(tmp_path / "stamps.zpk.zgj")] == ["done", "done", "uncovered"]


def test_the_same_command_again_does_nothing_twice_and_another_one_is_refused(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue, out = table(tmp_path / "t.csv", ["a,150,2", "b,150.05,2"]), tmp_path / "out"
    assert run(cutout(fields, catalogue, out)) == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(cutout(fields, catalogue, out)) == 0
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert "(resumed)" in capsys.readouterr().out
    assert run(cutout(fields, catalogue, out, "--bands", "g")) == 1
    assert "options.bands.names was []" in capsys.readouterr().err
    table(catalogue, ["a,150,2"])
    assert run(cutout(fields, catalogue, out)) == 1
    assert "catalogue_sha256" in capsys.readouterr().err


def test_cutouts_that_are_there_are_not_overwritten(fields: Path, tmp_path: Path) -> None:
    catalogue, out = table(tmp_path / "t.csv", ["a,150,2", "b,150.05,2"]), tmp_path / "out"
    out.mkdir()
    (out / "a.fits").write_text("mine")
    assert run(cutout(fields, catalogue, out)) == 3
    assert rows(tmp_path / "out.zgj", "state, error_class") == [("failed", "TargetExists"), ("done", None)]
    assert (out / "a.fits").read_text() == "mine"
    (out / "a.fits").unlink()
    assert run(cutout(fields, catalogue, out, "--retry-failed")) == 0
    assert not [path for path in out.iterdir() if path.suffix != ".fits"]


def test_an_image_that_changes_under_way_is_not_cut(fields: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    header = tan(150, 2, SIZE)
    index = tmp_path / "sky.zgf"
    save(folder / "one.fits", (sky(SIZE), header))
    assert run(["footprints", str(folder), "--out", str(index)]) == 0
    save(folder / "one.fits", (sky(SIZE, 9), header))
    assert run(cutout(index, table(tmp_path / "t.csv", ["a,150,2"]), tmp_path / "out")) == 3
    assert rows(tmp_path / "out.zgj", "state, error_class") == [("failed", "SourceChanged")]
    assert fields.is_dir()


def test_pixels_are_those_of_the_image_and_columns_are_kept(fields: Path, tmp_path: Path) -> None:
    catalogue = table(tmp_path / "t.csv", ["150,2,7,17.5"], "RA_X,DEC_X,id,mag")
    out = tmp_path / "out"
    named = ("--columns", "ra=RA_X,dec=DEC_X,name=id", "--name", "{mag}/{id}_{row}")
    assert run(cutout(fields, catalogue, out, *named)) == 0
    np.testing.assert_array_equal(fits.getdata(out / "17.5" / "7_1.fits"), sky(SIZE)[90:110, 120:140])
    with closing(sqlite3.connect(tmp_path / "out.zgj")) as ledger:
        assert ledger.execute("SELECT * FROM manifest").fetchall() == [(1, "150", "2", "7", "17.5")]


@pytest.mark.parametrize(
    ("unit", "factor"), [("deg", 1.0), ("h", 1 / 15), ("rad", np.pi / 180), ("arcmin", 60.0), (None, 1.0)]
)
def test_fits_tables_have_positions_in_the_unit_of_their_column(
    fields: Path, tmp_path: Path, unit: str | None, factor: float
) -> None:
    ra = fits.Column("RAJ2000", "D", unit, array=np.array([150.0, 150.05]) * factor)
    dec = fits.Column("DEJ2000", "D", "deg", array=[2.0, 2.0])
    name = fits.Column("designation", "8A", array=["one", "two"])
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns([name, ra, dec]).writeto(path)
    assert run(cutout(fields, path, tmp_path / "out")) == 0
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "one.fits"), sky(SIZE)[90:110, 120:140])
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "two.fits"), sky(SIZE, 1)[90:110, 120:140])


def test_other_frames_are_understood(fields: Path, tmp_path: Path) -> None:
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - here only

    place = SkyCoord(150, 2, unit="deg").galactic
    catalogue = table(tmp_path / "t.csv", [f"a,{place.l.deg:.10f},{place.b.deg:.10f}"], "name,l,b")
    assert run(cutout(fields, catalogue, tmp_path / "out", "--frame", "galactic")) == 0
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "a.fits"), sky(SIZE)[90:110, 120:140])


def test_a_kill_at_any_moment_loses_nothing(fields: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    targets = [f"t{n},{150 + rng.uniform(-0.01, 0.11):.6f},{2 + rng.uniform(-0.008, 0.008):.6f}" for n in range(300)]
    catalogue, out, job = table(tmp_path / "t.csv", targets), tmp_path / "out", tmp_path / "out.zgj"
    command = [sys.executable, "-m", "ziggurat", *cutout(fields, catalogue, out, "--workers", "2", "--fields", "best")]
    for _ in range(2):
        started = len(list(out.glob("*.fits"))) if out.is_dir() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if out.is_dir() and len(list(out.glob("*.fits"))) > started + 30:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    states = rows(job, "state, target, output_sha256")
    assert {state for state, *_ in states} <= {"done", "uncovered"}
    done = {target: digest for state, target, digest in states if state == "done"}
    assert len(done) > 200
    assert {path.name for path in out.iterdir()} == set(done)
    for target, digest in done.items():
        assert hashlib.sha256((out / target).read_bytes()).hexdigest() == digest


def test_a_worker_that_dies_costs_one_target(fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, out = table(tmp_path / "t.csv", ["a,150,2", "bad,150.001,2", "c,150.002,2"]), tmp_path / "out"
    patched = tmp_path / "patched"
    patched.mkdir()
    # Workers are new interpreters: they import this, which ends them at one target.
    (patched / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'spawn_main' in ' '.join(sys.argv) or '--multiprocessing-fork' in sys.argv:\n"
        "    import os\n"
        "    import ziggurat.sky.make as make\n"
        "    real = make.Maker.make\n"
        "    def deadly(self, place, images):\n"
        "        if abs(place.ra.deg - 150.001) < 1e-6:\n"
        "            os.abort()\n"
        "        return real(self, place, images)\n"
        "    make.Maker.make = deadly\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(patched))
    assert run(cutout(fields, catalogue, out)) == 3
    found = rows(tmp_path / "out.zgj", "name, state, error_class, attempts")
    assert [row[:3] for row in found] == [
        ("a", "done", None),
        ("bad", "quarantined", "WorkerCrashed"),
        ("c", "done", None),
    ]


def test_a_plan_that_was_cut_off_is_made_anew(fields: Path, tmp_path: Path) -> None:
    catalogue, out = table(tmp_path / "t.csv", ["a,150,2", "b,150.05,2"]), tmp_path / "out"
    assert run(cutout(fields, catalogue, out)) == 0
    with closing(sqlite3.connect(tmp_path / "out.zgj")) as ledger, ledger:
        for name in ("targets", "images", "manifest", "job WHERE key = 'planned_at'"):
            ledger.execute(f"DELETE FROM {name}")  # noqa: S608 - our own words
    assert run(cutout(fields, catalogue, out)) == 0
    assert rows(tmp_path / "out.zgj") == [(1, "done"), (2, "done")]


def test_a_dry_run_tells_and_changes_nothing(fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = table(tmp_path / "t.csv", ["a,150,2", "far,10,10"])
    assert run(cutout(fields, catalogue, tmp_path / "out", "--dry-run")) == 0
    told = capsys.readouterr().out
    assert "2 targets: 1 planned, 1 uncovered" in told
    assert "2 far uncovered: no image covers it" in told
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_ctrl_c_stops_and_the_same_command_goes_on(fields: Path, tmp_path: Path) -> None:
    targets = [f"t{n},{150 + n * 1e-5:.6f},2" for n in range(1000)]
    catalogue, out = table(tmp_path / "t.csv", targets), tmp_path / "out"
    command = [sys.executable, "-m", "ziggurat", *cutout(fields, catalogue, out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not list(out.glob("*.fits")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in told
    states = {state for _, state in rows(tmp_path / "out.zgj")}
    assert states <= {"done", "planned"}
    assert not [path for path in out.iterdir() if path.suffix != ".fits"]


@pytest.mark.parametrize(("rows_", "header", "said"), [
    (["1,2"], "x,y", "has no columns that are known for positions"),
    ([], "name,ra,dec", "has no rows"),
    (["1,2,3"], "ra,ra,dec", "with names that differ"),
])  # fmt: skip
def test_catalogues_that_are_none_are_refused(
    fields: Path, tmp_path: Path, rows_: list[str], header: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cutout(fields, table(tmp_path / "t.csv", rows_, header), tmp_path / "out")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.zgj").exists()
