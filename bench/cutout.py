"""Compares the cutouts of a catalogue with a loop of astropy's Cutout2D over whole files.

Writes the section "cutout" of ``docs/benchmarks.md``. Fields are made: as many pixels as an SDSS field has, noise.
Run it with ``tests`` on the path: ``PYTHONPATH=tests python bench/cutout.py``.
"""

import argparse
import csv
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import astropy
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from convert import REPOSITORY
from pipelines import Run, measured
from scale import ziggurat
from sky_files import SCALE, SDSS, save, sky, tan
from tables import machine, table, write_section
from ziggurat import __version__
from ziggurat.sky import images
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.one import cut
from ziggurat.sky.options import CutoutOptions
from ziggurat.testing.sources import CountingSource

FIELDS = 100
SIZES = ((0.01, 10_000), (0.05, 1_000))
"""Degrees of a side, and how many are cut: 10,000 of the larger ones would be 8 GB."""

CARDS = {f"INFO{number}": f"value {number}" for number in range(60)} | {"FILTER": "r", "BUNIT": "nanomaggy"}
"""An SDSS frame has about a hundred cards."""

REFERENCE = "Ziggurat, 2 workers"

COMPARED = 200
"""Cutouts of which every pixel is compared with astropy's."""


def make_fields(folder: Path, count: int) -> list[Path]:
    """Fields beside each other in rows, each turned a little."""
    folder.mkdir()
    found = []
    for number in range(count):
        header = tan(*centre(number), SDSS, turn=number % 7, **CARDS)
        found.append(save(folder / f"frame-r-{number:03}.fits", (sky(SDSS, number), header)))
    return found


def centre(number: int) -> tuple[float, float]:
    """Right ascension and declination of a field: rows of ten, over 0 h."""
    return (359.0 + 0.3 * (number % 10)) % 360, 2.0 + 0.25 * (number // 10)


def make_targets(path: Path, fields: Sequence[Path], count: int, size: float) -> None:
    """Places whose cutouts lie inside of a field, in no order; a loop that groups them must sort them first."""
    rng = np.random.default_rng(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "ra", "dec", "file"))
        for number in range(count):
            field = int(rng.integers(len(fields)))
            ra, dec = centre(field)
            # Turned by up to six degrees: a margin of a twentieth keeps the cutout inside.
            reach = [side * SCALE * 0.45 - size for side in SDSS]
            north, east = (rng.uniform(-max(side, 0.001), max(side, 0.001)) for side in reach)
            place = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(
                east * astropy.units.deg, north * astropy.units.deg
            )
            writer.writerow((f"t{number:05}", f"{place.ra.deg:.7f}", f"{place.dec.deg:.7f}", fields[field]))


def bytes_of_one(fields: Path, size: float) -> float:
    """Bytes that are read of a field for one cutout, against the cutout's own."""
    opened: list[CountingSource] = []
    real = images.open_source

    def counting(url: str) -> CountingSource:
        opened.append(CountingSource(real(url)))
        return opened[-1]

    images.open_source = counting
    try:
        place = SkyCoord(*centre(0), unit="deg")
        [made] = cut(
            [str(fields)], place, CutoutOptions(kind="fits", extent=parse_extent(f"{size}deg")), memory=1 << 30
        )
    finally:
        images.open_source = real
    return sum(source.bytes_read for source in opened) / made.data.nbytes


