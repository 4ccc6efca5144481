"""Peak memory of opening and reading, in a fresh process, of files of ten gigapixels that are mostly holes."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparse_tiff import LONG, LONG8, SHORT, Entries, SparseSource, directory, header, rgb, strips, tiles

HUGE = 100_000
WINDOW = 2048
LIMIT = 200 << 20
"""Bytes of resident memory, interpreter and libraries included."""

PROGRAM = f"""
import sys
from pathlib import Path
from ziggurat.format.tiff import open_reader
from ziggurat.geometry import Window
from ziggurat.storage.local import LocalSource
reader = open_reader(LocalSource(Path(sys.argv[1])))
assert reader.info.size == ({HUGE}, {HUGE}), reader.info.size
for at in (0, 40_000, {HUGE - WINDOW}):
    window = Window(at, at, at + {WINDOW}, at + {WINDOW})
    assert reader.read(0, window).shape == ({WINDOW}, {WINDOW}, 3)
# Not getrusage: its peak is that of the process this one was forked from, if that was larger.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


def packed_strips(rows: int) -> tuple[Entries, bytes]:
    """Strips that are all the same one, compressed without effect."""
    data = zlib.compress(bytes(rows * HUGE * 3), 0)
    number = -(-HUGE // rows)
    tags = rgb(HUGE, HUGE, t278=(LONG, [rows]), t273=(LONG8, np.full(number, 4096)))
    return tags | {259: (SHORT, [8]), 279: (LONG, np.full(number, len(data)))}, data


def planar() -> Entries:
    number = 3 * HUGE
    tags = rgb(HUGE, HUGE, t278=(LONG, [1]), t284=(SHORT, [2]), t279=(LONG, np.full(number, HUGE)))
    return tags | {273: (LONG8, 4096 + np.arange(number, dtype=np.uint64) * np.uint64(HUGE))}


def planar_tiles() -> tuple[Entries, bytes]:
    """Seven million tiles of one sample: tables of 88 MB."""
    side = -(-HUGE // 64)
    tags = rgb(HUGE, HUGE, t322=(SHORT, [64]), t323=(SHORT, [64]), t284=(SHORT, [2]))
    tags |= {324: (LONG8, np.full(3 * side * side, 4096)), 325: (LONG, np.full(3 * side * side, 4096))}
    return tags, bytes(range(256)) * 16


CASES: dict[str, Callable[[], tuple[Entries, bytes]]] = {
    "one strip": lambda: (strips(HUGE, HUGE, HUGE, 4096), b""),
    "a strip a row": lambda: (strips(HUGE, HUGE, 1, 4096), b""),
    "planar strips": lambda: (planar(), b""),
    "packed strips": lambda: packed_strips(20),
    "missing tiles": lambda: (tiles(HUGE, HUGE, 256, 0, shared=False), b""),
    "one tile for all": lambda: (tiles(HUGE, HUGE, 256, 4096, shared=True), b""),
    "small planar tiles": planar_tiles,
    "small tiles": lambda: (tiles(HUGE, HUGE, 64, 4096, shared=True), b""),
}


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("case", CASES)
def test_a_window_of_ten_gigapixels_takes_little_memory(case: str, tmp_path: Path) -> None:
    tags, data = CASES[case]()
    at = 4096 + HUGE * HUGE * 3
    pieces = {0: header(at), 4096: data} | directory(tags, at)
    size = max(start + len(piece) for start, piece in pieces.items())
    path = SparseSource(size, pieces).write(tmp_path / "huge.btf")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < LIMIT, case
