"""Damaged headers: whatever stands there, an error of ours comes, and soon. ZIGGURAT_FUZZ_IMAGES says how many."""

import io
import os
import random
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from ziggurat.errors import ZigguratError
from ziggurat.format.tiff import open_reader
from ziggurat.geometry import Size, Window
from ziggurat.testing.sources import BytesSource

MUTANTS = int(os.environ.get("ZIGGURAT_FUZZ_IMAGES", "5000"))
"""Mutants of every seed file: the default takes about twenty seconds in all."""

PATIENCE = 5
"""Seconds that one file may take."""

MEMORY = 1 << 27
"""Bytes that reading may announce before it is left alone, as a caller with a limit would do."""

EDGES = (0, 1, 2, 3, 7, 8, 16, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
CODES = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347)
VALUES = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 33003, 33005, 34712, 34887, 34925, 50000, 50002)


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray[Any, np.dtype[Any]]:
    return np.random.default_rng(0).integers(0, 200, shape, dtype)


def written(*pages: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for page in pages:
            writer.write(page.pop("data"), **({"metadata": None} | page))
    return file.getvalue()


def codestreams() -> bytes:
    tiles = [imagecodecs.jpeg2k_encode(noise(32, 32, 3), level=0, codecformat="j2k", resolutions=3)] * 4
    shape = {"shape": (64, 64, 3), "dtype": np.uint8, "tile": (32, 32), "photometric": "rgb"}
    return written({"data": iter(tiles), "compression": 33005, "description": "Aperio Image Library v1", **shape})


def pyramid(**options: Any) -> bytes:
    tiles = {"tile": (16, 16), "compression": "zlib", "photometric": "rgb"}
    first = {"data": noise(100, 80, 3), **tiles}
    first |= {"subifds": 2, "metadata": {"axes": "YXS"}} if options.get("ome") else {}
    return written(
        first, *({"data": noise(100 >> n, 80 >> n, 3), "subfiletype": 1, **tiles} for n in (1, 2)), **options
    )


def leica() -> bytes:
    pixels = '<image><pixels><dimension r="0" ifd="0"/></pixels></image>'
    xml = f'<scn xmlns="http://www.leica"><collection>{pixels}</collection></scn>'
    return written({"data": noise(64, 64, 3), "tile": (16, 16), "description": xml, "photometric": "rgb"}, bigtiff=True)


SEEDS: dict[str, Callable[[], bytes]] = {
    "tiles": lambda: written({"data": noise(90, 90, 3), "tile": (16, 16), "compression": "lzw", "predictor": True}),
    "long tables": lambda: written({"data": noise(200, 30), "rowsperstrip": 1}, byteorder=">"),
    "planar": lambda: written(
        {"data": noise(3, 40, 50), "planarconfig": "separate", "photometric": "rgb"}, bigtiff=True
    ),
    "jpeg": lambda: written({"data": noise(64, 64, 3), "tile": (32, 32), "compression": "jpeg"}),
    "palette": lambda: written(
        {"data": noise(30, 30), "photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}
    ),
    "codestreams": codestreams,
    "pyramid": pyramid,
    "OME": lambda: pyramid(ome=True, bigtiff=True),
    "Leica": leica,
    "float": lambda: written({"data": noise(40, 40).astype(np.float32), "compression": "zstd", "predictor": 3}),
}


def entries(data: bytes) -> list[tuple[int, int]]:
    """Offset and length of the entries of all directories in the main chain."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    count, pointer, width = ("Q", "Q", 20) if big else ("H", "I", 12)
    found = []
    at = struct.unpack_from(order + pointer, data, 8 if big else 4)[0]
    while at:
        number = struct.unpack_from(order + count, data, at)[0]
        start = at + struct.calcsize(order + count)
        found += [(start + index * width, width) for index in range(number)]
        at = struct.unpack_from(order + pointer, data, start + number * width)[0]
    return found


def mutant(data: bytes, rng: random.Random) -> bytes:
    """A file with a few fields of its header changed, or bytes anywhere, or cut."""
    changed = bytearray(data)
    order = "<" if data[:2] == b"II" else ">"
    places = entries(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, width = rng.choice(places)
        what = rng.randrange(6)
        if what == 0:
            struct.pack_into(order + "H", changed, at, rng.choice(CODES))
        elif what == 1:
            struct.pack_into(order + "H", changed, at + 2, rng.randrange(20))
        elif what == 2:
            field = "Q" if width == 20 else "I"
            number = rng.choice((*EDGES, len(data), len(data) - 1, rng.randrange(1 << 20)))
            limit = 1 << 8 * struct.calcsize(order + field)
            struct.pack_into(
                order + field, changed, at + rng.choice((4, width - struct.calcsize(field))), number % limit
            )
        elif what == 3:
            struct.pack_into(order + "H", changed, at + width - (8 if width == 20 else 4), rng.choice(VALUES))
        elif what == 4:
            other, _ = rng.choice(places)
            changed[at : at + width] = data[other : other + width]
        else:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    if rng.random() < 0.1:
        del changed[rng.randrange(len(changed)) :]
    return bytes(changed)


def read_some(data: bytes, name: str) -> None:
    """What a cautious caller does with a file: opens it, and reads corners of some levels."""
    reader = open_reader(BytesSource(data, url=name))
    for level in {0, len(reader.info.levels) - 1}:
        shape = reader.info.levels[level].shape
        size = Size(*(min(side, 120) for side in shape))
        for y0, x0 in {(0, 0), (shape.height - size.height, shape.width - size.width)}:
            window = Window(y0, x0, y0 + size.height, x0 + size.width)
            if reader.read_cost(level, window) <= MEMORY:
                pixels = reader.read(level, window)
                assert pixels.shape == (*size, reader.info.bands)
                assert pixels.dtype == reader.info.dtype


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_headers_raise_only_our_errors_and_soon(seed: str) -> None:
    data = SEEDS[seed]()
    read_some(data, f"memory:{seed}.tif")
    rng = random.Random(seed)
    refused = 0
    for number in range(MUTANTS // len(SEEDS)):
        name = f"memory:{seed}-{number}.{rng.choice(('tif', 'svs', 'ndpi'))}"
        damaged = mutant(data, rng)
        started = time.process_time()
        try:
            with suppress(ZigguratError):
                refused += 1
                read_some(damaged, name)
                refused -= 1
        except Exception as error:
            raise AssertionError(f"{name} raises {error!r}") from error
        assert time.process_time() - started < PATIENCE, name
    assert 0 < refused < MUTANTS // len(SEEDS)
