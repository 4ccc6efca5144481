"""What an image costs as it grows, and a collection as it grows: the charts of ``docs/benchmarks.md``.

``make bench-growth`` runs it. Converting is compared with the pipelines of ``convert.py``, windows with the
libraries of ``window.py``, packs with what ``pack.py`` compares; planning has no peer.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import ziggurat
from convert import REPOSITORY, data_folder
from corpora import PICTURES, find
from pack import MAKERS, disk, index_tar, make_images, read
from pipelines import NAMES, Name, measured, run, versions
from plots import Axes, Points, curves
from scale import manifest
from scale import ziggurat as program
from tables import machine, table, write_section
from window_files import Files, encode
from window_task import AIMS, TIMEOUT, Answer, Task, box_for

CONVERTED = (512, 1024, 2048, 4096, 8192)
"""Pixels a side of the images that are converted."""

AT_LEAST = 64e6
"""Pixels of the small images that are converted together, so that starting a program is not what is measured."""

ONCE = 16e6
"""Pixels from which on an image is converted alone and once: two at a time would not fit the memory of all peers."""

WINDOWS = (1, 3, 5, 10, 16)
"""How often the sample of 2048 x 2048 is repeated in each direction for windows; 1 is the picture itself, 17 MP."""

PACKED = (1000, 10_000, 100_000)
READ = 5000
"""Images read at random of every form of a collection, from what was read before."""

PLANNED = (1000, 10_000, 100_000, 1_000_000)

SHOWN: Mapping[Name, str] = {
    "ziggurat": "Ziggurat",
    "fast": "Ziggurat, decode fast",
    "vips": "vips",
    "ImageMagick": "ImageMagick",
}

PLACES = {"pack": "images.zpk", "files": "images", "lmdb": "images.lmdb", "tar": "images.tar"}

FORMS = {"pack": "Ziggurat", "files": "plain files", "lmdb": "LMDB", "tar": "tar with an index"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and its figures.

    Attributes:
        name: of its file.
        axes: what it shows.
        lines: name to points (x, y); a reading that did not succeed is left out.
        show: a figure as text.
    """

    name: str
    axes: Axes
    lines: Mapping[str, Points]
    show: Callable[[float], str]

    def written(self, document: Path) -> str:
        """Draws it beside the document; the Markdown that shows it, with its figures as a table."""
        path = document.parent / "plots" / f"{self.name}.svg"
        curves(path, self.axes, self.lines)
        places = sorted({x for points in self.lines.values() for x, _ in points})
        rows = [
            [name, *(self.show(found[x]) if x in found else "-" for x in places)]
            for name, points in self.lines.items()
            for found in [dict(points)]
        ]
        return f"![{self.axes.title}](plots/{path.name})\n\n" + table((self.axes.x, *map(number, places)), rows)


def number(value: float) -> str:
    """A count or a size with three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Seconds with three digits that matter."""
    return f"{value:.3g}"


def say(text: str) -> None:
    """Tells how far it is."""
    print(text, file=sys.stderr, flush=True)


