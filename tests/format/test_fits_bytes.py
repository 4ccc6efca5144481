import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest

from fits_files import noise, packed, plain, reference, unit
from ziggurat.errors import CorruptImage
from ziggurat.format.fits import open_reader
from ziggurat.format.fits.batches import BATCH, GAP, batches
from ziggurat.geometry import Window
from ziggurat.storage.client import Bound
from ziggurat.storage.local import LocalSource
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.object_store import ObjectSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.testing.sources import BytesSource, CountingSource

PREFIX = 1 << 16
"""Bytes that an object store's source brings when it is opened."""


def counted(data: bytes) -> CountingSource:
    return CountingSource(BytesSource(data))


def sparse(path: Path, side: int, bitpix: int) -> Path:
    """A square image without a block on the disk but its header."""
    header = unit({"SIMPLE": True, "BITPIX": bitpix, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side})
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + side * side * abs(bitpix) // 8)
    return path


@pytest.mark.parametrize("data", [
    plain(noise(900, 900, dtype="f4")),
    packed(noise(900, 900, spread=3000), "RICE_1"),
    packed(noise(900, 900, spread=3000), "GZIP_1", (100, 100)),
])  # fmt: skip
def test_opening_is_one_read_of_the_bytes_that_a_store_brings_first(data: bytes) -> None:
    source = counted(data)
    assert source.size > 4 * PREFIX
    open_reader(source)
    assert source.ranges == [ByteRange(0, PREFIX)]


@pytest.mark.parametrize(("kind", "window", "requests", "share"), [
    ("plain", Window(300, 0, 400, 900), 1, 1.2),
    ("rows", Window(300, 0, 400, 900), 1, 1.1),
    ("tiles", Window(300, 300, 400, 400), 1, 1.1),
])  # fmt: skip
def test_requests_to_an_object_store(
    monkeypatch: pytest.MonkeyPatch, kind: str, window: Window, requests: int, share: float
) -> None:
    array = noise(900, 900, spread=3000)
    data = {
        "plain": plain(array), "rows": packed(array, "RICE_1"), "tiles": packed(array, "GZIP_1", (100, 100)),
    }[kind]  # fmt: skip
    store = obstore.store.MemoryStore()
    obstore.put(store, "image.fits", data)
    asked: list[tuple[int, int]] = []
    get = obstore.get

    def counting(*arguments: Any, options: Any) -> Any:
        asked.append(options["range"])
        return get(*arguments, options=options)

    monkeypatch.setattr(obstore, "get", counting)
    reader = open_reader(ObjectSource(Bound(store, "image.fits", "memory:image.fits"), NetworkOptions()))
    assert asked == [(0, PREFIX)]
    asked.clear()
    reader.read(0, window)
    assert len(asked) == requests
    needed = window.size.pixels * 2 if kind == "plain" else len(data) * window.size.pixels / array.size
    assert sum(end - start for start, end in asked) <= share * needed


def test_long_header_before_the_image_costs_one_read_more() -> None:
    source = counted(plain(noise(500, 500), **{f"KEY{n}": n for n in range(1200)}))
    open_reader(source)
    assert source.requests == 2
    assert source.bytes_read < 6 * PREFIX


@pytest.mark.parametrize(("height", "width"), [(256, 256), (1, 1), (512, 30), (40, 3000), (700, 2600)])
def test_window_of_an_uncompressed_image_reads_little_more_than_it_needs(height: int, width: int) -> None:
    array = noise(700, 3000, dtype="f4")
    source = counted(plain(array))
    reader = open_reader(source)
    source.reset()
    window = Window(0, 100, height, 100 + width) if width < 2900 else Window(10, 0, 10 + height, width)
    assert np.array_equal(reader.read(0, window)[..., 0], array[window.slices()])
    assert source.requests == 1
    assert source.bytes_read <= 1.2 * height * width * 4


def test_narrow_images_are_read_through_rather_than_in_many_ranges() -> None:
    source = counted(plain(noise(2000, 200)))
    reader = open_reader(source)
    source.reset()
    reader.read(0, Window(0, 20, 2000, 120))
    assert len(source.ranges) == 1


def test_window_of_a_cube_reads_only_its_own_bytes_of_every_plane() -> None:
    cube = noise(7, 100, 5000, dtype="f4")
    source = counted(plain(cube))
    reader = open_reader(source)
    source.reset()
    pixels = reader.read(0, Window(20, 1000, 60, 1300))
    assert np.array_equal(pixels, np.moveaxis(cube[:, 20:60, 1000:1300], 0, -1))
    assert source.requests == 1
    assert source.bytes_read == pixels.nbytes


