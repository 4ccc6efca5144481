"""How many bytes each level of a picture takes, as a share of those of level 0, over all real pictures there are.

Writes the section "level-bytes" of ``docs/benchmarks.md``. Each picture is encoded in tiles, without loss and at a
tenth of its bytes, and laid out in chunks; the bytes of a level are those of its chunks' spans, which ``references``
writes down and which a store sends. ``tests/interop/test_level_bytes.py`` holds a store's own log against them.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

import ziggurat
from jpeg2000_maker import write_tiled
from tables import machine, table, write_section
from ziggurat.cli import run
from ziggurat.errors import ZigguratError
from ziggurat.image import Image
from ziggurat.interop.files import planes_at
from ziggurat.interop.references import references

REPOSITORY = Path(__file__).parents[1]
SMALLEST, LARGEST = 500, 4096
"""Pixels a side: of smaller pictures headers weigh more than pixels; of larger ones the middle is taken."""

TILE, LEVELS = 512, 4
RATE = 10
SHARES = (1.3, 0.01)
"""A level k is hoped to take at most 1.3 / 4^k + 1 % of level 0's bytes."""

LOSSY = frozenset({"jpeg", "jp2", "j2k", "webp", "avif"})
WAYS = ("HTJ2K, lossless", "JPEG 2000, lossless", f"JPEG 2000, {RATE} : 1")

SIDE, TIMES, LEVEL = 1024, 98, 3
MEAN = f"""
import json, re, time
from pathlib import Path
import dask.array, sys, zarr, ziggurat
def io(): return int(re.search(r"rchar: (\\d+)", Path("/proc/self/io").read_text())[1])
before, began = io(), time.perf_counter()
store = ziggurat.zarr_store(sys.argv[1], virtual=True, cache=0)
array = dask.array.from_zarr(zarr.open_group(store, mode="r")["{LEVEL}"])
array.mean().compute()
took, read = time.perf_counter() - began, io() - before
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
print(json.dumps([array.shape, took, read, store.hierarchy.read[{LEVEL}], peak]))
"""

WHY = """Pixels of a coarser level need more bits each than those of a finer one: it holds the same edges in fewer
pixels, and less noise. The noise of a camera or a scan takes most bytes of a lossless file, nearly all at level 0, so
that pictures with noise keep within the bound. Photographs that miss it do so by little, mostly at level 2; far beyond
are smooth or drawn pictures (maps, `artificial.png`, microscopy out of focus) and those from a phone, which has taken
the noise away. A lossy encoder leaves out noise and the finest details first. The coarser levels of such a file take no
more bytes than those of a lossless one, but a larger share of what is left: hardly one keeps within the bound, whatever
reads it. The bytes are those of the packets and of a head of 200 to 600 bytes a chunk. That nothing finer is read the
log of an S3 server says, too: `tests/interop/test_level_bytes.py`."""
type Pixels = NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """Shares of level 0's bytes that the levels 1, 2 and on take, of one picture in one way."""

    name: str
    way: str
    was_lossy: bool
    shares: tuple[float, ...]

    @property
    def holds(self) -> list[bool]:
        """Whether each level keeps within the bound."""
        return [share <= bound(level) for level, share in enumerate(self.shares, 1)]


def bound(level: int) -> float:
    """The largest share that is hoped for."""
    return SHARES[0] / 4**level + SHARES[1]


def is_natural(image: Image) -> bool:
    """Whether it is a picture of the world with grey or three colour bands, and neither tiny nor computed."""
    info = image.info
    return (
        min(info.size) >= SMALLEST
        and info.bands in {1, 3, 4}
        and info.dtype in {"uint8", "uint16"}
        and info.bit_depth >= 8
        and "palette" not in str(info.details)
    )


def middle(image: Image) -> Pixels:
    """Its colours, of a large one those in the middle: (y, x) or (y, x, 3)."""
    height, width = image.info.size
    high, wide = min(height, LARGEST), min(width, LARGEST)
    top, left = (height - high) // 2, (width - wide) // 2
    pixels = image.read(0, (top, left, top + high, left + wide))
    return pixels[..., 0] if pixels.shape[2] < 3 else np.ascontiguousarray(pixels[..., :3])


def pictures(folders: Sequence[Path]) -> Iterator[tuple[str, bool, Pixels]]:
    """Name, whether it was lossy before, and pixels, of all that can be read; each content once."""
    seen = set[bytes]()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            try:
                with ziggurat.open(str(path), cache=False) as image:
                    if not is_natural(image):
                        continue
                    pixels = middle(image)
                    lossy = image.info.format in LOSSY
            except ZigguratError:
                continue
            key = pixels[::64, ::64].tobytes()
            if key in seen or len(np.unique(pixels[::4, ::4])) < SMALLEST // 10:
                continue
            seen.add(key)
            yield f"{path.parent.name}/{path.name}", lossy, pixels


def encode(pixels: Pixels, way: str, path: Path) -> None:
    """Writes the picture in tiles, as one codestream."""
    if way == WAYS[0]:
        data = imagecodecs.htj2k_encode(pixels, tile=(TILE, TILE), resolutions=LEVELS, reversible=True)
        path.write_bytes(data)
        return
    magic, suffix = ("P6", ".ppm") if pixels.ndim > 2 else ("P5", ".pgm")
    plain = path.with_suffix(suffix)
    head = f"{magic}\n{pixels.shape[1]} {pixels.shape[0]}\n{np.iinfo(pixels.dtype).max}\n"
    plain.write_bytes(head.encode() + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())
    command = ["opj_compress", "-i", plain.name, "-o", path.name, "-n", str(LEVELS + 1), "-t", f"{TILE},{TILE}"]
    lossy = [] if way == WAYS[1] else ["-I", "-r", str(RATE)]
    subprocess.run([*command, *lossy], cwd=path.parent, check=True, capture_output=True)


