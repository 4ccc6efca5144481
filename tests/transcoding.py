"""What tests of transcoding share: coded images by several encoders, and looking into what comes out."""

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray

from drive import Drive
from ziggurat.codec import openjpeg
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, TilePart, parse_main_header
from ziggurat.codestream.reads import Span
from ziggurat.codestream.recoding import Recoding, Split
from ziggurat.codestream.segments import Progression
from ziggurat.codestream.transcode import Transcoding, plan_transcoding
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.testing.sources import BytesSource

HEIGHT, WIDTH = 173, 211

LAYOUTS = {
    "default": Recoding(),
    "layers": Recoding(progression=Progression.LRCP, split=Split.LAYER, coarse_first=False),
    "components": Recoding(progression=Progression.CPRL, split=Split.COMPONENT),
    "positions": Recoding(progression=Progression.PCRL, split=Split.NONE, tlm=False, plt=False),
    "resolutions": Recoding(progression=Progression.RLCP, coarse_first=False, tlm=False),
    "chunks": Recoding(split=Split.NONE, coarse_first=False, chunks=True),
}

OPENJPEG = {
    "plain": "",
    "layers": "-r 20,10,1 -p RLCP",
    "precincts": "-n 4 -c [64,64],[32,32],[16,16] -b 16,16 -p PCRL",
    "tiles": "-n 4 -t 64,48 -p CPRL -TP R",
    "offsets": "-n 3 -t 80,72 -d 13,7 -T 5,3 -p RPCL -c [32,64]",
    "marked": "-n 4 -t 100,80 -SOP -EPH -r 15,1 -p RLCP",
    "changes": "-n 4 -c [64,64] -POC T1=0,0,1,2,3,CPRL/T1=2,0,1,4,3,RPCL",
    "listed": "-n 4 -t 96,96 -TP L -r 30,10,1 -PLT -TLM",
    "lossy": "-n 5 -I -r 8",
}
"""Codings by opj_compress."""


@cache
def pixels(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A picture (y, x, 3) with smooth parts and noise."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x + y, 2 * x - y, 128 + 60 * np.sin(x / 9) * np.cos(y / 7)], axis=2)
    noise = np.random.default_rng(5).normal(0, 6, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


@cache
def coded(program: str, options: str, suffix: str) -> bytes:
    """The picture as an encoder's command line writes it."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    with TemporaryDirectory() as folder:
        picture, out = Path(folder, "picture.ppm"), Path(folder, f"out.{suffix}")
        picture.write_bytes(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + pixels().tobytes())
        subprocess.run([program, "-i", picture, "-o", out, *options.split()], check=True, capture_output=True)
        return out.read_bytes()


def openjpeg_coded(name: str, suffix: str = "j2k") -> bytes:
    return coded("opj_compress", OPENJPEG[name], suffix)


def main_header(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def index_of(data: bytes) -> CodestreamIndex:
    return CodestreamIndex(main_header(data), data, Span(0, len(data)), len(data))


def planned(data: bytes, recoding: Recoding) -> Transcoding:
    return Drive(data)(plan_transcoding(index_of(data), data, recoding))


def transcoded(data: bytes, recoding: Recoding) -> bytes:
    """A bare codestream in another layout."""
    plan = planned(data, recoding)
    pieces = (piece if isinstance(piece, bytes) else data[piece.start : piece.end] for piece in plan.pieces())
    made = b"".join(pieces)
    assert len(made) == plan.length
    return made


def parts_of(data: bytes) -> list[TilePart]:
    """Its tile-parts in order."""
    found = Drive(data)(index_of(data).parts())
    return sorted((part for own in found.values() for part in own), key=lambda part: part.offset)


def bare(data: bytes) -> bytes:
    """The codestream of a file."""
    span = read_container(BytesSource(data)).codestream
    return data[span.start : span.end]


def planes(data: bytes, reduce: int = 0, *, strict: bool = True) -> list[NDArray[np.int32]]:
    """Every component as OpenJPEG decodes it."""
    return [plane.data for plane in openjpeg.decode(bare(data), reduce=reduce, strict=strict).planes]


def equal(left: Sequence[NDArray[np.int32]], right: Sequence[NDArray[np.int32]]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def without(data: bytes, marker: str) -> bytes:
    """A codestream whose main header lacks a kind of segment."""
    for item in reversed(main_header(data).segments):
        if item.name == marker:
            data = data[: item.offset] + data[item.end :]
    return data
