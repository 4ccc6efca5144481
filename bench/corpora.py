"""The groups of images that are converted, made of real pictures, the same every time."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

import ziggurat
from pipelines import Subsampling, required
from ziggurat.model import Samples

NOISE = 1.5
"""Standard deviation of what is added to the crops: a scan has noise, and without it lossless files are too small."""

PICTURES = ("Elephants_5640x3172.jpg", "shadedrelief.jpg", "bmng.jpg")

REAL = (
    "balloon_eciRGBv2_aware.jp2",
    "balloon_eciRGBv2_ps_adobeplugin.jpf",
    "balloon_eciRGBv2_ps_kduplugin.jp2",
    "kakadu61.jp2",
    "67352ccc-d1b0-11e1-89ae-279075081939.jp2",
    "47102787.jp2",
    "tika-tlm-main-header.jp2",
    "null_terminated_content_in_xml_box.jp2",
    "2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174.jp2",
    "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2",
    # The samples that the repository carries, under their own names.
    "balloon-adobe.jpf",
    "balloon-kakadu.jp2",
    "sdo-aia-193.jp2",
    "sdo-hmi-continuum.jp2",
    "solar-orbiter-eui-174.jp2",
)
"""JP2s from Aware, Kakadu, Adobe and OpenJPEG that all pipelines read."""

REPEAT = "again-"
"""How the names of repeated images begin."""

TIMES = 3
"""How often every image is in its group."""

LARGE = ((2600, 3400), (1900, 2600), (1700, 2400))
SMALL = ((900, 1200), (700, 1000), (640, 900))
"""Heights and widths of the crops, in turns."""

OPENJPEG = {
    "lossless": ("-n", "6"),
    "tiled": ("-n", "6", "-t", "1024,1024", "-p", "RPCL", "-TLM", "-PLT"),
    "access": ("-n", "6", "-r", "10", "-I"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Images of one kind, in one folder.

    Attributes:
        name: of the folder.
        title: for tables.
        folder: where they lie.
        truth: folder with the pixels that went into them, where they hold them without loss.
        subsampling: of the JPEGs that they become.
    """

    name: str
    title: str
    folder: Path
    truth: Path | None
    subsampling: Subsampling = "444"

    def sources(self) -> list[Path]:
        """The images, by name."""
        return sorted(self.folder.iterdir())

    def originals(self) -> list[Path]:
        """The images without their repeats."""
        return [source for source in self.sources() if not source.name.startswith(REPEAT)]

    def repeat(self, times: int) -> None:
        """Adds every image again under further names: a collection is long, and starting a program is not its cost."""
        for source in self.originals():
            for time in range(2, times + 1):
                os.link(source, self.folder / f"{REPEAT}{time}-{source.name}")

    def reference(self, source: Path) -> Samples:
        """The pixels that every output is compared with: (y, x, band) uint8."""
        if self.truth is not None:
            pixels: Samples = np.load(self.truth / f"{source.stem}.npy")
            return pixels
        with ziggurat.open(str(source)) as image:
            return image.read()


def find(data: Path, names: tuple[str, ...]) -> list[Path]:
    """The files of these names, anywhere below a folder, in the order of the names."""
    found: dict[str, Path] = {}
    for folder, _, files in os.walk(data):
        for name in files:
            if name in names:
                found.setdefault(name, Path(folder) / name)
    return [found[name] for name in names if name in found]


def corners(size: tuple[int, int], crop: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Top left corners of the crops of this size that lie side by side in a picture, row by row."""
    for y0 in range(0, size[0] - crop[0] + 1, crop[0]):
        for x0 in range(0, size[1] - crop[1] + 1, crop[1]):
            yield y0, x0


def crops(pictures: list[Path], sizes: tuple[tuple[int, int], ...], count: int) -> Iterator[Samples]:
    """Noisy crops, as many from every picture as it takes to have ``count``."""
    noise = np.random.default_rng(92)
    each = -(-count // len(pictures))
    made = 0
    for path in pictures:
        with ziggurat.open(str(path), memory=1 << 31) as image:
            pixels = image.read()[..., :3]
        for index in range(min(each, count - made)):
            size = sizes[index % len(sizes)]
            height, width = min(size[0], pixels.shape[0]), min(size[1], pixels.shape[1])
            places = list(corners(pixels.shape[:2], (height, width)))
            # Not the first ones: a picture's upper edge is often empty.
            y0, x0 = places[(index * 5 + 2) % len(places)]
            crop = pixels[y0 : y0 + height, x0 : x0 + width].astype(np.float32)
            crop += noise.normal(0, NOISE, crop.shape)
            yield np.clip(np.rint(crop), 0, 255).astype(np.uint8)
            made += 1


def make(work: Path, data: Path, *, quick: bool, images: int | None = None) -> list[Group]:
    """Makes the groups anew below ``work``.

    Args:
        work: folder for them.
        data: folder of pictures.
        quick: few small images.
        images: large crops, each once; None for twelve, each three times.

    Raises:
        FileNotFoundError: if the data holds no picture to take crops of.
    """
    pictures = find(data, PICTURES) or find(data, REAL)[:2]
    if not pictures:
        raise FileNotFoundError(f"there is no picture below {data} to make images of")
    shutil.rmtree(work, ignore_errors=True)
    truth = work / "truth"
    truth.mkdir(parents=True)
    strips = _group(work, "tiff", "TIFF, LZW and plain strips", truth)
    for index, crop in enumerate(crops(pictures, SMALL if quick else LARGE, images or (3 if quick else 12))):
        stem = f"scan-{index:02}"
        np.save(truth / f"{stem}.npy", crop)
        tifffile.imwrite(
            strips.folder / f"{stem}.tif",
            crop,
            photometric="rgb",
            rowsperstrip=64,
            compression="lzw" if index % 2 else None,
        )
    groups = [
        _group(work, "lossless", "JP2 lossless, one tile", truth),
        _group(work, "tiled", "JP2 lossless, tiles of 1024, RPCL, TLM and PLT", truth),
        _group(work, "access", "JP2 lossy 10:1", None),
        _group(work, "real", "JP2 from Aware, Kakadu, Adobe and others", None),
    ]
    tasks = [(source, group) for group in groups for source in strips.sources() if group.name in OPENJPEG]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda task: _encode(*task), tasks))
    real = find(data, REAL)
    for path in real[:4] if quick else real:
        shutil.copyfile(path, groups[-1].folder / path.name)
    groups.append(strips)
    for group in [] if quick or images else groups:
        group.repeat(TIMES)
    halved = replace(groups[0], name="halved", title="JP2 lossless, one tile, to 4:2:0", subsampling="420")
    return [groups[0], halved, *groups[1:]]


def _group(work: Path, name: str, title: str, truth: Path | None) -> Group:
    folder = work / name
    folder.mkdir()
    return Group(name, title, folder, truth)


def _encode(source: Path, group: Group) -> None:
    output = group.folder / f"{source.stem}.jp2"
    encoder = required("opj_compress")
    subprocess.run(
        [encoder, "-i", str(source), "-o", str(output), *OPENJPEG[group.name]], check=True, capture_output=True
    )