def converting(work: Path, data: Path) -> list[Chart]:
    """Lossless JP2 of one tile to JPEG of quality 92, by size: processor seconds a megapixel, and memory."""
    files = Files(work, data, 1)
    with ziggurat.open(str(find(data, PICTURES)[0])) as image:
        picture = image.read()[..., :3]
    cpu: dict[str, list[tuple[float, float]]] = {name: [] for name in SHOWN.values()}
    peaks: dict[str, list[tuple[float, float]]] = {name: [] for name in SHOWN.values()}
    for side in CONVERTED:
        folder = work / "converted" / "source"
        folder.mkdir(parents=True)
        times = -(-side // min(picture.shape[:2]))
        pixels = files.noisy(np.tile(picture, (times, times, 1))[:side, :side])
        encode(pixels, folder / "0.jp2", ())
        copies = 1 if side * side >= ONCE else math.ceil(AT_LEAST / side / side)
        for copy in range(1, copies):
            os.link(folder / "0.jp2", folder / f"{copy}.jp2")
        megapixels = side * side / 1e6
        for name in NAMES:
            took = run(name, folder, work / "converted" / name, 1 if copies == 1 else os.cpu_count() or 1)
            made = len(list((work / "converted" / name).glob("*.jpg")))
            say(f"{megapixels:.1f} MP, {name}: {took}, {made} of {copies}")
            if made == copies:
                cpu[SHOWN[name]].append((megapixels, took.cpu / megapixels / copies))
                peaks[SHOWN[name]].append((megapixels, took.peak / (1 << 20)))
        shutil.rmtree(work / "converted")
    size = "megapixels of an image"
    return [
        Chart("convert-cpu", Axes("JP2 to JPEG", size, "processor seconds a megapixel"), cpu, seconds),
        Chart("convert-memory", Axes("JP2 to JPEG", size, "MiB of the largest process"), peaks, number),
    ]


def reading(work: Path, data: Path, peers: Path, vips: Path) -> list[Chart]:
    """A window and an overview of a lossless JP2 of one tile without an index, by size: seconds in a fresh process."""
    readers = {"Ziggurat": Path(sys.executable), "GDAL": peers / "bin" / "python", "libvips": vips / "bin" / "python"}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {aim: {name: [] for name in readers} for aim in AIMS}
    for repeats in WINDOWS:
        files = Files(work / "files", data, repeats)
        file = files.make("jp2-plain", box_for(files.size, "window"))
        megapixels = file.size[0] * file.size[1] / 1e6
        for aim in AIMS:
            for name, python in readers.items():
                place = box_for(file.size, aim)
                output = str(work / "pixels.npy")
                task = Task(name, "jp2-plain", aim, str(file.path), "", "x/plain.jp2", file.size, place, None, output)
                took = _read(task, python, work / "cache")
                say(f"{megapixels:.0f} MP, {aim}, {name}: {took}")
                if took is not None:
                    found[aim][name].append((megapixels, took))
        file.path.unlink()
    titles = {
        "window": "512 x 512 of full resolution",
        "level": "512 x 512 of an eighth",
        "overview": "1000 pixels of all",
    }
    return [
        Chart(
            f"read-{aim}", Axes(f"JP2 of one tile: {title}", "megapixels of an image", "seconds"), found[aim], seconds
        )
        for aim, title in titles.items()
    ]


def _read(task: Task, python: Path, cache: Path) -> float | None:
    """Seconds from opening to pixels with an empty cache; None if it fails or takes too long."""
    shutil.rmtree(cache, ignore_errors=True)
    command = [str(python), str(REPOSITORY / "bench" / "window_worker.py"), task.dumps()]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=os.environ | {"ZIGGURAT_CACHE": str(cache)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else Answer.loads(done.stdout.splitlines()[-1]).seconds


def keeping(work: Path, data: Path) -> list[Chart]:
    """Small images by their number: microseconds of making and of a random read, and bytes on the disk."""
    made: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMS.values() if name != FORMS["files"]}
    got: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMS.values()}
    space: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMS.values()}
    for count in PACKED:
        places = {form: work / name for form, name in PLACES.items()}
        size = make_images(data, places["files"], count)
        for form, name in FORMS.items():
            if form in MAKERS:
                began = time.perf_counter()
                MAKERS[form](places["files"], places[form], count)
                os.sync()
                made[name].append((count, (time.perf_counter() - began) / count * 1e6))
            if form == "tar":
                index_tar(places[form])
            random = read(form, places[form], "warm", count, READ)
            got[name].append((count, random["seconds"] / random["images"] * 1e6))
            space[name].append((count, disk(places[form]) / size))
            say(f"{count} images, {name}: {random}")
        for place in places.values():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    count = "images"
    return [
        Chart("keep-make", Axes("Small images: making", count, "microseconds an image"), made, number),
        Chart("keep-read", Axes("Small images: a random read", count, "microseconds an image"), got, number),
        Chart("keep-space", Axes("Small images: disk", count, "bytes on the disk for a byte of image"), space, seconds),
    ]


def planning(work: Path) -> list[Chart]:
    """A job by its rows: seconds until the first image could begin, and until a finished job is known to be done."""
    source = work / "small.jp2"
    shutil.copyfile(REPOSITORY / "samples" / "sun" / "sdo-aia-193.jp2", source)
    points = []
    for rows in PLANNED:
        listing = work / "manifest.csv"
        manifest(listing, source, rows)
        words = ("convert", str(listing), str(work / "out"), "--to", "jpeg", "--columns", "source=path")
        names = ("--name", "{group}/{item}/{name}.jpg", "--dry-run", "--headers", "100")
        took = measured(program(*words, *names, "--job", str(work / "job.zgj")), work / "log")
        points.append((float(rows), took.wall))
        say(f"{rows} rows: {took}")
    return [
        Chart(
            "plan",
            Axes("Planning a job, 100 headers read", "rows of the manifest", "seconds"),
            {"Ziggurat": points},
            seconds,
        )
    ]


TEXT = {
    "convert-cpu": (
        "Converting lossless JP2 files of one tile, a photograph with the noise of a scan, to JPEG of quality 92 "
        "without chroma subsampling. Small images are converted together until they are 64 megapixels, two at once; of "
        "16 megapixels and more one alone. Ziggurat verifies every output in every pixel, and takes SSIMULACRA2; the "
        "others verify nothing. Whole commands, once."
    ),
    "read-window": (
        "Reading such a file from the disk, without an index and with an empty cache, each reading in a fresh process; "
        f"where a point is missing, the reader failed or took more than {TIMEOUT:.0f} s."
    ),
    "keep-make": (
        "Collections of JPEGs of 64 x 64 pixels, about 2 kB each, in every form. Making reads them from the folder of "
        f"plain files and includes the start of a program; random reads are {READ:,} keys, from the system's "
        "cache of files."
    ),
    "plan": "Planning a job: manifest read, targets named, collisions looked for, rows written into the ledger.",
}
"""What is said above the first chart of every kind."""


def main() -> int:
    """Measures, draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--work", type=Path, help="folder for what is made")
    parser.add_argument("--peers", type=Path, default=REPOSITORY / ".venv-peers", help="environment with rasterio")
    parser.add_argument("--vips", type=Path, default=REPOSITORY / ".venv-large-image", help="environment with pyvips")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args()
    data = data_folder(given.data)
    work = Path(tempfile.mkdtemp(prefix="ziggurat-growth-", dir=given.work))
    try:
        charts = [
            *converting(work, data),
            *reading(work, data, given.peers, given.vips),
            *keeping(work, data),
            *planning(work),
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    parts = [
        "## As images and collections grow",
        f"`make bench-growth` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {versions()}.",
    ]
    for chart in charts:
        parts += [TEXT[chart.name]] if chart.name in TEXT else []
        parts.append(chart.written(given.output))
    text = "\n\n".join(parts)
    print(text)
    write_section(given.output, "growth", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
