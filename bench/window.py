"""Reads windows of large images from a disk and from S3, with Ziggurat and with the libraries that people use today.

``make bench-window`` runs it. It needs Debian's Ceph (the real S3 server of the tests), ``libopenjp2-tools`` and
``libvips42``, and two environments of peers: ``--peers`` with rasterio, tifffile, zarr 3 and s3fs, and
``--large-image`` with large_image, which needs zarr 2, and pyvips.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np

import s3_server
from convert import REPOSITORY, data_folder
from tables import write_section
from window_files import KINDS, SIZES, File, Files
from window_proxy import COUNTS
from window_report import MADE, report
from window_task import AIMS, TIMEOUT, Answer, Task, box_for, work_folder

ENOUGH = 5.0
"""Seconds from which on a reading is not repeated."""

MEMORY = 18 << 30
"""Bytes of address space that a process may take, so that the machine survives."""

WAIT = 0.03
"""Seconds that each request waits in the place called S3 + 30 ms."""

PLACES = ("disk", "S3", "S3 + 30 ms")

BUCKET = "windows"

STATES = ("Ziggurat", "Ziggurat again", "Ziggurat indexed", "Ziggurat sampled")
"""Ziggurat with an empty cache; the same reading once more; with an index made before and an empty cache; single pixels
of a level that is not there, with an empty cache."""

SMALL_BLOCKS, LARGE_BLOCKS = "bluestore block size = 8589934592", "bluestore block size = 25769803776"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a reading took.

    Attributes:
        seconds: median, from opening to pixels; None where it did not succeed.
        imports: seconds of imports before, median.
        requests: to the store, of the last repetition; None where they are not counted.
        bytes: that came from the store.
        peak: largest resident memory of the process.
        failure: why there are no seconds.
        difference: mean absolute difference from Ziggurat's pixels; None where shapes differ.
    """

    seconds: float | None
    imports: float
    requests: int | None
    bytes: int | None
    peak: int
    failure: str
    difference: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reading of one process: its answer, or why there is none, and what the relay counted."""

    answer: Answer | None
    failure: str
    requests: int | None
    bytes: int | None


class Bench:
    """Everything that one run needs.

    Args:
        given: the command line.
        work: folder for files.
    """

    def __init__(self, given: argparse.Namespace, work: Path) -> None:
        self._given = given
        self._work = work
        self._results = given.results or work.with_suffix(".json")
        self.figures: dict[str, dict[str, object]] = {}
        self.notes: dict[str, str] = {}
        if self._results.exists():
            kept = json.loads(self._results.read_text())
            self.figures, self.notes = kept["figures"], kept["notes"]
        self._endpoints: dict[str, str] = {}

    def run(self, sizes: Sequence[str], kinds: Sequence[str], server: s3_server.S3Server) -> None:
        """Measures every file at every place."""
        with relay(server.url) as slow:
            self._endpoints = {"S3": server.url, "S3 + 30 ms": slow}
            server.make_bucket(BUCKET, acl="public-read")
            for size in sizes:
                files = Files(self._work / "files", data_folder(self._given.data), SIZES[size])
                for kind in kinds:
                    say(f"{size}, {KINDS[kind]} ...")
                    file = files.make(kind, box_for(files.size, "window"))
                    self.notes[f"size|{size}|{kind}"] = str(file.path.stat().st_size)
                    server.client.upload_file(str(file.path), BUCKET, file.path.name, ExtraArgs={"ACL": "public-read"})
                    self._file(size, kind, file)
                    file.path.unlink()
                    server.client.delete_object(Bucket=BUCKET, Key=file.path.name)
                    self._save()

    def _save(self) -> None:
        self._results.write_text(json.dumps({"figures": self.figures, "notes": self.notes}, indent=1))

    def _file(self, size: str, kind: str, file: File) -> None:
        failed: set[tuple[str, str]] = set()
        for place in self._given.places.split(","):
            index = self._index(size, kind, file, place)
            for aim in AIMS:
                readers = [name for name in self._readers(kind, place, aim) if (name, aim) not in failed]
                if self._given.readers:
                    readers = [name for name in readers if name in self._given.readers.split(",")]
                tasks = {name: self._task(name, kind, aim, place, file, index) for name in readers}
                found = self._turns(tasks, place)
                for name, outcomes in found.items():
                    figure = self._figure(outcomes, tasks[name], file)
                    self.figures[f"{size}|{kind}|{place}|{aim}|{name}"] = asdict(figure)
                    say(f"  {place}, {aim}, {name}: {figure.seconds or figure.failure}  {figure.requests} requests")
                    if figure.failure and name not in STATES:
                        failed.add((name, aim))
                shutil.rmtree(self._work / "pixels", ignore_errors=True)

    def _index(self, size: str, kind: str, file: File, place: str) -> Path | None:
        """Makes an index: that of a file on the disk is not for its copy in a store."""
        if not kind.startswith("jp2"):
            return None
        index = self._work / "files" / f"{kind}.zgi"
        url = str(file.path) if place == "disk" else f"s3://{BUCKET}/{file.path.name}"
        shutil.rmtree(self._work / "cache", ignore_errors=True)
        command = [sys.executable, "-m", "ziggurat", "index", url, "--out", str(index), "--overwrite"]
        own = self._environment(self._endpoints.get(place), place)
        made = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
        self.notes[f"index|{size}|{kind}|{place}"] = made.stdout.strip().partition(": ")[2]
        return index

    @staticmethod
    def _readers(kind: str, place: str, aim: str) -> list[str]:
        jp2 = kind.startswith("jp2")
        made = kind in MADE and aim != "window"
        lacking = {"Ziggurat indexed": not jp2, "Ziggurat sampled": not made}
        names = [name for name in STATES if not lacking.get(name)]
        names.append("GDAL")
        if made:
            names.append("GDAL average")
        if place == "disk":
            names += ["libvips", "large_image"]
        elif aim == "window":
            names.append("GDAL vsicurl")
        return names if jp2 else [*names, "tifffile"]

    def _task(self, name: str, kind: str, aim: str, place: str, file: File, index: Path | None) -> Task:
        pixels = self._work / "pixels"
        pixels.mkdir(parents=True, exist_ok=True)
        return Task(
            reader="Ziggurat" if name in {"Ziggurat again", "Ziggurat indexed"} else name,
            kind=kind,
            aim=aim,
            local=str(file.path) if place == "disk" else None,
            endpoint=self._endpoints.get(place, ""),
            key=f"{BUCKET}/{file.path.name}",
            size=file.size,
            box=box_for(file.size, aim),
            index=str(index) if name == "Ziggurat indexed" else None,
            output=str(pixels / f"{name.replace(' ', '-')}.npy"),
        )

    def _turns(self, tasks: dict[str, Task], place: str) -> dict[str, list[Outcome]]:
        """All readers in turns, as often as told, those that take long once."""
        found: dict[str, list[Outcome]] = {name: [] for name in tasks}
        for _ in range(self._given.repetitions):
            for name, task in tasks.items():
                before = found[name]
                last = before[-1].answer if before else None
                if before and (last is None or last.seconds > ENOUGH):
                    continue
                if name == "Ziggurat again" and len(found["Ziggurat"]) <= len(before):
                    # It was not read cold this time: the cache is another reading's.
                    continue
                if name == "large_image" and any(item.answer is None for item in found.get("libvips", ())):
                    before.append(Outcome(None, "as libvips", None, None))
                    continue
                before.append(self._read(name, task, place))
        return found

    def _read(self, name: str, task: Task, place: str) -> Outcome:
        if name != "Ziggurat again":
            shutil.rmtree(self._work / "cache", ignore_errors=True)
        return self._process(task, place)

    def _process(self, task: Task, place: str) -> Outcome:
        endpoint = self._endpoints.get(place)
        counted = place == PLACES[2]
        if counted:
            counts(str(endpoint))
        command = [str(self._python(task.reader)), str(REPOSITORY / "bench" / "window_worker.py"), task.dumps()]
        limited = ["prlimit", f"--as={MEMORY}", *command]
        environment = self._environment(endpoint, place)
        try:
            done = subprocess.run(
                limited, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, f"> {TIMEOUT:.0f}", None, None)
        requests, size = counts(str(endpoint)) if counted else (None, None)
        if done.returncode:
            (self._work / "failures.log").open("a").write(f"{task.dumps()}\n{done.stderr}\n")
            lacking = done.returncode < 0 or "emory" in done.stderr
            return Outcome(None, "no memory" if lacking else "fails", requests, size)
        return Outcome(Answer.loads(done.stdout.splitlines()[-1]), "", requests, size)

    def _python(self, reader: str) -> Path:
        if reader in STATES:
            return Path(sys.executable)
        folder = self._given.large_image if reader in {"libvips", "large_image"} else self._given.peers
        return Path(folder) / "bin" / "python"

    def _environment(self, endpoint: str | None, place: str) -> dict[str, str]:
        own = dict(os.environ) | {"ZIGGURAT_CACHE": str(self._work / "cache")}
        # Installed packages are compiled, and so is what is measured here.
        own.pop("PYTHONDONTWRITEBYTECODE", None)
        if endpoint is None or place == "disk":
            return own
        return own | {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": s3_server.KEY,
            "AWS_SECRET_ACCESS_KEY": s3_server.SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_S3_ENDPOINT": urlsplit(endpoint).netloc,
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def _figure(self, outcomes: Sequence[Outcome], task: Task, file: File) -> Figure:
        answers = [item.answer for item in outcomes if item.answer is not None]
        last = outcomes[-1]
        if len(answers) < len(outcomes):
            return Figure(None, 0, last.requests, last.bytes, 0, last.failure, None)
        for answer in answers:
            self.notes[f"version|{task.reader}"] = answer.version
        return Figure(
            seconds=median(answer.seconds for answer in answers),
            imports=median(answer.imports for answer in answers),
            requests=last.requests,
            bytes=last.bytes,
            peak=max(answer.peak for answer in answers),
            failure="",
            difference=self._difference(task, file),
        )

    def _difference(self, task: Task, file: File) -> float | None:
        found = np.load(task.output)[..., :3].astype(np.int16)
        ours = self._work / "pixels" / "Ziggurat.npy"
        truth = np.load(ours) if ours.exists() else None
        if task.aim == "window" and file.truth is not None:
            truth = file.truth
        if truth is None or truth.shape != found.shape:
            return None
        return float(np.abs(found - truth).mean())


def say(text: str) -> None:
    """Tells how far it is."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def relay(url: str) -> Iterator[str]:
    """A relay in a process of its own that lets every request wait; its URL."""
    place = urlsplit(url)
    script = REPOSITORY / "bench" / "window_proxy.py"
    command = [sys.executable, str(script), str(place.hostname), str(place.port), str(WAIT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int((process.stdout or sys.stdin).readline())}"
        finally:
            process.terminate()


def counts(url: str) -> tuple[int, int]:
    """Requests and bytes since the last time."""
    with urllib.request.urlopen(url + COUNTS) as answer:  # noqa: S310 - our own relay
        told = json.loads(answer.read())
    return told["requests"], told["bytes"]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(SIZES), help="of the images, with commas")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of the files, with commas")
    parser.add_argument("--readers", help="only these, with commas; their figures are put among the others")
    parser.add_argument("--places", default=",".join(PLACES), help="with commas")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=REPOSITORY / ".venv-peers", help="environment")
    parser.add_argument("--large-image", type=Path, default=REPOSITORY / ".venv-large-image", help="environment")
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="where a work folder is made")
    parser.add_argument("--results", type=Path, help="figures of earlier runs, which are kept and added to")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    parser.add_argument("--report", action="store_true", help="only write what was measured before")
    return parser.parse_args(words)


def main() -> int:
    """Makes files, measures, prints and writes."""
    given = arguments()
    work = work_folder(given.work)
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(given, work)
    if not given.report:
        # Files of a gigapixel need more than the tests' disk, and what is deleted is to go at once.
        s3_server.CONFIG = s3_server.CONFIG.replace(SMALL_BLOCKS, LARGE_BLOCKS)
        s3_server.CONFIG += "rgw gc obj min wait = 1\nrgw gc processor period = 5\n"
        server = s3_server.S3Server(Path(tempfile.mkdtemp(prefix="zg-s3-", dir=given.work)))
        try:
            server.start()
            bench.run(given.sizes.split(","), given.kinds.split(","), server)
        finally:
            server.stop()
            shutil.rmtree(work / "files", ignore_errors=True)
            shutil.rmtree(work / "cache", ignore_errors=True)
    text = report(bench.figures, bench.notes)
    print(text)
    write_section(given.output, "window", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
