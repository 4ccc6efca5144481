"""Small JPEG 2000 codestreams by the encoders at hand, with options drawn from everything that they offer."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ziggurat.codec import openjpeg
from ziggurat.codec.openjpeg import Plane
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.errors import ZigguratError

type Rng = np.random.Generator

PROGRESSIONS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")
BLOCKS = ((64, 64), (32, 32), (4, 4), (1024, 4), (4, 1024), (4, 256), (16, 64), (8, 8), (128, 32))
SPACINGS = ((1, 1), (2, 1), (2, 2), (1, 2), (3, 2))
_ATTEMPTS = 40


@dataclass(frozen=True)
class Made:
    """A codestream, how it was asked for, and its encoder's own decoder's samples by level and component."""

    name: str
    data: bytes
    main: MainHeader
    levels: tuple[tuple[Plane, ...], ...]

    @property
    def tolerance(self) -> int:
        """Of two decodes of the same samples: the 9-7 transform of a part is rounded differently."""
        return int(any(self.main.coding(c).transform == 0 for c in range(len(self.main.siz.components))))


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    bands: int
    depth: int
    signed: bool
    spacings: tuple[tuple[int, int], ...]

    def planes(self, rng: Rng) -> list[np.ndarray]:
        """Waves, an edge and noise, in each band's own size."""
        made = []
        for band, (dx, dy) in enumerate(self.spacings):
            y, x = np.mgrid[: -(-self.height // dy), : -(-self.width // dx)].astype(float)
            waves = 0.5 + 0.3 * np.sin((x + 5 * band) / 9) * np.cos(y / 13) + 0.2 * ((x + y) % 40 > 25)
            values = (waves + rng.normal(0, 0.03, x.shape)) * ((1 << self.depth) - 1)
            low = 1 << (self.depth - 1) if self.signed else 0
            made.append(np.clip(np.round(values), 0, (1 << self.depth) - 1).astype(np.int64) - low)
        return made

    def raw(self, rng: Rng) -> bytes:
        """Band after band, samples of more than eight bits big-endian."""
        kind = ("i" if self.signed else "u") + ("1" if self.depth <= 8 else "2")
        return b"".join(plane.astype(f">{kind}").tobytes() for plane in self.planes(rng))

    @property
    def form(self) -> str:
        spacings = ":".join(f"{dx}x{dy}" for dx, dy in self.spacings)
        return f"{self.width},{self.height},{self.bands},{self.depth},{'s' if self.signed else 'u'}@{spacings}"


def _picture(rng: Rng, *, alike: bool = False) -> Picture:
    bands = int(rng.choice([1, 1, 2, 3, 3, 3, 4, 5]))
    width, height = (int(rng.integers(1, rng.choice([20, 150, 150, 330]))) for _ in range(2))
    depth = int(rng.choice([8, 8, 8, *range(1, 17)]))
    spacings = [(1, 1)] * bands
    if not alike and rng.random() < 0.25:
        spacings[1:] = [SPACINGS[rng.integers(len(SPACINGS))] for _ in spacings[1:]]
    return Picture(width, height, bands, depth, bool(rng.random() < 0.2), tuple(spacings))


def _some(rng: Rng, chance: float, *arguments: str) -> list[str]:
    return list(arguments) if rng.random() < chance else []


def _grid(rng: Rng) -> tuple[list[int], list[int] | None, list[int] | None]:
    """Image offset, tile size and tile offset."""
    offset = [int(v) for v in rng.integers(0, 90, 2)] if rng.random() < 0.35 else [0, 0]
    if rng.random() < 0.5:
        return offset, None, None
    size = [int(v) for v in (rng.integers(17, 160, 2) if rng.random() < 0.7 else (127, 127))]
    first = [int(rng.integers(max(0, o - s + 1), o + 1)) for o, s in zip(offset, size, strict=True)]
    return offset, size, first


def _pair(values: list[int] | tuple[int, int]) -> str:
    return f"{values[0]},{values[1]}"


def _changes(rng: Rng, resolutions: int, layers: int, bands: int) -> list[str]:
    """Two progression changes that cover everything once."""
    orders = rng.choice(PROGRESSIONS, 2)
    cut = int(rng.integers(1, max(2, resolutions)))
    if layers > 1 and rng.random() < 0.5:
        parts = [f"0,0,1,{resolutions},{bands},{orders[0]}", f"0,0,{layers},{resolutions},{bands},{orders[1]}"]
    elif bands > 1 and rng.random() < 0.5:
        parts = [f"0,0,{layers},{resolutions},1,{orders[0]}", f"0,1,{layers},{resolutions},{bands},{orders[1]}"]
    else:
        parts = [f"0,0,{layers},{cut},{bands},{orders[0]}", f"{cut},0,{layers},{resolutions},{bands},{orders[1]}"]
    return ["-POC", "/".join(f"T1={part}" for part in parts)]


def _common(rng: Rng, picture: Picture, *, grok: bool) -> list[str]:
    """What OpenJPEG's and Grok's encoders call by the same letters."""
    offset, size, first = _grid(rng)
    resolutions = int(rng.integers(1, 9))
    block = BLOCKS[rng.integers(len(BLOCKS))] if rng.random() < 0.6 else (64, 64)
    rates = [[], [], ["-r", "1"], ["-r", "20,5,1"], ["-r", "30,8"], ["-q", "25,40"]][rng.integers(6)]
    layers = rates[1].count(",") + 1 if rates else 1
    arguments = ["-F", picture.form, "-n", str(resolutions), "-b", _pair(block), "-p", rng.choice(PROGRESSIONS), *rates]
    arguments += ["-d", _pair(offset)] if any(offset) else []
    if size is not None and first is not None:
        arguments += ["-t", _pair(size), *(["-T", _pair(first)] if any(first) else [])]
    elif resolutions > 1 and rng.random() < 0.25 and not grok:
        # Grok's POC in the tile-part names other orders than it writes, as its own decoder complains.
        arguments += _changes(rng, resolutions, layers, picture.bands)
    if rng.random() < 0.4:
        precincts = [(1 << rng.integers(4, 9), 1 << rng.integers(4, 9)) for _ in range(rng.integers(1, 4))]
        arguments += ["-c", ",".join(f"[{x},{y}]" for x, y in precincts)]
    arguments += _some(rng, 0.4, "-I")
    if rng.random() < 0.4:
        arguments += ["-M", str(int(rng.integers(1, 64)))]
    if rng.random() < 0.1:
        arguments += ["-R" if grok else "-ROI", f"c={rng.integers(picture.bands)},U={rng.integers(1, 9)}"]
    return arguments


def _openjpeg(rng: Rng, folder: Path) -> tuple[list[str], Path]:
    picture = _picture(rng)
    arguments = _common(rng, picture, grok=False)
    for option in ("-SOP", "-EPH", "-PLT", "-TLM"):
        arguments += _some(rng, 0.3, option)
    arguments += _some(rng, 0.3, "-TP", str(rng.choice(["R", "L", "C"])))
    if picture.bands >= 3:
        mixed = len(set(picture.spacings[:3])) == 1 and rng.random() < 0.6
        arguments += ["-mct", str(int(mixed))]
    source, target = folder / "in.raw", folder / "out.j2k"
    source.write_bytes(picture.raw(rng))
    return ["opj_compress", "-i", str(source), "-o", str(target), *arguments], target


def _grok(rng: Rng, folder: Path) -> tuple[list[str], Path]:
    picture = _picture(rng, alike=True)
    arguments = _common(rng, picture, grok=True)
    for option in ("-S", "-E", "-L", "-X"):
        arguments += _some(rng, 0.3, option)
    arguments += _some(rng, 0.3, "-u", "R")
    source, target = folder / "in.raw", folder / "out.j2k"
    source.write_bytes(picture.raw(rng))
    return ["grk_compress", "-i", str(source), "-o", str(target), *arguments], target


def _openjph(rng: Rng, folder: Path) -> tuple[list[str], Path]:
    picture = _picture(rng, alike=True)
    bands, depth = (3, picture.depth) if rng.random() < 0.6 else (1, picture.depth)
    picture = Picture(picture.width, picture.height, bands, depth, False, ((1, 1),) * bands)
    source, target = folder / ("in.ppm" if bands == 3 else "in.pgm"), folder / "out.j2c"
    pixels = np.stack(picture.planes(rng), 2).astype(">u1" if depth <= 8 else ">u2")
    head = f"P{6 if bands == 3 else 5} {picture.width} {picture.height} {(1 << depth) - 1}\n"
    source.write_bytes(head.encode() + pixels.tobytes())
    offset, size, first = _grid(rng)
    arguments = ["-num_decomps", str(int(rng.integers(0, 7))), "-prog_order", str(rng.choice(PROGRESSIONS))]
    arguments += [
        "-reversible",
        str(rng.choice(["true", "false"])),
        "-colour_trans",
        str(rng.choice(["true", "false"])),
    ]
    arguments += ["-block_size", f"{{{_pair(BLOCKS[rng.integers(len(BLOCKS))])}}}"]
    arguments += ["-image_offset", f"{{{_pair(offset)}}}"]
    if size is not None and first is not None:
        arguments += ["-tile_size", f"{{{_pair(size)}}}", "-tile_offset", f"{{{_pair(first)}}}"]
    if rng.random() < 0.4:
        arguments += ["-precincts", ",".join(f"{{{1 << rng.integers(6, 9)},{1 << rng.integers(6, 9)}}}" for _ in "ab")]
    return ["ojph_compress", "-i", str(source), "-o", str(target), *arguments], target


def _wheel(rng: Rng) -> tuple[str, bytes]:
    """What imagecodecs writes: HTJ2K in tile-parts with TLM, and OpenJPEG's plainest."""
    bands = int(rng.choice([1, 3]))
    depth = int(rng.choice([8, 12, 16]))
    picture = Picture(int(rng.integers(1, 250)), int(rng.integers(1, 250)), bands, depth, False, ((1, 1),) * bands)
    pixels = np.stack(picture.planes(rng), 2).astype("u1" if depth <= 8 else "u2")
    options: dict[str, object] = {"resolutions": int(rng.integers(1, 7)), "bitspersample": depth}
    if rng.random() < 0.4:
        return f"jpeg2k_encode {pixels.shape} {options}", imagecodecs.jpeg2k_encode(
            pixels, codecformat="j2k", level=0, **options
        )
    options |= {"reversible": bool(rng.random() < 0.5), "tlm": bool(rng.random() < 0.5)}
    options |= {"prog_order": str(rng.choice(PROGRESSIONS))}
    if rng.random() < 0.6:
        options |= {"tile": (int(rng.integers(32, 140)), int(rng.integers(32, 140)))}
    if rng.random() < 0.5:
        options |= {"tilepart": "RESOLUTIONS"}
    return f"htj2k_encode {pixels.shape} {options}", imagecodecs.htj2k_encode(pixels, **options)


_PEERS: dict[str, Callable[[Rng, Path], tuple[list[str], Path]]] = {
    "opj_compress": _openjpeg,
    "grk_compress": _grok,
    "ojph_compress": _openjph,
}
_TURNS = ("opj_compress", "ojph_compress", "opj_compress", "grk_compress", "opj_compress", "wheel")


def peer_of(number: int) -> str:
    return _TURNS[number % len(_TURNS)]


@cache
def made(number: int) -> Made:
    """The codestream of this number: always the same, as long as the encoders are."""
    peer = peer_of(number)
    if peer != "wheel" and shutil.which(peer) is None:
        pytest.skip(f"{peer} is not installed (Debian's libopenjp2-tools, grokj2k-tools, openjph-tools)")
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([number, attempt])
        found = _wheel_example(rng) if peer == "wheel" else _encoded(rng, peer)
        if found is None:
            continue
        name, data = found
        try:
            main = parse_main_header(data)
            assert isinstance(main, MainHeader)
            levels = tuple(openjpeg.decode(data, reduce=level).planes for level in range(main.levels + 1))
        except ZigguratError:
            # The decoder itself cannot: a level without samples, an encoder's mistake. Another one, then.
            continue
        return Made(name, data, main, levels)
    raise AssertionError


def _wheel_example(rng: Rng) -> tuple[str, bytes] | None:
    try:
        return _wheel(rng)
    except (imagecodecs.Jpeg2kError, imagecodecs.Htj2kError, ValueError, RuntimeError):
        return None


def _encoded(rng: Rng, peer: str) -> tuple[str, bytes] | None:
    with tempfile.TemporaryDirectory() as folder:
        command, target = _PEERS[peer](rng, Path(folder))
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode or not target.exists():
            return None
        return " ".join(item for item in command if folder not in item), target.read_bytes()
