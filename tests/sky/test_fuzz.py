"""Damaged files cost an error of ours, and little time."""

import time
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from fits_files import plain
from sky_files import sky, tan
from ziggurat.errors import ZigguratError
from ziggurat.sky.angles import parse_extent
from ziggurat.sky.one import cut_one
from ziggurat.sky.options import CutoutOptions

SIZE = (40, 50)
SIP = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4,
    "PV1_1": 1.0, "LONPOLE": 180.0,
}  # fmt: skip


def test_any_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    good = plain(sky(SIZE), **dict(tan(150, 2, SIZE, **SIP).items()))
    used = good.index(b"END     ")
    place = SkyCoord(150, 2, unit="deg")
    wanted = [
        CutoutOptions(kind="fits", extent=parse_extent("20px")),
        CutoutOptions(kind="png", extent=parse_extent("8arcsec"), scale=0.5 / 3600, method="interp"),
    ]
    path, cut = tmp_path / "image.fits", 0
    began = time.process_time()
    for number in range(120):
        damaged = bytearray(good)
        for at in rng.integers(0, used, rng.integers(1, 6)):
            # Values are what matters: digits, signs, letters and dots.
            damaged[at] = rng.choice(np.frombuffer(b"0123456789.-+EDTFX' ", np.uint8))
        path.write_bytes(damaged)
        try:
            cut_one([str(path)], place, wanted[number % 2], memory=1 << 28)
        except ZigguratError:
            continue
        cut += 1
    assert 10 < cut < 120
    assert time.process_time() - began < 100
