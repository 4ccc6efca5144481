"""Bytes and round trips of windows of JPEG 2000 images, counted at the source; writes a section of docs/benchmarks.md.

Needs ``opj_compress`` (Debian's libopenjp2-tools). An image of 30 megapixels: a photograph with the noise of a scan.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from convert import REPOSITORY, data_folder
from tables import machine, table, write_section
from ziggurat.codestream.insides import places_of
from ziggurat.codestream.reads import Reads, Span
from ziggurat.codestream.segments import Siz
from ziggurat.codestream.select import select, with_transform
from ziggurat.format.jpeg2000.container import Container, read_container
from ziggurat.format.jpeg2000.windows import WindowDecoder, component_rect, tile_tasks
from ziggurat.geometry import Window
from ziggurat.storage.local import LocalSource
from ziggurat.storage.network import DEFAULT
from ziggurat.storage.object_store import GAPS, PIECE, ROUNDS
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import coalesce_to
from ziggurat.testing.sources import CountingSource

INTRODUCTION = """## Bytes and round trips of a window

`.venv/bin/python bench/window_bytes.py` on {machine}.

Windows of 512 x 512, {windows} at random places of every level, of a photograph of 5000 x 6000 RGB pixels with the
noise of a scan, encoded by OpenJPEG, lossless where nothing else is said. Needed are the packets of the precincts that
a window touches; where these are large, only the code-blocks, with packet headers of their own. Asked for is what the
reader asks of its source; sent is what an object store then sends, because ranges that lie close together are joined
where there are more than two rounds of requests. Round trips are the most of all windows with the index of `ziggurat
index`, and those of the first window without one, the header's included.

