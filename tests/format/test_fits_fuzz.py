import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fits_files import noise, packed, plain
from ziggurat.errors import ZigguratError
from ziggurat.format.fits import open_reader
from ziggurat.geometry import Window
from ziggurat.testing.sources import BytesSource

COUNT = int(os.environ.get("ZIGGURAT_FUZZ_IMAGES", "2000"))
"""Damaged files; 3,000 take about fifteen seconds."""

LIMIT = 5.0
"""Seconds that no call may exceed."""

MEMORY = 1 << 28
"""Bytes that a damaged file may ask for before it is left alone, as a caller with a limit would do."""

SKY = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 9.0, "CDELT1": -0.1, "CDELT2": 0.1, "A_ORDER": 2}


def seeds() -> list[bytes]:
    return [
        plain(noise(40, 50), **SKY),
        plain(noise(3, 20, 30, dtype="f4"), BSCALE=2.0, CTYPE3="FREQ"),
        packed(noise(64, 70), "RICE_1", (16, 20), cards=SKY),
        packed(noise(64, 70, dtype="u1"), "RICE_1", (64, 70)),
        packed(noise(64, 70, dtype="f4"), "RICE_1", (20, 70), dither_seed=3),
        packed(noise(64, 70), "HCOMPRESS_1", (32, 70)),
        packed(noise(60, 64, dtype="i4"), "HCOMPRESS_1", (30, 32), hcomp_scale=2.0, hcomp_smooth=1),
        packed(noise(64, 70).astype("i4").clip(0), "PLIO_1", (32, 35)),
        packed(noise(64, 70, dtype="f8"), "GZIP_2", (16, 70), quantize_level=0.0),
        packed(noise(4, 20, 30), "GZIP_1", (2, 10, 15)),
    ]


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, digits and values of cards exchanged, parts cut out, doubled or blanked."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        match rng.integers(6):
            case 0:
                at = int(rng.integers(len(damaged)))
                damaged[at] ^= int(rng.integers(1, 256))
            case 1 | 2:
                card = int(rng.integers(min(len(damaged), 8640) // 80)) * 80
                value = rng.choice(["0", "-1", "1", "7", "999999999", "1E30", "T", "''", "NaN", "99999999999999999999"])
                damaged[card + 10 : card + 30] = str(value).rjust(20).encode()
            case 3:
                at = int(rng.integers(len(damaged)))
                damaged[at : at + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(1, 64)))
            case 4:
                digits = [at for at in range(min(len(damaged), 8640)) if 48 <= damaged[at] < 58]
                damaged[int(rng.choice(digits or [0]))] = int(rng.integers(48, 58))
            case _:
                at = int(rng.integers(len(damaged) // 2, len(damaged)))
                end = at + int(rng.integers(1, 600))
                damaged[at:end] = bytes([int(rng.choice([0, 255]))]) * (end - at)
    return bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)] if rng.random() < 0.1 else damaged)


def survive(first: int, count: int) -> float:
    """Opens and reads damaged files; the longest call in seconds. Every error but ours goes through."""
    originals = seeds()
    longest = 0.0
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        data = mutant(originals[number % len(originals)], rng)
        began = time.process_time()
        try:
            reader = open_reader(BytesSource(data))
            longest = max(longest, time.process_time() - began)
            size = reader.info.size
            for window in (Window(0, 0, min(size.height, 64), min(size.width, 64)), Window(0, 0, 1, 1)):
                if reader.read_cost(0, window) <= MEMORY:
                    began = time.process_time()
                    pixels = reader.read(0, window)
                    assert pixels.shape == (*window.size, reader.info.bands), number
                    assert pixels.dtype == reader.info.dtype, number
                    longest = max(longest, time.process_time() - began)
        except ZigguratError:
            longest = max(longest, time.process_time() - began)
    return longest


def test_damaged_files_raise_only_our_errors_and_soon() -> None:
    # In a process of its own, so that a decoder that takes it down fails this test alone.
    code = f"import sys; from test_fits_fuzz import survive; print(survive(int(sys.argv[1]), {COUNT}))"
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *sys.path]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "0"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert float(run.stdout) < LIMIT
