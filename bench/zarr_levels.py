"""Compares virtual levels with arrays that store a pyramid: sizes, opening, thumbnails, windows and whole levels.

Writes the section "zarr" of ``docs/benchmarks.md``. All are read from the disk by zarr-python;
of the references nothing but fsspec, zarr and imagecodecs-zarr takes part. Needs ome-zarr and
libvips' ``vips``; ``make bench-zarr`` installs the first beside Ziggurat. Blosc2's grok plugin runs in a process of an
environment of its own, whose Python is given with ``--grok``: ``pip install "blosc2<4" blosc2-grok numpy``.
"""

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import imagecodecs
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.storage import FsspecStore

import ziggurat
from corpora import NOISE, PICTURES, find
from tables import machine, table, write_section
from ziggurat.cli import run

REPOSITORY = Path(__file__).parents[1]

TILE, LEVELS = 512, 5
WINDOW, WINDOWS = 512, 100
THUMBNAIL = 256
REFERENCES = "references.json"

GROK_WINDOWS = 20
GROK = """
import json, sys, time
import blosc2, blosc2_grok, numpy as np
source, path, tile, places = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
pixels = np.load(source)
blosc2.set_nthreads(1)  # with several the plugin often hangs
blosc2_grok.set_params_defaults(cod_format=blosc2_grok.GrkFileFmt.GRK_FMT_JP2, num_threads=1)
cparams = {"codec": blosc2.Codec.GROK, "filters": [], "splitmode": blosc2.SplitMode.NEVER_SPLIT, "nthreads": 1}
block = (tile, tile, 3)
blosc2.asarray(pixels, chunks=block, blocks=block, cparams=cparams, urlpath=path, mode="w")
def seconds(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
opening, array = seconds(lambda: blosc2.open(path, mode="r", dparams={"nthreads": 1}))
windows, _ = seconds(lambda: [array[y0:y1, x0:x1] for y0, y1, x0, x1 in places])
whole, found = seconds(lambda: array[...])
assert np.array_equal(found, pixels)
print(json.dumps([blosc2.__version__, opening, windows, whole]))
"""

type Pixels = NDArray[Any]
type Read = Callable[[slice, slice], Pixels]
"""Rows and columns of a level, in whatever order of axes."""


@dataclass(frozen=True)
class Level:
    """A level that is open: its height and width, and what reads of it."""

    height: int
    width: int
    read: Read


@dataclass(frozen=True)
class Kept:
    """A way to keep the levels of a picture.

    Attributes:
        name: for the table.
        path: the file or folder.
        open: opens it anew, and gives its levels, finest first.
        lossless: whether the finest level is the picture.
    """

    name: str
    path: Path
    open: Callable[[], list[Level]]
    lossless: bool = True

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())


