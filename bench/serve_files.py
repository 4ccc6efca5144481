"""The images that servers are compared on: one photograph with noise, in the forms that scans are kept in."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipelines import required
from window_files import Files
from window_task import box_for

KINDS = {
    "tiles.jp2": "JP2, tiles of 1024, RPCL, TLM, PLT",
    "plain.jp2": "JP2, one tile",
    "high.jph": "HTJ2K, one tile",
    "pyramid.tif": "TIFF, pyramid, JPEG tiles of 512",
}


@dataclass(frozen=True, slots=True)
class Scan:
    """One file: its name, and the height and width of its image."""

    name: str
    size: tuple[int, int]


def make(folder: Path, data: Path) -> list[Scan]:
    """Writes them all.

    Args:
        folder: to write to.
        data: folder of pictures.
    """
    files = Files(folder, data, 1)
    box = box_for(files.size, "window")
    for kind, name in (("jp2-tiles", "tiles.jp2"), ("jp2-plain", "plain.jp2"), ("ptiff", "pyramid.tif")):
        files.make(kind, box).path.rename(folder / name)
    ppm = folder / "plain.ppm"
    subprocess.run(
        [required("opj_decompress"), "-i", str(folder / "plain.jp2"), "-o", str(ppm)], check=True, capture_output=True
    )
    high = ["-i", str(ppm), "-o", str(folder / "high.jph"), "-reversible", "true", "-num_decomps", "5"]
    subprocess.run([required("ojph_compress"), *high], check=True, capture_output=True)
    ppm.unlink()
    return [Scan(name, files.size) for name in KINDS]