def shares(path: Path) -> tuple[float, ...]:
    """What the levels take of level 0's bytes."""
    laid = path.with_name("laid.j2k")
    laid.unlink(missing_ok=True)
    with redirect_stdout(io.StringIO()):
        failed = run(["transcode", str(path), str(laid), "--layout", "chunks"])
    if failed:
        raise SystemExit("ziggurat transcode failed")
    with closing(planes_at(str(laid))) as planes:
        sizes = [int(level.length.sum()) for level in references(planes).levels]
    return tuple(size / sizes[0] for size in sizes[1:])


def summary(found: Sequence[Measured], way: str, *, lossy: bool) -> list[tuple[str, ...]]:
    """A row a level: the distribution of the shares, and how many keep within the bound."""
    kind = [item for item in found if item.way == way and item.was_lossy == lossy]
    rows = []
    for level in range(1, LEVELS + 1):
        values = np.array([item.shares[level - 1] for item in kind if len(item.shares) >= level])
        if len(values):
            quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
            within = int((values <= bound(level)).sum())
            shown = (f"{100 * value:.1f}" for value in quantiles)
            rows.append((way, str(level), *shown, f"{100 * bound(level):.1f}", f"{within} of {len(values)}"))
    return rows


@dataclass(frozen=True)
class Mean:
    """What the mean over a level took."""

    size: int
    shape: tuple[int, ...]
    seconds: float
    read: int
    chunks: int
    peak: int


def large_mean(sample: Pixels, work: Path) -> Mean:
    """The mean, by dask, over a level of a picture of ten gigapixels: one tile again and again."""
    tile = np.ascontiguousarray(sample[:SIDE, :SIDE])
    data = imagecodecs.htj2k_encode(tile, level=0.02, resolutions=5, reversible=False, prog_order="RPCL")
    path = work / "large.j2c"
    write_tiled(path, data, TIMES, tlm=True)
    found = subprocess.run([sys.executable, "-c", MEAN, str(path)], check=True, capture_output=True, text=True)
    shape, seconds, read, chunks, peak = json.loads(found.stdout)
    size = path.stat().st_size
    path.unlink()
    return Mean(size, tuple(shape), seconds, read, chunks, peak)


def report(found: Sequence[Measured], mean: Mean) -> str:
    """The section."""
    header = ("", "level", "least", "a quarter", "median", "three quarters", "most", "hoped for", "within")
    parts = []
    for lossy in (False, True):
        rows = [row for way in WAYS for row in summary(found, way, lossy=lossy)]
        count = len({item.name for item in found if item.was_lossy == lossy})
        title = "whose files were lossy already" if lossy else "from files without loss"
        parts.append(f"{count} pictures {title}:\n\n{table(header, rows)}")
    tables = "\n\n".join(parts)
    return f"""## Bytes of a level

`make bench-levels` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. Ziggurat {ziggurat.__version__},
load {os.getloadavg()[1]:.0f}.

All real pictures of the corpora of at least {SMALLEST} pixels a side (of larger ones than {LARGEST} the middle), in
tiles of {TILE}, laid out in chunks. The bytes of all chunks of a level in percent of those of level 0, over the
pictures; hoped for are {SHARES[0]} / 4^k + {100 * SHARES[1]:.0f} %, a little more than the level's share of the pixels.

{tables}

{WHY}

### Ten gigapixels

An HTJ2K file of {SIDE * TIMES} x {SIDE * TIMES} pixels in tiles of {SIDE}, {mean.size / 1e9:.2f} GB, as any encoder
writes it (no layout in chunks): the mean over level {LEVEL}, {mean.shape[0]} x {mean.shape[1]} pixels, by
`dask.array.from_zarr(zarr_store(..., virtual=True))` takes {mean.seconds:.0f} s, opening included, and
{mean.peak / 1e6:.0f} MB of memory at its peak, all libraries included. The {TIMES**2:,} chunks of the level are
{mean.chunks / 1e6:.0f} MB, {100 * mean.chunks / mean.size:.1f} % of the file; the process read {mean.read / 1e6:.0f} MB
in all: these, 4 KiB for the header of each tile, and nothing of other levels.
"""


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="folder of pictures")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="ziggurat-bytes-") as folder:
        path = Path(folder) / "picture.j2k"
        mean: Mean | None = None
        for name, lossy, pixels in pictures([arguments.data, REPOSITORY / "samples"]):
            if mean is None and min(pixels.shape[:2]) >= SIDE and pixels.ndim == 2 and pixels.dtype == np.uint8:
                mean = large_mean(pixels, Path(folder))
            for way in WAYS:
                encode(pixels, way, path)
                item = Measured(name, way, lossy, shares(path))
                found.append(item)
                held = " ".join(
                    f"{100 * share:.1f}{'' if holds else '!'}"
                    for share, holds in zip(item.shares, item.holds, strict=True)
                )
                print(f"{name} {'x'.join(map(str, pixels.shape))} {pixels.dtype} {way}: {held}", flush=True)
    if mean is None:
        raise SystemExit(f"there is no grey picture of {SIDE} pixels a side among them")
    write_section(arguments.out, "level-bytes", report(found, mean))


if __name__ == "__main__":
    main()