{parts}
"""
"""The section."""

SIDE = 512
WINDOWS = 12
"""Windows at each level, at random places."""

PRECINCTS = ("-c", "[256,256],[256,256],[128,128]")
LISTED = ("-PLT", "-TLM")
LAYOUTS: dict[str, Sequence[str]] = {
    "one tile": (),
    "one tile, PLT": ("-PLT",),
    "one tile, precincts, RPCL, PLT and TLM": ("-p", "RPCL", *PRECINCTS, *LISTED),
    "one tile, precincts, RPCL": ("-p", "RPCL", *PRECINCTS),
    "one tile, precincts, 5 layers, RPCL, PLT": ("-p", "RPCL", *PRECINCTS, "-PLT", "-r", "40,20,10,5,1"),
    "one tile, 9-7, 10:1": ("-I", "-r", "10"),
    "tiles of 1024, RPCL, R, PLT and TLM": ("-t", "1024,1024", "-p", "RPCL", "-TP", "R", *LISTED),
    "tiles of 1024": ("-t", "1024,1024"),
    "tiles of 512, precincts 128": ("-t", "512,512", "-p", "RPCL", "-c", "[128,128]", *LISTED),
}


def scan(height: int, width: int) -> NDArray[np.uint8]:
    """A photograph, mirrored until it is large enough, with noise."""
    name = "debian-wallpapers/mate-backgrounds/backgrounds/mate/abstract/Elephants_5640x3172.jpg"
    picture = imagecodecs.jpeg_decode((data_folder(None) / name).read_bytes())
    picture = np.concatenate([picture, picture[::-1]])[:height]
    picture = np.concatenate([picture, picture[:, ::-1]], 1)[:, :width]
    noise = np.random.default_rng(0).normal(0, 1.5, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def encoded(folder: Path, pixels: Path, options: Sequence[str]) -> Path:
    """The image, lossless if the options do not say otherwise."""
    out = folder / "image.j2k"
    command = ["opj_compress", "-i", str(pixels), "-o", str(out), "-n", "6", *options]
    subprocess.run(command, check=True, capture_output=True)
    return out


def windows(shape: tuple[int, int], rng: np.random.Generator) -> Iterator[Window]:
    """Windows of up to 512 x 512 somewhere in a level."""
    height, width = min(SIDE, shape[0]), min(SIDE, shape[1])
    for _ in range(WINDOWS):
        y, x = int(rng.integers(0, shape[0] - height + 1)), int(rng.integers(0, shape[1] - width + 1))
        yield Window(y, x, y + height, x + width)


def measure(path: Path) -> list[list[str]]:
    """Per level: kB needed, bytes asked for over those, bytes on the wire over those, round trips warm and cold."""
    source = LocalSource(path)
    container = read_container(source)
    stored = _decoder(source, container, None).make_index()
    rng = np.random.default_rng(7)
    siz = container.main.siz
    rows = []
    for level in range(container.main.levels + 1):
        shape = (-(-siz.y1 >> level), -(-siz.x1 >> level))
        needed = asked = wire = trips = cold = 0
        for number, window in enumerate(windows(shape, rng)):
            counting = CountingSource(source)
            decoder = _decoder(counting, container, stored)
            decoder.planes(level, window, range(3))
            trips = max(trips, counting.requests)
            asked += counting.bytes_read
            fetches = coalesce_to(counting.ranges, requests=ROUNDS * DEFAULT.connections, gaps=GAPS, limit=PIECE)
            wire += sum(fetch.span.length for fetch in fetches)
            needed += _needed(decoder, siz, level, window)
            if number == 0:
                counting = CountingSource(source)
                _decoder(counting, container, None).planes(level, window, range(3))
                cold = counting.requests + 1  # the header
        ratios = [f"{asked / needed:.2f}", f"{wire / needed:.2f}"]
        rows.append([str(level), f"{needed / WINDOWS / 1000:,.0f}", *ratios, str(trips), str(cold)])
    return rows


def _decoder(source: ByteSource, container: Container, stored: bytes | None) -> WindowDecoder:
    span = Span(container.codestream.start, container.codestream.end)
    decoder = WindowDecoder(source, container.main, container.head, span)
    if stored is not None:
        decoder.shelf = _Held(stored)  # type: ignore[assignment]
    return decoder


class _Held:
    """A shelf on which one index lies."""

    cache = None
    place = None

    def __init__(self, data: bytes) -> None:
        self._data = data

    def found(self) -> Iterator[tuple[str, bytes]]:
        """The index."""
        yield "index", self._data


def _at_once[T](reads: Reads[T]) -> T:
    """The result of what asks for nothing."""
    try:
        next(reads)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError


def _needed(decoder: WindowDecoder, siz: Siz, level: int, window: Window) -> int:
    """Bytes of the packets of the precincts that a window touches; where packets are large, of its code-blocks."""
    wanted = {component: component_rect(siz, component, level, window) for component in range(3)}
    total = 0
    for task in tile_tasks(siz, level, wanted):
        tile = _at_once(decoder.index.tile(task.number))
        if not tile.listed:
            total += len(next(iter(decoder.slices(level, [task]))).data)
            continue
        selected = select(tile.partition, tile.coding, level, with_transform(tile.coding, task.wanted))
        for item in selected:
            places, _ = places_of(tile, item.precincts)
            total += int(np.asarray(tile.columns.packets.length)[places].sum())
    return total


def main() -> None:
    """Measures every layout and writes the section."""
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pixels = folder / "image.ppm"
        image = scan(5000, 6000)
        pixels.write_bytes(b"P6\n6000 5000\n255\n" + image.tobytes())
        for name, options in LAYOUTS.items():
            path = encoded(folder, pixels, options)
            header = ("level", "kB needed", "asked / needed", "sent / needed", "round trips, index", "without")
            parts.append(f"### {name}\n\n{path.stat().st_size / 1e6:.1f} MB.\n\n{table(header, measure(path))}")
            print(parts[-1], flush=True)
    body = INTRODUCTION.format(machine=machine(), windows=WINDOWS, parts="\n\n".join(parts))
    write_section(REPOSITORY / "docs" / "benchmarks.md", "window-bytes", body)


if __name__ == "__main__":
    main()
