"""The files that windows are read from: one picture with noise, in the ways that scans are stored, at three sizes."""

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

import ziggurat
from corpora import NOISE, PICTURES, find
from jpeg2000_maker import write_single, write_tiled
from pipelines import required
from ziggurat.model import Samples

SAMPLE = 2048
"""Pixels a side of the sample that the large images repeat."""

TILE = 1024

KINDS = {
    "jp2-plain": "JP2, one tile, no precincts, no PLT",
    "jp2-precincts": "JP2, one tile, precincts of 256, RPCL, PLT",
    "jp2-tiles": "JP2, tiles of 1024, RPCL, TLM, PLT",
    "strips": "BigTIFF, strips, uncompressed",
    "deflate": "BigTIFF, strips, Deflate",
    "ptiff": "TIFF, pyramid, JPEG tiles of 512",
}

OPENJPEG = {
    "jp2-plain": (),
    "jp2-precincts": ("-p", "RPCL", "-c", "[256,256]", "-PLT"),
    "jp2-tiles": ("-t", f"{TILE},{TILE}", "-p", "RPCL", "-TLM", "-PLT"),
}

SIZES = {"17 MP": 1, "105 MP": 5, "1 GP": 16}
"""How often the sample is repeated in each direction; 1 is no repetition but the picture itself."""


@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Attributes:
        path: where it lies.
        size: height and width.
        truth: pixels of the window at full resolution that went into it without loss.
    """

    path: Path
    size: tuple[int, int]
    truth: Samples | None


class Files:
    """Makes the files of one size, one after the other.

    Args:
        work: folder to write to.
        data: folder of pictures.
        repeats: as in ``SIZES``.
    """

    def __init__(self, work: Path, data: Path, repeats: int) -> None:
        self._work = work
        self._repeats = repeats
        found = find(data, PICTURES[:1]) or find(data, PICTURES)
        if not found:
            raise FileNotFoundError(f"there is none of {', '.join(PICTURES)} below {data}")
        with ziggurat.open(str(found[0])) as image:
            picture = image.read()[..., :3]
        high, wide = (side // 512 * 512 for side in picture.shape[:2])
        self._picture = picture[:high, :wide] if repeats == 1 else picture[512 : 512 + SAMPLE, 1024 : 1024 + SAMPLE]
        self._noise = np.random.default_rng(92)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self._picture.shape[:2]
        return height * self._repeats, width * self._repeats

    def make(self, kind: str, box: tuple[int, int, int, int]) -> File:
        """Writes a file.

        Args:
            kind: of ``KINDS``.
            box: whose truth is kept: within one repetition of the sample.
        """
        self._work.mkdir(parents=True, exist_ok=True)
        path = self._work / f"{kind}.{'jp2' if kind in OPENJPEG else 'tif'}"
        y0, x0, y1, x1 = box
        y, x = (0, 0) if self._repeats == 1 else (y0 // SAMPLE * SAMPLE, x0 // SAMPLE * SAMPLE)
        if kind in OPENJPEG:
            sample = self.noisy(self._picture)
            self._jpeg2000(kind, path, sample)
            return File(path, self.size, sample[y0 - y : y1 - y, x0 - x : x1 - x].copy())
        if kind == "ptiff":
            strips = self._work / "source.tif"
            self._strips("strips", strips)
            folder = self._work / "converted"
            command = [sys.executable, "-m", "ziggurat", "convert", str(strips), str(folder), "--to", "ptiff"]
            subprocess.run([*command, "--overwrite"], check=True, capture_output=True)
            next(folder.rglob("*.tif")).rename(path)
            strips.unlink()
            shutil.rmtree(folder)
            folder.with_suffix(".zgj").unlink(missing_ok=True)
            return File(path, self.size, None)
        rows = self._strips(kind, path)
        return File(path, self.size, rows[y0 - y : y1 - y, x0:x1].copy())

    def noisy(self, picture: Samples) -> Samples:
        """A picture (y, x, band) uint8 with the noise of a scan; other noise every time."""
        noise = self._noise.standard_normal(picture.shape, np.float32)
        return np.clip(np.rint(picture + NOISE * noise), 0, 255).astype(np.uint8)

    def _jpeg2000(self, kind: str, path: Path, sample: Samples) -> None:
        if self._repeats == 1:
            encode(sample, path, OPENJPEG[kind])
            return
        bare = path.with_suffix(".j2k")
        if kind == "jp2-tiles":
            tile = encode(sample[:TILE, :TILE], self._work / "tile.j2k", ("-p", "RPCL", "-PLT"))
            write_tiled(bare, tile.read_bytes(), self._repeats * SAMPLE // TILE, tlm=True)
        else:
            whole = encode(sample, self._work / "sample.j2k", ()).read_bytes()
            precincts = kind == "jp2-precincts"
            write_single(bare, whole, self._repeats, precinct=256 if precincts else None, listed=precincts)
        with path.open("wb") as out, bare.open("rb") as stream:
            out.write(boxes(*self.size))
            shutil.copyfileobj(stream, out, 1 << 24)
        bare.unlink()

    def _strips(self, kind: str, path: Path) -> Samples:
        """A row a strip, as libtiff has it by default for rows of 8 KiB and more; noise differs in all of a row."""
        rows = self.noisy(np.tile(self._picture, (1, self._repeats, 1)))
        shape = (self.size[0], self.size[1], 3)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = list(pool.map(zlib.compress, rows)) if kind == "deflate" else [row.tobytes() for row in rows]

        def strips() -> Iterator[bytes]:
            for _ in range(self._repeats):
                yield from made

        if kind == "deflate":
            tifffile.imwrite(
                path,
                strips(),
                shape=shape,
                dtype=np.uint8,
                bigtiff=True,
                photometric="rgb",
                rowsperstrip=1,
                compression="adobe_deflate",
            )
            return rows
        target = tifffile.memmap(
            path, shape=shape, dtype=np.uint8, bigtiff=True, photometric="rgb", rowsperstrip=1, metadata=None
        )
        for start in range(0, shape[0], len(rows)):
            target[start : start + len(rows)] = rows
        target.flush()
        return rows


def encode(pixels: Samples, path: Path, options: tuple[str, ...]) -> Path:
    """Encodes pixels (y, x, 3) without loss by OpenJPEG's own program, with five wavelet levels; the path again."""
    source = path.with_suffix(".ppm")
    with source.open("wb") as out:
        out.write(b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]))
        out.write(np.ascontiguousarray(pixels).tobytes())
    command = [required("opj_compress"), "-i", str(source), "-o", str(path), "-n", "6", *options]
    subprocess.run(command, check=True, capture_output=True)
    source.unlink()
    return path


def boxes(height: int, width: int) -> bytes:
    """What makes a codestream that follows a JP2 file (ISO/IEC 15444-1 Annex I): three bands of 8 bits, sRGB."""
    header = height.to_bytes(4) + width.to_bytes(4) + (3).to_bytes(2) + bytes([7, 7, 0, 0])
    colour = bytes([1, 0, 0]) + (16).to_bytes(4)
    return b"".join(
        (
            _box(b"jP  ", b"\r\n\x87\n"),
            _box(b"ftyp", b"jp2 " + bytes(4) + b"jp2 "),
            _box(b"jp2h", _box(b"ihdr", header) + _box(b"colr", colour)),
            bytes(4) + b"jp2c",
        )
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4) + kind + content
