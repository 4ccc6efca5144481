"""Converts on Dask clusters: with workers that are killed, with one worker and with two.

Can write sections of ``docs/benchmarks.md``; needs no peers. Every worker of the comparison is bound to one core.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import apsw
import imagecodecs
import numpy as np
from numpy.typing import NDArray  # noqa: TC002 - as elsewhere

from convert import REPOSITORY
from tables import machine, table, write_section

PHOTOGRAPHS = REPOSITORY / "samples" / "photographs"
KILL_SECONDS = 30.0
FOLDER = 1000
"""Images of a folder."""

SMALL = (48, 64)
LARGE = (800, 1000)
PORT = 18786


def command(name: str, *words: str | Path) -> list[str]:
    """A command line of this environment."""
    return [str(Path(sys.executable).with_name(name)), *map(str, words)]


def crops(folder: Path, count: int, size: tuple[int, int], suffix: str) -> None:
    """Writes crops of photographs, no two alike."""
    pictures = [imagecodecs.png_decode(path.read_bytes())[..., :3] for path in sorted(PHOTOGRAPHS.glob("*.png"))]
    # The photographs are smaller than the larger crops: each is continued by itself.
    pictures = [np.tile(picture, (4, 4, 1)) for picture in pictures]
    choose = random.Random(1)
    for number in range(count):
        picture: NDArray[np.uint8] = pictures[number % len(pictures)]
        y, x = (choose.randrange(whole - part + 1) for whole, part in zip(picture.shape, size, strict=False))
        crop = np.ascontiguousarray(picture[y : y + size[0], x : x + size[1]])
        place = folder / f"{number // FOLDER:03}"
        place.mkdir(parents=True, exist_ok=True)
        data = imagecodecs.png_encode(crop, level=1) if suffix == ".png" else imagecodecs.jpeg2k_encode(crop, level=0)
        (place / f"{number % FOLDER:03}{suffix}").write_bytes(data)


def workers_of(job: int) -> list[int]:
    """The Dask workers that a job has started: those of its children that have children themselves."""
    try:
        children = Path(f"/proc/{job}/task/{job}/children").read_text(encoding="ascii").split()
        others = [path.read_text(encoding="ascii").split() for path in Path(f"/proc/{job}/task").glob("*/children")]
    except OSError:
        return []
    found = {int(child) for child in [*children, *(pid for one in others for pid in one)]}
    return sorted(pid for pid in found if b"spawn_main" in _cmdline(pid))


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def ask(ledger: Path, sql: str) -> list[tuple[object, ...]]:
    """Asks a ledger that nobody works on."""
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(db.execute(sql))
    finally:
        db.close()


def with_kills(work: Path, count: int) -> str:
    """Converts small images while one worker after the other is killed; counts what came of it."""
    crops(work / "small", count, SMALL, ".png")
    out, ledger = work / "out", work / "kills.zgj"
    convert = command("ziggurat", "convert", work / "small", out, "--to", "jpeg", "--job", ledger, "--engine", "dask")
    choose = random.Random(2)
    began = time.monotonic()
    killed = 0
    with (work / "log").open("w") as log:
        job = subprocess.Popen([*convert, "--workers", "2", "--memory", "4G"], stdout=log, stderr=log)
        while True:
            try:
                job.wait(KILL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                workers = workers_of(job.pid)
            if workers:
                os.kill(choose.choice(workers), signal.SIGKILL)
                killed += 1
    seconds = time.monotonic() - began
    [(done, targets)] = ask(ledger, "SELECT count(*), count(DISTINCT target) FROM images WHERE state = 'done'")
    [(lost, again)] = ask(ledger, "SELECT count(*), count(DISTINCT image) FROM attempts")
    files = [path for path in out.rglob("*") if path.is_file()]
    recorded = {str(target): size for target, size in ask(ledger, "SELECT target, output_size FROM images")}
    right = sum(recorded.get(path.relative_to(out).as_posix()) == path.stat().st_size for path in files)
    header = ("images", "done", "targets", "files", "of the recorded size", "workers killed", "attempts lost", "s")
    figures = [count, done, targets, len(files), right, killed, lost, f"{seconds:.0f}"]
    if (job.returncode, done, targets, len(files), right, again) != (0, count, count, count, count, lost):
        print(f"exit code {job.returncode}; see {work / 'log'}", file=sys.stderr)
    return table(header, [[str(figure) for figure in figures]])


@contextmanager
def cluster(work: Path, workers: int) -> Iterator[str]:
    """A scheduler, and workers of one thread and one core each."""
    address = f"tcp://127.0.0.1:{PORT + workers}"
    with ExitStack() as stack:
        log = stack.enter_context((work / f"cluster-{workers}.log").open("w"))

        def start(words: list[str]) -> None:
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=work)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start(command("dask", "scheduler", "--host", "127.0.0.1", "--port", str(PORT + workers), "--no-dashboard"))
        for core in range(workers):
            worker = command("dask", "worker", address, "--nthreads", "1", "--memory-limit", "2GiB", "--no-dashboard")
            start(["taskset", "--cpu-list", str(core), *worker])
        yield address


def scaling(work: Path, count: int) -> str:
    """Converts the same images with one worker and with two."""
    crops(work / "large", count, LARGE, ".j2k")
    lines: list[list[str]] = []
    seconds: list[float] = []
    for workers in (1, 2):
        out, ledger = work / f"out-{workers}", work / f"{workers}.zgj"
        with cluster(work, workers) as address:
            convert = command("ziggurat", "convert", work / "large", out, "--to", "jpeg", "--job", ledger)
            time.sleep(8)  # so that all workers are there from the beginning
            subprocess.run(
                [*convert, "--engine", "dask", "--scheduler", address], check=True, stdout=subprocess.DEVNULL
            )
        # Between the first image in its place and the last: starting is not what is compared.
        [(span, cpu, wall)] = ask(
            ledger,
            "SELECT max(finished_at) - min(finished_at), avg(cpu_seconds),"
            " avg(read_seconds + write_seconds + verify_seconds + publish_seconds) FROM images",
        )
        seconds.append(float(str(span)))
        speed = (count - 1) / seconds[-1]
        figures = (seconds[-1], speed, speed / ((count - 1) / seconds[0]), float(str(cpu)), float(str(wall)))
        lines.append([str(workers), *(f"{figure:.2f}" for figure in figures)])
    return table(("workers", "s", "images/s", "times", "CPU s an image", "wall s an image"), lines)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=100_000, help="images while workers are killed; 0 leaves it out")
    parser.add_argument("--large", type=int, default=400, help="images with one worker and two; 0 leaves it out")
    parser.add_argument("--output", type=Path, help="document to write the sections into, such as docs/benchmarks.md")
    given = parser.parse_args(words)
    work = Path(tempfile.mkdtemp(prefix="ziggurat-dask-"))
    where = f"`.venv/bin/python bench/dask_engine.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}."
    sections: dict[str, str] = {}
    try:
        if given.small:
            text = (
                f"{given.small:,} crops of photographs, {SMALL[1]} x {SMALL[0]}, to JPEG by two Dask workers of this "
                f"machine, one of which gets SIGKILL every {KILL_SECONDS:.0f} s. Attempts lost are those that a killed "
                "worker had in hand; they were made again."
            )
            sections["dask-kills"] = "\n\n".join(
                ("## Dask workers that are killed", where, text, with_kills(work, given.small))
            )
        if given.large:
            text = (
                f"{given.large:,} crops of {LARGE[1]} x {LARGE[0]}, lossless JPEG 2000 to JPEG. Every worker has one "
                "thread and one core; the scheduler and the job share these cores."
            )
            sections["dask-scaling"] = "\n\n".join(
                ("## One Dask worker and two", where, text, scaling(work, given.large))
            )
    finally:
        shutil.rmtree(work)
    for name, section in sections.items():
        print(section, end="\n\n", flush=True)
        if given.output is not None:
            write_section(given.output, name, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