def picture(data: Path) -> Pixels:
    """A photograph with the noise of a scan: (y, x, 3)."""
    found = find(data, PICTURES[:1]) or find(data, PICTURES)
    with ziggurat.open(str(found[0])) as image:
        pixels = image.read()[..., :3].astype(np.float32)
    pixels += np.random.default_rng(92).normal(0, NOISE, pixels.shape).astype(np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def levels_of(group: zarr.Group) -> list[Level]:
    """Levels of an OME-Zarr group with axes c, y, x."""
    paths = [item["path"] for item in group.attrs["ome"]["multiscales"][0]["datasets"]]
    return [_level(group[path]) for path in paths]


def _level(array: zarr.Array) -> Level:
    height, width = array.shape[-2:]
    return Level(height, width, lambda rows, columns: array[..., rows, columns])


def virtual(work: Path, pixels: Pixels) -> list[Kept]:
    """One HTJ2K file; its levels by references, and by Ziggurat's stores."""
    path, laid, references = work / "scan.j2c", work / "virtual.j2c", work / REFERENCES
    path.write_bytes(
        imagecodecs.htj2k_encode(pixels, tile=(TILE, TILE), resolutions=LEVELS, reversible=True, prog_order="RPCL")
    )
    for command in (["transcode", path, laid, "--layout", "chunks"], ["references", laid, references]):
        if run([str(word) for word in command]):
            raise SystemExit(f"ziggurat {command[0]} failed")

    def referred() -> list[Level]:
        files = fsspec.filesystem("reference", fo=str(references), asynchronous=True, skip_instance_cache=True)
        return levels_of(zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r"))

    def store(*, as_it_is: bool) -> list[Level]:
        return levels_of(zarr.open_group(ziggurat.zarr_store(str(laid), virtual=as_it_is, cache=0), mode="r"))

    return [
        Kept("HTJ2K, virtual levels, references without Ziggurat", laid, referred),
        Kept("HTJ2K, virtual levels, Ziggurat's store", laid, lambda: store(as_it_is=True)),
        Kept("HTJ2K, Ziggurat's decoding store", laid, lambda: store(as_it_is=False)),
    ]


def stored(work: Path, pixels: Pixels) -> Kept:
    """OME-Zarr as ome-zarr-py writes it: zstd, a pyramid of as many levels."""
    from ome_zarr.scale import Scaler  # noqa: PLC0415 - a peer
    from ome_zarr.writer import write_image  # noqa: PLC0415

    path = work / "stored.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    options = {"chunks": (3, TILE, TILE), "compressors": [zarr.codecs.BloscCodec(cname="zstd", clevel=5)]}
    write_image(
        np.moveaxis(pixels, 2, 0), group, axes="cyx", scaler=Scaler(max_layer=LEVELS - 1), storage_options=options
    )
    return Kept(
        "OME-Zarr, zstd, stored pyramid (ome-zarr-py)", path, lambda: levels_of(zarr.open_group(path, mode="r"))
    )


def pyramid(work: Path, pixels: Pixels) -> Kept:
    """A pyramidal TIFF as libvips writes it, through tifffile's Zarr store."""
    plain, path = work / "plain.tif", work / "pyramid.tif"
    tifffile.imwrite(plain, pixels, photometric="rgb")
    options = f"compression=deflate,predictor=horizontal,tile,tile-width={TILE},tile-height={TILE},pyramid,bigtiff"
    subprocess.run(["vips", "copy", plain.name, f"{path.name}[{options}]"], cwd=work, check=True)
    plain.unlink()

    def levels() -> list[Level]:
        pages = tifffile.TiffFile(path).pages
        return [_tiff_level(zarr.open_array(page.aszarr(), mode="r")) for page in pages]

    return Kept("TIFF, Deflate, pyramid, tifffile's Zarr store", path, levels)


def _tiff_level(array: zarr.Array) -> Level:
    return Level(array.shape[0], array.shape[1], lambda rows, columns: array[rows, columns])


def grok(python: str, work: Path, pixels: Pixels) -> tuple[Kept, "Measured", str]:
    """A Blosc2 array of JPEG 2000 blocks by the grok plugin, which has no levels; and its version of python-blosc2."""
    path, source = work / "grok.b2nd", work / "pixels.npy"
    np.save(source, pixels)
    high, wide = pixels.shape[:2]
    places = windows(Level(high, wide, lambda rows, columns: pixels[rows, columns]))[:GROK_WINDOWS]
    said = json.dumps([(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in places])
    command = [python, "-c", GROK, str(source), str(path), str(TILE), said]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    version, opening, cut, whole = json.loads(done.stdout)
    kept = Kept("Blosc2, JPEG 2000 by the grok plugin, no levels", path, list)
    return kept, Measured(opening, opening + whole, [cut * WINDOWS / GROK_WINDOWS], [whole]), version


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def windows(level: Level) -> list[tuple[slice, slice]]:
    """Places of windows, the same for all that are compared."""
    rng = np.random.default_rng(level.height)
    high, wide = min(WINDOW, level.height), min(WINDOW, level.width)
    places = []
    for _ in range(WINDOWS):
        y, x = int(rng.integers(level.height - high + 1)), int(rng.integers(level.width - wide + 1))
        places.append((slice(y, y + high), slice(x, x + wide)))
    return places


@dataclass(frozen=True)
class Measured:
    """What one of them took: seconds, the best of the rounds."""

    opening: float
    thumbnail: float
    windows: list[float]
    whole: list[float]


def measure(kept: Kept, rounds: int) -> Measured:
    """Reads all there is to be read, several times."""
    found = []
    for _ in range(rounds):
        opening = seconds(kept.open)

        def thumbnail() -> Pixels:
            levels = [level for level in kept.open() if max(level.height, level.width) >= THUMBNAIL]
            return levels[-1].read(slice(0, levels[-1].height), slice(0, levels[-1].width))

        first = seconds(thumbnail)
        levels = kept.open()[: LEVELS + 1]
        cut = [seconds(lambda level=level: [level.read(*place) for place in windows(level)]) for level in levels]
        whole = [
            seconds(lambda level=level: level.read(slice(0, level.height), slice(0, level.width))) for level in levels
        ]
        found.append(Measured(opening, first, cut, whole))
    return Measured(
        min(item.opening for item in found),
        min(item.thumbnail for item in found),
        [min(values) for values in zip(*(item.windows for item in found), strict=True)],
        [min(values) for values in zip(*(item.whole for item in found), strict=True)],
    )


def check(kept: Sequence[Kept], pixels: Pixels) -> None:
    """All that say so hold the picture as it is."""
    for item in kept:
        level = item.open()[0]
        whole = level.read(slice(0, level.height), slice(0, level.width))
        if whole.shape[0] == pixels.shape[2]:
            whole = np.moveaxis(whole, 0, 2)
        if item.lossless and not np.array_equal(whole, pixels):
            raise SystemExit(f"{item.name} is not the picture")


def report(kept: Sequence[Kept], found: Sequence[Measured], pixels: Pixels, references: int, plugin: str | None) -> str:
    """The section."""
    high, wide = pixels.shape[:2]
    names = ("zarr", "fsspec", "imagecodecs", "ome-zarr", "tifffile")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    first = max(found, key=lambda took: len(took.windows))
    sizes = table(
        ("", "MB", "of the raw samples", "opening ms", "thumbnail ms"),
        [
            (
                item.name,
                f"{item.size / 1e6:.1f}",
                f"{100 * item.size / pixels.nbytes:.1f} %",
                f"{1e3 * took.opening:.0f}",
                f"{1e3 * took.thumbnail:.0f}",
            )
            for item, took in zip(kept, found, strict=True)
        ],
    )

    def lacking(took: Measured) -> list[str]:
        return ["none"] * (len(first.windows) - len(took.windows))

    def rows(which: str, scale: float) -> str:
        return table(
            ("", *(f"level {number}" for number in range(len(first.windows)))),
            [
                (item.name, *(f"{scale * value:.1f}" for value in getattr(took, which)), *lacking(took))
                for item, took in zip(kept, found, strict=True)
            ],
        )

    note = (
        "The grok plugin is not among them: no Python was given that has it."
        if plugin is None
        else f"The grok plugin 0.3.5 runs in python-blosc2 {plugin}, in one thread: with 4.14 it ends the process that "
        "encodes. It has no coarser levels, and its thumbnail takes the whole picture."
    )
    return f"""## Virtual levels beside stored ones

`make bench-zarr` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. Ziggurat {ziggurat.__version__}, {versions}.

A photograph of {high} x {wide} pixels with the noise of a scan, RGB, all lossless, tiles of {TILE}, {LEVELS} coarser
levels; the references are {references / 1e3:.0f} kB of JSON beside the file. All read from a disk that the operating
system has in memory, with no chunk kept between reads. {note}

{sizes}

Milliseconds a window of {WINDOW} x {WINDOW} ({WINDOWS} at random places, one after the other):

{rows("windows", 1e3 / WINDOWS)}

Milliseconds a whole level:

{rows("whole", 1e3)}
"""


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="folder of pictures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--grok", help="Python of an environment with the grok plugin and a python-blosc2 before 4")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="ziggurat-zarr-"))
    try:
        pixels = picture(arguments.data)
        kept = [*virtual(work, pixels), stored(work, pixels), pyramid(work, pixels)]
        check(kept, pixels)
        found = [measure(item, arguments.rounds) for item in kept]
        plugin = None
        if arguments.grok is not None:
            item, took, plugin = grok(arguments.grok, work, pixels)
            kept, found = [*kept, item], [*found, took]
        references = (work / REFERENCES).stat().st_size
        write_section(arguments.out, "zarr", report(kept, found, pixels, references, plugin))
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
