"""The first view of a mosaic: how long until there is something to look at, until it is sharp, and for a tile.

    python bench/mosaic.py make FOLDER [--side 10]
    python bench/mosaic.py run FOLDER

``make`` writes fields of 2048 x 1489 pixels in five bands, that overlap, and their index; ``run`` serves the index with
an empty cache. Fields of 100 places take 6 GB.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from serving import Server, serving
from sky_files import SDSS, save, stars, tan, wcs_of

BANDS = {"u": 0.35, "g": 0.7, "r": 1.0, "i": 1.1, "z": 1.15}
"""Fluxes of a star in each."""

STEP = (1400, 1950)
"""Rows and columns from one field to the next."""


def make(folder: Path, side: int) -> None:
    """Writes side x side fields in every band, and their index."""
    from ziggurat.sky.footprints import Footprints  # noqa: PLC0415 - only here

    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02, SDSS).astype(np.float32)
    centre = wcs_of(tan(150.0, 2.0, (1, 1)))
    reach = [side * step / 2 for step in STEP]
    places = centre.all_pix2world(*(rng.uniform(-half, half, 60 * side**2) for half in (reach[1], reach[0])), 0)
    (folder / "fields").mkdir(parents=True, exist_ok=True)
    for row in range(side):
        for column in range(side):
            x, y = (column - (side - 1) / 2) * STEP[1], (row - (side - 1) / 2) * STEP[0]
            ra, dec = centre.all_pix2world(x, y, 0)
            header = tan(float(ra), float(dec), SDSS, turn=float(rng.uniform(-1, 1)))
            shape = stars(header, SDSS, list(zip(*places, strict=True)), 100.0).astype(np.float32)
            for band, flux in BANDS.items():
                shift = rng.integers(SDSS[0]), rng.integers(SDSS[1])
                header["FILTER"] = band
                save(
                    folder / "fields" / f"{band}-{row:03}-{column:03}.fits",
                    (np.roll(noise, shift, (0, 1)) + flux * shape, header),
                )
    with Footprints(folder / "fields.zgf") as index:
        index.update([str(folder / "fields")])


def timed(server: Server, path: str) -> tuple[float, bool]:
    """Seconds that a picture takes, and whether it is a first look."""
    began = time.perf_counter()
    answer = server.get(path)
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {answer.body[:200]!r}")
    return time.perf_counter() - began, "Ziggurat-Sketch" in answer.headers


def run(folder: Path) -> None:
    """Serves the index and measures."""
    with tempfile.TemporaryDirectory() as cache, serving(folder / "fields.zgf", ZIGGURAT_CACHE=cache) as server:
        began = time.perf_counter()
        [item] = server.get("/api/items").json["items"]
        base = f"/iiif/3/{item['ref']}"
        size = server.get(f"{base}/info.json").json
        print(f"{size['width']} x {size['height']} pixels, known after {time.perf_counter() - began:.2f} s")
        whole = f"{base}/full/{size['sizes'][1]['width']},/0/default.jpg"
        took, sketched = timed(server, whole)
        print(f"first picture of all of it: {took:.2f} s{', a first look' if sketched else ''}")
        while sketched:
            time.sleep(0.5)
            took, sketched = timed(server, whole)
        print(f"sharp after {time.perf_counter() - began:.1f} s, in {took:.2f} s")
        for scale in (1, 4, 16):
            side = 512 * scale
            x, y = size["width"] // 2 // side * side, size["height"] // 2 // side * side
            width, height = min(side, size["width"] - x), min(side, size["height"] - y)
            took, _ = timed(server, f"{base}/{x},{y},{width},{height}/{width // scale},/0/default.jpg")
            print(f"tile of 512 at 1:{scale}: {took:.2f} s")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=10)
    asked = parser.parse_args()
    if asked.what == "make":
        make(asked.folder, asked.side)
    else:
        run(asked.folder)


if __name__ == "__main__":
    main()
