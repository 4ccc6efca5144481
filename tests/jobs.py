"""What tests of whole jobs share: small sources, the command line in this process or another, the ledger's rows."""

import contextlib
import hashlib
import io
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ziggurat.cli import run

FAST = ("--workers", "2", "--memory", "2G")
"""A job of small images needs no more."""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def ziggurat(*arguments: object) -> Result:
    """Runs the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def convert(*arguments: object, to: str = "jpeg") -> Result:
    """Runs a job with few resources in this process; the arguments are SOURCE... DEST and options."""
    return ziggurat("convert", *arguments, "--to", to, *FAST)


def start(*arguments: object, driver: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Runs the command line in a process of its own, through a driver script if one is given."""
    entry = ["-m", "ziggurat"] if driver is None else [str(driver)]
    return subprocess.Popen(
        [sys.executable, *entry, *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> Result:
    """Waits for a process that ``start`` began."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Result(process.returncode, out, err)


def query(ledger: Path, sql: str) -> list[tuple[object, ...]]:
    """Asks a ledger that nobody works on."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        return connection.execute(sql).fetchall()


def rows(ledger: Path) -> dict[str, dict[str, object]]:
    """The images of a ledger by the last part of their source."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute("SELECT * FROM images ORDER BY id")]
    return {str(row["source"]).rpartition("/")[2]: row for row in found}


def states(ledger: Path) -> dict[str, object]:
    """The state of every image by the last part of its source."""
    return {name: row["state"] for name, row in rows(ledger).items()}


def files(folder: Path) -> set[str]:
    """All files below a folder, temporary ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def as_recorded(ledger: Path, folder: Path) -> bool:
    """Whether every done row's file has the digest that the ledger says, and nothing else lies there."""
    done = [row for row in rows(ledger).values() if row["state"] == "done"]
    for row in done:
        data = (folder / str(row["target"])).read_bytes()
        if (hashlib.sha256(data).hexdigest(), len(data)) != (row["output_sha256"], row["output_size"]):
            return False
    return files(folder) == {row["target"] for row in done}


def picture(height: int = 64, width: int = 96, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Something like a photograph: a slope with grain, different for every seed."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 100, width))[..., None]
    grain = rng.normal(0, 3, (height, width, bands))
    return np.clip(slope + rng.uniform(0, 30, bands) + grain, 0, 255).astype(np.uint8)


def write_image(path: Path, pixels: NDArray[np.uint8] | None = None, seed: int = 0) -> Path:
    """Writes an image in the format of the path's suffix and makes the folders above it."""
    pixels = picture(seed=seed) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels, path.suffix))
    return path


def encoded(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    """An image's bytes in one of the formats that are read."""
    match suffix:
        case ".png":
            return imagecodecs.png_encode(pixels, level=1)
        case ".jp2":
            return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", resolutions=3)
        case ".jpg":
            return imagecodecs.jpeg8_encode(pixels, level=90)
        case ".webp":
            return imagecodecs.webp_encode(pixels, level=90)
        case ".tif":
            import tifffile  # noqa: PLC0415 - slow to import, and few tests need it

            file = io.BytesIO()
            tifffile.imwrite(file, pixels, photometric="rgb", rowsperstrip=16)
            return file.getvalue()
        case _:
            raise ValueError(suffix)


def collection(folder: Path, count: int = 4, suffix: str = ".png") -> Path:
    """A folder of different small images, a00, a01 and so on."""
    for number in range(count):
        write_image(folder / f"a{number:02}{suffix}", seed=number)
    return folder


def manifest(path: Path, lines: list[str]) -> Path:
    """Writes a CSV file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def others_gone(group: int) -> bool:
    """Whether no process of a killed coordinator's session is left."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            return False
    return True
