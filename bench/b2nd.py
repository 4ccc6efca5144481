"""Blosc2 arrays of JPEG 2000, as the grok plugin's own example makes them: at a tenth of the bytes, at 45 dB, whole.

Usage: python bench/b2nd.py [PYTHON]. PYTHON is of an environment with blosc2-grok and a python-blosc2 in which it still
encodes (``pip install "blosc2<4" blosc2-grok numpy``); without it, the plugin's rows are left out. Needs scikit-image;
``make bench-b2nd`` has both.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from skimage.metrics import structural_similarity

import ziggurat
from tables import machine, table, write_section
from ziggurat.image import open_image
from ziggurat.model import Samples
from ziggurat.quality.psnr import psnr, squared_error
from ziggurat.quality.ssimulacra2 import ssimulacra2
from ziggurat.storage.local import LocalSource
from ziggurat.write.b2nd import B2ndOptions
from ziggurat.write.b2nd.writer import B2ndWriter
from ziggurat.write.picture import PictureOptions, hold, prepare

ROOT = Path(__file__).parents[1]
PICTURES = ("astronaut", "chelsea", "coffee")
REPEATS = 5
ASKED = (("10 : 1", {"rate": 10.0}), ("45 dB", {"psnr": 45.0}), ("all of it", {}))

PLUGIN = """
import sys
import time
import blosc2, blosc2_grok, numpy as np
source, path, mode, value, repeats = sys.argv[1:]
pixels = np.load(source)
more = {} if mode == "none" else {"quality_mode": mode, "quality_layers": np.array([float(value)])}
blosc2_grok.set_params_defaults(cod_format=blosc2_grok.GrkFileFmt.GRK_FMT_JP2, num_threads=1, **more)
cparams = {"codec": blosc2.Codec.GROK, "filters": [], "splitmode": blosc2.SplitMode.NEVER_SPLIT, "nthreads": 1}
for _ in range(int(repeats)):
    clock = time.perf_counter()
    blosc2.asarray(pixels, chunks=pixels.shape, blocks=pixels.shape, cparams=cparams, urlpath=path, mode="w")
    print(time.perf_counter() - clock)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture."""

    pixels: int
    raw: int
    size: int
    write: float
    read: float
    psnr: float
    ssim: float
    ssimulacra2: float


def ours(picture: Path, path: Path, options: B2ndOptions) -> list[float]:
    """Seconds of every writing, the picture held in memory."""
    times = []
    with open_image(LocalSource(picture)) as image:
        held = hold(prepare(image, PictureOptions(), form="native"))
        for _ in range(REPEATS):
            clock = time.perf_counter()
            B2ndWriter(options).write(held, path, memory=1 << 30)
            times.append(time.perf_counter() - clock)
    return times


def plugin(python: str, pixels: Samples, path: Path, asked: dict[str, float]) -> list[float]:
    """The same by python-blosc2 and the grok plugin, in their own process."""
    source = path.with_suffix(".npy")
    np.save(source, pixels)
    mode = {"rate": "rates", "psnr": "dB"}.get(next(iter(asked), ""), "none")
    value = str(next(iter(asked.values()), 0.0))
    command = [python, "-c", PLUGIN, str(source), str(path), mode, value, str(REPEATS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return [float(line) for line in done.stdout.split()]


def measured(pixels: Samples, path: Path, times: list[float]) -> Outcome:
    """What a file holds, read by Ziggurat."""
    reading = []
    for _ in range(REPEATS):
        clock = time.perf_counter()
        with ziggurat.open(str(path)) as image:
            decoded = image.read()
        reading.append(time.perf_counter() - clock)
    error = squared_error(pixels, decoded) / pixels.size
    score = ssimulacra2(pixels, decoded) if error else 100.0
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    return Outcome(
        pixels=pixels.shape[0] * pixels.shape[1],
        raw=pixels.nbytes,
        size=path.stat().st_size,
        write=megapixels / min(times),
        read=megapixels / min(reading),
        psnr=psnr(error, 255),
        ssim=float(structural_similarity(pixels, decoded, channel_axis=2)),
        ssimulacra2=score,
    )


def row(name: str, asked: str, found: list[Outcome]) -> list[str]:
    """The means over the pictures."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    exact = all(item.psnr == float("inf") for item in found)
    return [
        name,
        asked,
        f"{mean([item.raw / item.size for item in found]):.2f}",
        "equal" if exact else f"{mean([item.psnr for item in found]):.1f}",
        f"{mean([item.ssim for item in found]):.4f}",
        f"{mean([item.ssimulacra2 for item in found]):.1f}",
        f"{mean([item.write for item in found]):.1f}",
        f"{mean([item.read for item in found]):.1f}",
    ]


def main() -> None:
    """Measures, and writes the section of docs/benchmarks.md."""
    peer = sys.argv[1] if len(sys.argv) > 1 else None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.b2nd"
        for label, asked in ASKED:
            for codec in ("zstd", "jpeg2k", "htj2k"):
                if codec == "zstd" and asked:
                    continue
                found = []
                for name in PICTURES:
                    picture = ROOT / "samples" / "photographs" / f"{name}.png"
                    pixels = np.asarray(imagecodecs.imread(picture))
                    found.append(
                        measured(pixels, path, ours(picture, path, B2ndOptions(codec=codec, tile=1024, **asked)))
                    )
                rows.append(row(codec, label, found))
            if peer is not None:
                found = []
                for name in PICTURES:
                    pixels = np.asarray(imagecodecs.imread(ROOT / "samples" / "photographs" / f"{name}.png"))
                    found.append(measured(pixels, path, plugin(peer, pixels, path, asked)))
                rows.append(row("blosc2-grok", label, found))
    header = ["codec", "asked for", "ratio", "dB", "SSIM", "SSIMULACRA2", "MP/s written", "MP/s read"]
    body = f"""## JPEG 2000 in Blosc2

The grok plugin's own example, on the three photographs of `samples/` (8-bit RGB of about 0.25 MP, one block each), one
thread of {machine()}; `make bench-b2nd`. Means of the pictures, the best of {REPEATS} times.
All files are read by Ziggurat, the plugin's too, without it.

{table(header, rows)}

The ratio is that of whole files: ours keep profile and XMP, 4 to 8 KB in two of the three.
The plugin has its defaults, as in its example: 5-3 wavelets, and R, G and B coded apart (`mct=1` came back at 8 dB);
ours are 9-7 and YCbCr unless all of it is asked for. SSIM is scikit-image's, the mean over the bands. SSIMULACRA2: 70
is high quality, 90 cannot be told from the original. `jpeg2k` is OpenJPEG, which writes what bears grok's number too;
HTJ2K is encoded eight times to find the step for a ratio or for decibels. The plugin wrote with python-blosc2 3.12:
with 4.14 its release 0.3.5 reads and does not write.
"""
    write_section(ROOT / "docs" / "benchmarks.md", "b2nd", body)
    print(body)


if __name__ == "__main__":
    main()
