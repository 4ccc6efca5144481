"""Windows of ten-gigapixel images take little memory, whatever their layout."""

import json
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from jpeg2000_maker import write_single, write_tiled

LIMIT = 200
"""MiB that a process may have resident, interpreter and libraries included."""

READ = """
import json, sys
import ziggurat

windows = json.loads(sys.argv[2])
with ziggurat.open(sys.argv[1], cache=False) as image:
    sums = [int(image.read(level, tuple(window)).astype("u8").sum()) for level, window in windows]
# Not ru_maxrss, which begins with what the process had that this one was forked from.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([image.info.size, sums, int(peak) // 1024]))
"""

WINDOWS = [
    (0, (50_000, 50_000, 50_512, 50_512)),
    (0, (100_000, 100_000, 100_352, 100_352)),
    (2, (10_000, 20_000, 10_512, 20_512)),
    (5, (0, 0, 512, 512)),
]


def sample() -> bytes:
    """2048 x 2048 pixels nearly all of whose code-blocks hold a few bytes."""
    rng = np.random.default_rng(1)
    pixels = np.full((2048, 2048, 3), 128, np.uint8)
    at = rng.integers(0, 2048, (2, 12_000))
    pixels[at[0], at[1]] += rng.integers(1, 9, (12_000, 3), np.uint8)
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", resolutions=6)


def resident(path: Path) -> tuple[list[int], int]:
    command = [sys.executable, "-c", READ, str(path), json.dumps(WINDOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    size, sums, peak = json.loads(done.stdout)
    assert size == [100_352, 100_352]
    return sums, peak


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "layout",
    ["one tile", "one tile, precincts", "one tile, precincts, PLT", "tiles of 2048, TLM", "tiles of 2048"],
)
def test_a_window_of_ten_gigapixels_is_read_in_little_memory(tmp_path: Path, layout: str) -> None:
    path, data = tmp_path / "image.j2k", sample()
    if layout.startswith("tiles"):
        write_tiled(path, data, 49, tlm="TLM" in layout)
    else:
        write_single(path, data, 49, precinct=256 if "precincts" in layout else None, listed="PLT" in layout)
    sums, peak = resident(path)
    for _ in range(2):
        if peak >= LIMIT:
            # On a busy machine threads of the decoder may be late to give memory back: some MiB, now and then.
            sums, peak = resident(path)
    assert peak < LIMIT, f"{layout}: {path.stat().st_size} bytes"
    # The picture repeats: a window is the sample's own, far from its seams.
    pixels = imagecodecs.jpeg2k_decode(data)
    y, x = 50_000 % 2048, 50_000 % 2048
    expected = np.pad(pixels, ((0, 2048), (0, 2048), (0, 0)), mode="wrap")[y : y + 512, x : x + 512]
    assert sums[0] == pytest.approx(int(expected.astype("u8").sum()), rel=1e-3)
