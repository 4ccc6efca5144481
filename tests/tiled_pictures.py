"""Real pictures of odd sizes as JPEG 2000 in tiles, as the encoders at hand write them."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

PHOTOGRAPHS = Path(__file__).parents[1] / "samples" / "photographs"


@cache
def picture(bands: int, dtype: str) -> NDArray[np.unsignedinteger]:
    """A part of a photograph, (y, x) or (y, x, band); 16 bits of which all are used."""
    pixels = imagecodecs.imread(PHOTOGRAPHS / "astronaut.png")[:301, 20:431]
    if bands > 3:
        pixels = np.concatenate([pixels, pixels[::-1, :, : bands - 3]], axis=2)
    pixels = pixels[:, :, 0] if bands == 1 else pixels[:, :, :bands]
    if dtype == "uint16":
        fine = np.random.default_rng(5).integers(0, 256, pixels.shape, np.uint16)
        pixels = pixels.astype(np.uint16) << 8 | fine
    return np.ascontiguousarray(pixels)


def write(
    folder: Path, kind: str, bands: int = 3, dtype: str = "uint8", *, lossy: bool = False, tile: int = 128
) -> Path:
    """A file in tiles.

    Args:
        folder: to write it into.
        kind: j2k by OpenJPEG, or jph by OpenJPH.
        bands: of the picture.
        dtype: of its samples.
        lossy: the 9-7 transform, with a loss.
        tile: pixels a side.
    """
    pixels = picture(bands, dtype)
    name = f"{kind}-{bands}-{dtype}-{'lossy' if lossy else 'lossless'}-{tile}"
    if kind == "j2k":
        return _by_openjpeg(folder / f"{name}.j2k", pixels, f"-t {tile},{tile} -n 4{' -I -r 8' if lossy else ''}")
    path = folder / f"{name}.j2c"
    path.write_bytes(
        imagecodecs.htj2k_encode(
            pixels,
            level=0.002 if lossy else None,
            tile=(tile, tile),
            resolutions=4,
            reversible=not lossy,
            prog_order="LRCP",
        )
    )
    return path


def _by_openjpeg(path: Path, pixels: NDArray[np.unsignedinteger], options: str) -> Path:
    if shutil.which("opj_compress") is None:
        pytest.skip("opj_compress is not installed: Debian has it in libopenjp2-tools")
    planes = np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else pixels[None]
    path.with_suffix(".raw").write_bytes(planes.astype(planes.dtype.newbyteorder(">")).tobytes())
    form = f"{pixels.shape[1]},{pixels.shape[0]},{len(planes)},{8 * planes.itemsize},u"
    command = ["opj_compress", "-i", path.with_suffix(".raw").name, "-o", path.name, "-F", form, *options.split()]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    return path


def as_array(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """(y, x, band) as arrays have it: (band, y, x), or (y, x)."""
    return pixels[:, :, 0] if pixels.shape[2] == 1 else np.moveaxis(pixels, 2, 0)
