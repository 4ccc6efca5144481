"""kill -9 of the coordinator or a worker, at named points and at random, loses nothing and repeats little."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jobs import others_gone, query

DRIVER = Path(__file__).with_name("kill_driver.py")
IMAGES = 24
RANDOM_KILLS = int(os.environ.get("ZIGGURAT_KILLS", "8"))
"""Kills at random moments; raise it for a longer trial."""

WORKER_POINTS = [f"worker:{point}:{n}" for point in ("read", "write", "verify", "record", "publish", "published")
                 for n in (1, 3)]  # fmt: skip
COORDINATOR_POINTS = [f"coordinator:{point}:{n}" for point in ("before-commit", "after-commit")
                      for n in (1, 2, 4, 8)]  # fmt: skip


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Small JPEG 2000 images, no two alike, in two folders."""
    folder = tmp_path / "in"
    rng = np.random.default_rng(7)
    for number in range(IMAGES):
        place = folder / f"item{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + number, 64, 3), np.uint8)
        (place / f"{number:02}.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2"))
    return folder


def command(collection: Path) -> list[str]:
    out = collection.parent / "out"
    return [sys.executable, str(DRIVER), "convert", str(collection), str(out), "--to", "jpeg", "--workers", "2",
            "--memory", "2G"]  # fmt: skip


def start(collection: Path, kill_at: str, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"KILL_AT": kill_at, "KILL_LOG": str(log)}
    log.unlink(missing_ok=True)
    return subprocess.Popen(
        command(collection), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def finish(collection: Path) -> None:
    """Resumes until the job is done and proves that it is whole."""
    job = start(collection, "nobody:nowhere:0", collection.parent / "killed.log")
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 0, said.decode()
    out = collection.parent / "out"
    ledger = Path(f"{out}.zgj")
    rows = query(ledger, "SELECT source, target, state, output_sha256, output_size FROM images")
    assert len(rows) == IMAGES
    assert {state for _, _, state, _, _ in rows} == {"done"}
    assert len({target for _, target, *_ in rows}) == IMAGES
    for _, target, _, sha256, size in rows:
        data = (out / target).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {target for _, target, *_ in rows}, "a temporary or foreign file remains"
    assert not list(out.parent.glob("*.scratch"))
    assert query(ledger, "SELECT sum(images), sum(done) FROM items") in ([(None, None)], [(IMAGES, IMAGES)])


@pytest.mark.parametrize(
    "points", [WORKER_POINTS[:6], WORKER_POINTS[6:], COORDINATOR_POINTS[:4], COORDINATOR_POINTS[4:]]
)
def test_a_kill_at_a_named_point_loses_nothing(collection: Path, points: list[str]) -> None:
    log = collection.parent / "killed.log"
    reached = 0
    for point in points:
        job = start(collection, point, log)
        said, _ = job.communicate(timeout=300)
        struck = log.exists() and log.read_text() == f"{point}\n"
        reached += struck
        if point.startswith("coordinator") and struck:
            assert job.returncode == -signal.SIGKILL, said.decode()
            deadline = time.monotonic() + 60
            while not others_gone(job.pid):
                assert time.monotonic() < deadline, "a worker outlived its coordinator"
                time.sleep(0.05)
        else:
            assert job.returncode == 0, said.decode()
            # Everything is done: begin anew so that the next point is reached.
            finish(collection)
            for left in collection.parent.glob("out.zgj*"):
                left.unlink()
            for path in (collection.parent / "out").rglob("*.jpg"):
                path.unlink()
    assert reached == len(points)
    finish(collection)


def test_kills_at_random_moments_lose_nothing(collection: Path) -> None:
    choose = random.Random(os.environ.get("ZIGGURAT_SEED", time.time_ns()))
    log = collection.parent / "killed.log"
    kills = 0
    while kills < RANDOM_KILLS:
        job = start(collection, "nobody:nowhere:0", log)
        time.sleep(choose.uniform(0.3, 2.2))
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
        try:
            victims = [job.pid, *map(int, children.read_text().split())]
        except OSError:
            victims = [job.pid]
        if job.poll() is None:
            try:
                os.kill(choose.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                pass
            else:
                kills += 1
        said, _ = job.communicate(timeout=300)
        assert job.returncode in {0, -signal.SIGKILL}, said.decode()
        if job.returncode == 0:
            finish(collection)
            for left in collection.parent.glob("out.zgj*"):
                left.unlink()
            for path in (collection.parent / "out").rglob("*.jpg"):
                path.unlink()
    finish(collection)
