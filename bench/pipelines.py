"""The pipelines that are compared: how each is called, and what a run of it takes."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUALITY = 92

type Name = Literal["ziggurat", "fast", "vips", "ImageMagick"]

NAMES: tuple[Name, ...] = ("ziggurat", "fast", "vips", "ImageMagick")

OURS: tuple[Name, ...] = ("ziggurat", "fast")
"""Ziggurat, and Ziggurat with ``--decode fast``."""

type Subsampling = Literal["444", "420"]

PACKAGES = "parallel imagemagick libvips-tools libopenjp2-tools"
"""Debian's, that hold the peers and the encoder of the corpora."""


class MissingToolError(Exception):
    """A program that the bench needs is not installed."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a pipeline over one group took.

    Attributes:
        wall: seconds.
        cpu: seconds, user and system, of all its processes.
        peak: resident bytes of its largest process.
    """

    wall: float
    cpu: float
    peak: int


def imagemagick() -> str:
    """ImageMagick's ``convert``, under whichever name: other programs are called so too.

    Raises:
        MissingToolError: if there is none.
    """
    for name in ("convert-im6.q16", "magick", "convert"):
        path = shutil.which(name)
        if path is not None and "ImageMagick" in first_line([path, "-version"]):
            return path
    raise MissingToolError(f"ImageMagick is not here: apt install {PACKAGES}")


def required(name: str) -> str:
    """Where a program is.

    Raises:
        MissingToolError: if it is nowhere.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(f"{name} is not here: apt install {PACKAGES}")
    return path


def first_line(command: list[str]) -> str:
    """What a program says first, such as its version; empty where it cannot be run or says nothing."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (said.stdout or said.stderr).partition("\n")[0].strip()


def command(name: Name, source: Path, target: Path, workers: int, subsampling: Subsampling = "444") -> list[str]:
    """How a pipeline converts every file of a folder into another one.

    All have the same number of jobs at once, quality 92 and the same subsampling of chroma; threads within a job are as
    the program has them by default.
    """
    if name in OURS:
        program = str(Path(sys.executable).with_name("ziggurat"))
        options = ["--to", "jpeg", "--quality", str(QUALITY), "--subsampling", subsampling, "--workers", str(workers)]
        return [
            program,
            "convert",
            str(source),
            str(target),
            *options,
            "--decode",
            "fast" if name == "fast" else "full",
        ]
    output = f"{shlex.quote(str(target))}/{{/.}}.jpg"
    mode, factor = ("off", "4:4:4") if subsampling == "444" else ("on", "4:2:0")
    if name == "vips":
        job = f"{shlex.quote(required('vips'))} copy {{}} '{output}[Q={QUALITY},subsample_mode={mode}]'"
    else:
        job = f"{shlex.quote(imagemagick())} {{}} -quality {QUALITY} -sampling-factor {factor} {output}"
    parallel = f"{shlex.quote(required('parallel'))} --will-cite -j {workers}"
    return ["sh", "-c", f"find {shlex.quote(str(source))} -type f | sort | {parallel} {shlex.quote(job)}"]


def run(name: Name, source: Path, target: Path, workers: int, subsampling: Subsampling = "444") -> Run:
    """Runs a pipeline over a folder, into a new one, and measures it. What it says goes to a log beside the target."""
    shutil.rmtree(target, ignore_errors=True)
    target.with_suffix(".zgj").unlink(missing_ok=True)
    if name not in OURS:
        target.mkdir(parents=True)
    return measured(command(name, source, target, workers, subsampling), target.with_suffix(".log"))


def measured(arguments: list[str], log: Path) -> Run:
    """Runs a command to its end, with what it says in a log, and measures it and all its children."""
    # What earlier runs left to be written is not this one's.
    os.sync()
    launcher = [sys.executable, "-S", str(Path(__file__).with_name("launch.py")), str(log)]
    done = subprocess.run([*launcher, *arguments], check=True, capture_output=True, text=True)
    return Run(**json.loads(done.stdout))


def versions() -> str:
    """What was compared, in a line."""
    # Imported here: commands can be made and tested without the package.
    from ziggurat import __version__  # noqa: PLC0415
    from ziggurat.codec import openjpeg  # noqa: PLC0415

    bundled = ".".join(map(str, openjpeg.version()))
    shared = first_line(["dpkg-query", "--show", "--showformat=${Version}", "libopenjp2-7"])
    magick = first_line([imagemagick(), "-version"]).removeprefix("Version: ").partition(" http")[0]
    vips = first_line([required("vips"), "--version"])
    parallel = first_line([required("parallel"), "--version"])
    return (
        f"Ziggurat {__version__} with OpenJPEG {bundled}; {vips} and {magick}, both with OpenJPEG "
        f"{shared or 'of unknown version'}; {parallel}"
    )
