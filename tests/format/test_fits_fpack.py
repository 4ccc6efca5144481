"""Against CFITSIO's own packer and unpacker, where they are installed."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fits_files import Pixels, full, noise, opened, plain, reference

pytestmark = pytest.mark.skipif(
    not (shutil.which("fpack") and shutil.which("funpack")), reason="fpack and funpack (Debian's libcfitsio-bin)"
)

STARS = noise(211, 300, dtype="f4")
STARS[5:8] = 0
STARS[50, 60] = STARS[100:120] = np.nan

IMAGES = {
    "int16": noise(211, 300),
    "uint16": noise(211, 300).astype("u2"),
    "int32": noise(211, 300, dtype="i4", spread=1e5),
    "uint8": noise(211, 300, dtype="u1"),
    "float32": STARS,
    "float64": STARS.astype("f8"),
    "cube": noise(4, 90, 100, dtype="f4"),
    "mask": (noise(200, 150) > 120).astype("u2") * 7,
}

OPTIONS = {
    "rice": ["-r"],
    "whole": ["-r", "-w"],
    "gzip": ["-g1"],
    "shuffled": ["-g2"],
    "hcompress": ["-h"],
    "coarse": ["-r", "-q", "2"],
    "zeros kept": ["-r", "-qz", "8"],
    "lossless floats": ["-g2", "-q", "0"],
    "pixel lists": ["-p"],
}


PAIRS = [(image, options) for options in OPTIONS for image in IMAGES if options != "pixel lists" or image == "mask"]
"""Pixel lists hold small numbers only."""


@pytest.mark.parametrize(("image", "options"), PAIRS)
def test_what_fpack_wrote_reads_as_funpack_unpacks_it(tmp_path: Path, image: str, options: str) -> None:
    path = tmp_path / "a.fits"
    array: Pixels = IMAGES[image]
    path.write_bytes(plain(array))
    subprocess.run(["fpack", *OPTIONS[options], path], check=True, capture_output=True)
    subprocess.run(["funpack", "-O", tmp_path / "b.fits", f"{path}.fz"], check=True, capture_output=True)
    expected = reference((tmp_path / "b.fits").read_bytes(), 0)
    pixels = full(opened(Path(f"{path}.fz").read_bytes()))
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)