def test_window_of_a_compressed_image_reads_its_descriptors_and_its_tiles() -> None:
    data = packed(noise(1000, 1000, spread=3000), "RICE_1", (50, 50))
    source = counted(data)
    reader = open_reader(source)
    source.reset()
    window = Window(120, 130, 330, 260)
    assert np.array_equal(reader.read(0, window), reference(data, 1)[window.slices()])
    tiles = 5 * 4
    assert source.requests == 2
    table, heap = source.ranges[:-tiles], source.ranges[-tiles:]
    assert sum(item.length for item in table) <= 8 * (4 * 20 + 4)
    share = reader.info.details["fits"]["heap_bytes"] / 400
    assert sum(item.length for item in heap) == pytest.approx(tiles * share, rel=0.1)


def test_descriptors_far_apart_are_ranges_of_their_own() -> None:
    source = counted(packed(noise(64, 40_000, dtype="u1"), "RICE_1", (8, 8)))
    reader = open_reader(source)
    source.reset()
    reader.read(0, Window(0, 0, 64, 16))
    assert [item.length for item in source.ranges[:8]] == [16] * 8
    assert source.requests == 2


def test_batches_count_the_gaps_that_a_source_reads_through() -> None:
    near = [ByteRange(n * GAP, n * GAP + 1000) for n in range(1000)]
    assert next(len(group) for group in batches(near, lambda item: [item])) == pytest.approx(BATCH / GAP, abs=2)
    far = [ByteRange(n * (GAP + 2000), n * (GAP + 2000) + 1000) for n in range(1000)]
    assert len(list(batches(far, lambda item: [item]))) == 1
    huge = [ByteRange(0, 3 * BATCH), ByteRange(3 * BATCH, 4 * BATCH)]
    assert [len(group) for group in batches(huge, lambda item: [item])] == [1, 1]


def test_small_window_of_a_huge_image_takes_little_memory_and_few_bytes(tmp_path: Path) -> None:
    path = sparse(tmp_path / "huge.fits", 100_000, -32)
    # The peak of this program alone: what getrusage says of a child begins with its parent's.
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from ziggurat.format.fits import open_reader\n"
        "from ziggurat.geometry import Window\n"
        "from ziggurat.storage.local import LocalSource\n"
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\n"
        "reader = open_reader(LocalSource(sys.argv[1]))\n"
        "assert reader.info.size == (100_000, 100_000)\n"
        "for corner in (0, 50_000, 98_976):\n"
        "    window = Window(corner, corner, corner + 1024, corner + 1024)\n"
        "    assert not reader.read(0, window).any()\n"
        "band = reader.read(0, Window(5, 0, 105, 100_000))\n"
        "print((peak() - before) // 1024)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60, capture_output=True, text=True)
    assert int(run.stdout) < 200  # MiB; the last window alone is 38
    source = CountingSource(LocalSource(path))
    reader = open_reader(source)
    source.reset()
    reader.read(0, Window(7, 99_000, 519, 99_512))
    assert source.bytes_read == 512 * 512 * 4


@pytest.mark.parametrize("data", [
    plain(noise(800, 900).astype("u2")),
    plain(noise(800, 900), BSCALE=0.5),
    packed(noise(800, 900), "RICE_1"),
    packed(noise(800, 900, dtype="f4"), "RICE_1", (200, 300)),
    packed(noise(800, 900, dtype="i4"), "HCOMPRESS_1", (400, 450)),
    packed(noise(800, 900, dtype="f8"), "GZIP_2", (800, 900), quantize_level=0.0),
])  # fmt: skip
def test_predicted_memory_is_at_least_what_is_taken_and_not_many_times_it(data: bytes) -> None:
    import tracemalloc  # noqa: PLC0415 - slows everything while it is on

    reader = open_reader(BytesSource(data))
    for window in (Window(0, 0, 800, 900), Window(100, 200, 300, 250), Window(5, 5, 6, 6)):
        reader.read(0, window)
        tracemalloc.start()
        reader.read(0, window)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= reader.read_cost(0, window) + 65536
        assert reader.read_cost(0, window) < 12 * peak + (8 << 20)


def test_more_tiles_than_fit_a_group_are_read_in_several() -> None:
    array = noise(130, 130, dtype="u1")
    assert np.array_equal(
        open_reader(BytesSource(packed(array, "NOCOMPRESS", (1, 1)))).read(0, Window(0, 0, 130, 130))[..., 0], array
    )


def test_file_that_ends_in_its_table_is_refused() -> None:
    data = packed(noise(4000, 20), "RICE_1")
    with pytest.raises(CorruptImage, match="truncated"):
        open_reader(BytesSource(data[:20_000])).read(0, Window(3000, 0, 3001, 20))
