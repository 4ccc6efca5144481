"""Large images without coarser levels: something to look at first, the right thing once it is made."""

import time
from pathlib import Path

import imagecodecs
import numpy as np

from serving import serving
from sparse_tiff import SparseSource, directory, header, strips

HEIGHT, WIDTH, ROWS = 9_000, 11_000, 32
"""300 MB of pixels."""

SMALL = "/iiif/3/scan.tif/full/!400,400/0/default.png"


def scan(path: Path) -> np.ndarray:
    """A strip TIFF of a picture that is a slope either way, and its colours in the first row of pixels."""
    start = 1 << 20
    at = start + HEIGHT * WIDTH * 3
    source = SparseSource(at + (1 << 20), {0: header(at)} | directory(strips(HEIGHT, WIDTH, ROWS, start), at))
    source.write(path)
    across = np.linspace(0, 255, WIDTH).astype(np.uint8)
    pixels = np.memmap(path, np.uint8, "r+", start, (HEIGHT, WIDTH, 3))
    for y0 in range(0, HEIGHT, 1000):
        block = pixels[y0 : y0 + 1000]
        block[:, :, 0] = across
        block[:, :, 1] = np.linspace(y0, y0 + len(block), len(block), endpoint=False)[:, None] * (255 / HEIGHT)
        block[:, :, 2] = 40
    pixels.flush()
    return across


def test_a_sketch_comes_at_once_and_the_picture_when_its_levels_are_made(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    scan(tmp_path / "images" / "scan.tif")
    with serving(tmp_path / "images", "--workers", 1, ZIGGURAT_CACHE=str(tmp_path / "cache")) as server:
        first = server.get(SMALL)
        assert first.status == 200
        assert first.headers["Ziggurat-Sketch"] == "1"
        assert first.headers["Cache-Control"] == "no-store"
        assert "ETag" not in first.headers
        # Full resolution needs no coarser level.
        near = server.get("/iiif/3/scan.tif/5000,4000,300,200/max/0/default.png")
        assert (near.status, near.headers["Ziggurat-Sketch"]) == (200, None)
        # An array is exact or not there yet; a missing chunk would be taken for zeros.
        coarse = "/zarr/scan.tif/4/c/0/0/0"
        assert server.get("/zarr/scan.tif/0/c/0/3/2").status == 200
        assert server.get(coarse).status in {200, 503}
        deadline = time.monotonic() + 120
        while (later := server.get(SMALL)).headers["Ziggurat-Sketch"] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert later.headers["Ziggurat-Sketch"] is None
        assert "ETag" in later.headers
        told = server.get("/zarr/scan.tif/4/zarr.json").json
        bands, side, wide = told["chunk_grid"]["configuration"]["chunk_shape"]
        chunk = server.get(coarse)
        assert chunk.status == 200
        block = np.frombuffer(imagecodecs.zstd_decode(chunk.body), np.uint8).reshape(bands, side, wide)
        assert np.all(block[2] == 40)
        assert np.abs(block[0, 0] - (np.arange(wide) + 0.5) * 255 / told["shape"][2]).max() <= 3
    height, width = later.size
    assert (height, width) == (327, 400) == first.size
    expected = np.zeros((height, width, 3))
    expected[:, :, 0] = (np.arange(width) + 0.5) * 255 / width
    expected[:, :, 1] = ((np.arange(height) + 0.5) * 255 / height)[:, None]
    expected[:, :, 2] = 40
    assert np.abs(later.pixels - expected).max() <= 3
    assert np.abs(first.pixels - expected).max() <= 5
