"""Measures what a job of a million rows costs besides its images, and how well memory is predicted.

Writes the sections "Planning" and "Memory" of ``docs/benchmarks.md``; needs no peers.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import cast

import apsw

from convert import REPOSITORY, data_folder
from pipelines import Run, measured
from tables import machine, table, write_section

ROWS = 1_000_000
LEFT = 100
"""Rows that a resumed job still has to do."""

BASE_MIB = (70, 150)
"""Resident MiB of a worker before it has anything in hand, which peaks include and predictions do not."""


def ziggurat(*words: str) -> list[str]:
    """The command line of the package that runs this."""
    return [str(Path(sys.executable).with_name("ziggurat")), *words]


def manifest(path: Path, source: Path, rows: int) -> None:
    """A manifest whose rows name the same small image, each with a target of its own."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "item", "name", "group"))
        writer.writerows((source, f"item-{row // 20}", f"page {row:07}", f"box-{row // 5000}") for row in range(rows))


def planning(work: Path, source: Path, rows: int) -> str:
    """Plans a manifest of so many rows; then goes on with a job of which all but a few are done."""
    listing, target, ledger = work / "manifest.csv", work / "out", work / "job.zgj"
    manifest(listing, source, rows)
    job = ("convert", str(listing), str(target), "--to", "jpeg", "--columns", "source=path", "--job", str(ledger))
    names = ("--name", "{group}/{item}/{name}.jpg")
    log = work / "log"
    lines = [_line("plan, 20,000 headers read (--dry-run)", measured(ziggurat(*job, *names, "--dry-run"), log))]
    few = measured(ziggurat(*job, *names, "--dry-run", "--headers", "100"), log)
    lines.append(_line("plan, 100 headers read (--dry-run)", few))
    _finished(ziggurat(*job, *names, "--headers", "100"), ledger, source)
    resumed = measured(ziggurat(*job, *names), log)
    lines.append(_line(f"resume, all done but {LEFT}, which are converted", resumed))
    lines.append(_line("resume, nothing left to do", measured(ziggurat(*job, *names), log)))
    return table(("", "wall s", "CPU s", "largest process MiB"), lines)


def _line(title: str, run: Run) -> list[str]:
    return [title, f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.peak >> 20}"]


def _finished(command: list[str], ledger: Path, source: Path) -> None:
    """Starts a job, stops it as soon as it has its plan, and enters nearly all rows as done."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout or ():
        if line.startswith("plan:"):
            break
    process.terminate()
    process.communicate()
    status = source.stat()
    db = apsw.Connection(str(ledger))
    with db:
        db.execute(
            "UPDATE images SET state = 'done', source_size = ?, source_tag = ? WHERE id <= "
            "(SELECT max(id) FROM images) - ? AND state <> 'done'",
            (status.st_size, f"mtime:{status.st_mtime_ns}", LEFT),
        )
        db.execute(
            "UPDATE items SET done = (SELECT count(*) FROM images WHERE images.item = items.item AND state = 'done')"
            " WHERE item IN (SELECT item FROM images WHERE state <> 'done')"
        )
        db.execute("UPDATE items SET done = images WHERE item NOT IN (SELECT item FROM images WHERE state <> 'done')")
    db.close()


def memory(work: Path, data: Path) -> str:
    """Converts everything in a folder and compares what workers took with what headers had predicted."""
    ledger = work / "memory.zgj"
    target = work / "memory"
    measured(ziggurat("convert", str(data), str(target), "--to", "jpeg", "--job", str(ledger)), work / "log")
    db = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    rows = db.execute("SELECT peak_memory, predicted_memory FROM images WHERE state = 'done' AND peak_memory > 0")
    found = [(int(peak), int(predicted)) for peak, predicted in cast("Iterator[tuple[int, int]]", rows)]
    db.close()
    groups = (("under 64 MiB", 0, 64), ("64 to 128 MiB", 64, 128), ("128 MiB and more", 128, 1 << 30))
    lines = []
    for title, low, high in groups:
        part = [(peak, predicted) for peak, predicted in found if low <= predicted >> 20 < high]
        if part:
            shares = [peak / predicted for peak, predicted in part]
            excess = [(peak - predicted) / (1 << 20) for peak, predicted in part]
            figures = [f"{median(shares):.2f}", f"{max(shares):.2f}", f"{median(excess):.0f}", f"{max(excess):.0f}"]
            lines.append([title, str(len(part)), *figures])
    header = ("predicted", "images", "ratio median", "ratio max", "difference median MiB", "difference max MiB")
    return table(header, lines)


def report(title: str, text: str, figures: str) -> str:
    """A section for the document."""
    where = f"`.venv/bin/python bench/scale.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}."
    return "\n\n".join((f"## {title}", where, text, figures))


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of images")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the manifest")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    given = parser.parse_args(words)
    data = data_folder(given.data)
    work = Path(tempfile.mkdtemp(prefix="ziggurat-scale-"))
    try:
        source = work / "small.jp2"
        shutil.copyfile(REPOSITORY / "samples" / "sun" / "sdo-aia-193.jp2", source)
        planned = report(
            "Planning",
            f"A manifest of {given.rows:,} rows of one small image, all with targets and {given.rows // 20:,} items.",
            planning(work, source, given.rows),
        )
        predicted = report(
            "Memory",
            "Every image of the test data that converts to JPEG: the peak of the worker's resident memory against "
            f"what its header had predicted. Peaks are of the whole process, its base of {BASE_MIB[0]} to "
            f"{BASE_MIB[1]} MiB included, for which the budget reserves 170 MiB a worker; predictions are of the image "
            "alone.",
            memory(work, data),
        )
    finally:
        shutil.rmtree(work)
    for name, section in (("planning", planned), ("memory", predicted)):
        print(section, end="\n\n")
        write_section(given.output, name, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
