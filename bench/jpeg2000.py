"""Encodes one photograph as JPEG 2000 and HTJ2K with Ziggurat and with the encoders' own programs: time, size, loss.

``python bench/jpeg2000.py PICTURE`` writes the section of docs/benchmarks.md. The peers are Debian's:
``apt install libopenjp2-tools grokj2k-tools openjph-tools``.
"""

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np

import ziggurat
from tables import machine, table, write_section
from ziggurat.image import Image
from ziggurat.model import Samples
from ziggurat.write.jp2 import Jp2Options
from ziggurat.write.jp2.writer import Htj2kWriter, Jp2Writer
from ziggurat.write.picture import Held, PictureOptions, hold, prepare

REPOSITORY = Path(__file__).resolve().parent.parent

HEADER = ("", "seconds", "MP/s", "CPU s/MP", "MB", "PSNR")

MEMORY = 2 << 30

OPENJPEG = "opj_compress -t 1024,1024 -n 7 -p RPCL -TP R -PLT -TLM -threads ALL_CPUS"
GROK = "grk_compress -t 1024,1024 -n 7 -p RPCL"
OPENJPH = "ojph_compress -tile_size {1024,1024} -num_decomps 6 -prog_order RPCL"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way of encoding takes and gives: seconds, processor seconds, bytes, decibels."""

    wall: float
    cpu: float
    size: int
    psnr: float


def ours(picture: Held, options: Jp2Options, *, ht: bool = False) -> Callable[[Path], None]:
    """Encoding by Ziggurat, in this process."""
    writer = (Htj2kWriter if ht else Jp2Writer)(options)
    return lambda out: writer.write(picture, out, memory=MEMORY)


def theirs(command: str, source: Path) -> Callable[[Path], None]:
    """Encoding by a program."""
    words = command.split()
    if shutil.which(words[0]) is None:
        raise SystemExit(f"{words[0]} is not installed")
    return lambda out: check([*words, "-i", str(source), "-o", str(out)])


def check(command: list[str]) -> None:
    """Runs a program and says what it said where it failed."""
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}: {run.stderr or run.stdout}")


def processor() -> float:
    """Seconds that this process and its children have taken."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(item.ru_utime + item.ru_stime for item in used)


def measure(encode: Callable[[Path], None], out: Path, pixels: Samples, runs: int) -> Figures:
    """Medians over some runs, and the loss of the last."""
    walls, cpus = [], []
    for _ in range(runs):
        out.unlink(missing_ok=True)
        cpu, wall = processor(), time.perf_counter()
        encode(out)
        walls.append(time.perf_counter() - wall)
        cpus.append(processor() - cpu)
    with ziggurat.open(str(out)) as image:
        return Figures(median(walls), median(cpus), out.stat().st_size, psnr(image, pixels))


def psnr(image: Image, pixels: Samples) -> float:
    """Decibels of 8-bit samples."""
    error = float(np.square(image.read().astype(np.int32) - pixels).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def section(path: Path, runs: int) -> str:
    """The figures as Markdown."""
    with ziggurat.open(str(path)) as image, tempfile.TemporaryDirectory() as folder:
        picture = hold(prepare(image, PictureOptions(), form="native"))
        height, width, _ = picture.pixels.shape
        source = Path(folder, "in.ppm")
        source.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + picture.pixels.tobytes())
        groups: dict[str, dict[str, tuple[str, Callable[[Path], None]]]] = {
            "Lossless": {
                "jp2, profile cloud": ("jp2", ours(picture, Jp2Options())),
                "jp2, profile bodleian": ("jp2", ours(picture, Jp2Options("bodleian"))),
                "opj_compress": ("jp2", theirs(OPENJPEG, source)),
                "grk_compress": ("jp2", theirs(f"{GROK} -u R -L -X", source)),
                "htj2k": ("jph", ours(picture, Jp2Options(), ht=True)),
                "ojph_compress": ("jph", theirs(f"{OPENJPH} -reversible true", source)),
            },
            "An eighth of the bytes, or 42 dB": {
                "jp2 --rate 8": ("jp2", ours(picture, Jp2Options(rate=8))),
                "opj_compress -I -r 8": ("jp2", theirs(f"{OPENJPEG} -I -r 8", source)),
                "grk_compress -I -r 8": ("jp2", theirs(f"{GROK} -I -r 8", source)),
                "jp2 --psnr 42": ("jp2", ours(picture, Jp2Options(psnr=42))),
                "htj2k --psnr 42": ("jph", ours(picture, Jp2Options(psnr=42), ht=True)),
                "ojph_compress -qstep 0.0125": ("jph", theirs(f"{OPENJPH} -qstep 0.0125", source)),
            },
        }
        megapixels = height * width / 1e6
        parts = [
            "## JPEG 2000 as a target",
            (
                f"`python bench/jpeg2000.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. "
                f"Ziggurat {ziggurat.__version__}."
            ),
            (
                f"One photograph, {path.name}, {height} x {width}, RGB, from memory; the programs read it as PPM. "
                "Tiles of 1024 (bodleian: 512), RPCL; a tile-part a resolution, TLM and PLT where the program can "
                "(Grok 10 not with -r). "
                f"Medians of {runs} runs; CPU is user and system time. PSNR by Ziggurat's reader, outside of the "
                "measured time. Where other work runs on the machine, processor time is the steadier figure."
            ),
        ]
        for title, members in groups.items():
            rows = []
            for name, (suffix, encode) in members.items():
                found = measure(encode, Path(folder, f"out.{suffix}"), picture.pixels, runs)
                rows.append(
                    (
                        name,
                        f"{found.wall:.2f}",
                        f"{megapixels / found.wall:.1f}",
                        f"{found.cpu / megapixels:.3f}",
                        f"{found.size / 1e6:.2f}",
                        "equal" if math.isinf(found.psnr) else f"{found.psnr:.2f}",
                    )
                )
            parts += [f"### {title}", table(HEADER, rows)]
        return "\n\n".join(parts)


def main() -> int:
    """Measures, and writes the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="a photograph in RGB, 8 bits")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "benchmarks.md")
    arguments = parser.parse_args()
    write_section(arguments.out, "jpeg2000", section(arguments.picture, arguments.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