def compared(ours: Path, theirs: Path, count: int) -> str:
    """Whether the pixels of some cutouts are the same."""
    names = sorted(path.name for path in theirs.glob("*.fits"))[:: max(1, len(list(theirs.glob("*.fits"))) // count)]
    for name in names:
        np.testing.assert_array_equal(fits.getdata(ours / name), fits.getdata(theirs / name), name)
    return f"{len(names)} of them compared: every pixel is the same"


def counted(out: Path, log: Path, count: int) -> None:
    """Sees to it that a run made all cutouts."""
    made = len(list(out.glob("*.fits")))
    if made != count:
        raise RuntimeError(f"{made} cutouts of {count} were made:\n{log.read_text(encoding='utf-8')[-2000:]}")


def runs(work: Path, fields: Path, targets: Path, size: float, count: int) -> tuple[list[tuple[str, Run]], str]:
    """All of them after each other, on files that all have just been read."""
    script, log = str(REPOSITORY / "bench" / "cutout_astropy.py"), work / "log"
    found: list[tuple[str, Run]] = []

    def loop(name: str, order: str, processes: int) -> Path:
        out = work / f"astropy-{order}-{processes}"
        out.mkdir()
        command = [sys.executable, script, str(targets), str(out), str(size), order, str(processes)]
        found.append((name, measured(command, log)))
        counted(out, log, count)
        return out

    index = work / "fields.zgf"
    measured(ziggurat("footprints", str(fields), "--out", str(index)), log)
    for name, source, workers in (
        ("Ziggurat, 1 worker", fields, 1),
        (REFERENCE, fields, 2),
        ("Ziggurat, 2 workers, index ready", index, 2),
    ):
        command = ziggurat("cutout", str(source), "--catalogue", str(targets), "--size", f"{size}deg")
        out = work / f"{source.name}-{workers}"
        found.append((name, measured([*command, "--dest", str(out), "--workers", str(workers)], log)))
        counted(out, log, count)
    theirs = loop("Cutout2D, a file read for each target", "each", 1)
    loop("Cutout2D, targets sorted by file", "grouped", 1)
    loop("Cutout2D, sorted, 2 processes", "grouped", 2)
    said = compared(work / f"{fields.name}-2", theirs, COMPARED)
    for folder in work.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    return found, said


def main(words: Sequence[str] | None = None) -> int:
    """Makes the fields, measures, and writes the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=FIELDS)
    parser.add_argument("--targets", type=int, default=SIZES[0][1], help="of the small size; a tenth of the large one")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args(words)
    base = Path(tempfile.mkdtemp(prefix="ziggurat-cutout-"))
    try:
        text = [_head(given.fields)]
        fields = make_fields(base / "fields", given.fields)
        for size, count in ((SIZES[0][0], given.targets), (SIZES[1][0], max(1, given.targets // 10))):
            targets, work = base / f"targets-{size}.csv", base / "work"
            work.mkdir()
            make_targets(targets, fields, count, size)
            found, said = runs(work, base / "fields", targets, size, count)
            shutil.rmtree(work)
            text.append(_section(found, size, count, f"{said}. {_bytes(base / 'fields', size)}"))
    finally:
        shutil.rmtree(base)
    body = "\n\n".join(text)
    print(body)
    write_section(given.output, "cutout", body)
    return 0


def _head(fields: int) -> str:
    height, width = SDSS
    return (
        f"## Cutouts\n\n`make bench-cutout` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. Ziggurat {__version__}, "
        f"astropy {astropy.__version__}.\n\n"
        f"Out of {fields} fields of {height} x {width} pixels (float32, 12 MB each, TAN, eighty cards), around "
        "places in no order. Ziggurat finds the fields from their headers, keeps the ledger, sets checksums, takes "
        "digests, and flushes every cutout to the disk (fsync). The loops are told for nothing which file each "
        "target is in, and do none of that. One run each, files just read; whole commands, from start to exit. CPU is "
        "of all processes."
    )


def _section(found: Sequence[tuple[str, Run]], size: float, count: int, said: str) -> str:
    reference = dict(found)[REFERENCE].wall
    rows = [
        [name, f"{run.wall:.1f}", f"{count / run.wall:.0f}", f"{run.wall / reference:.2f}", f"{run.cpu:.1f}"]
        for name, run in found
    ]
    header = ("", "wall s", "cutouts/s", f"times {REFERENCE}", "CPU s")
    side = round(size / SCALE)
    return f"### {count:,} cutouts of {size}°, {side} x {side} pixels\n\n{said}\n\n{table(header, rows)}"


def _bytes(fields: Path, size: float) -> str:
    return f"Of a field, {bytes_of_one(fields, size):.2f} times a cutout's own bytes are read, its header included."


if __name__ == "__main__":
    sys.exit(main())
