"""Reads windows of JPEG 2000 files and compares them with full decodes; prints one JSON line a file.

Arguments: the files' folder, windows a level, then the files' paths in it. The full decode is the decoder's own, of the
codestream as it lies in the file: nothing of it passes through this package's reading of packets. Not a test: a decoder
that crashes must not take pytest with it.
"""

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import imagecodecs
import numpy as np

from ziggurat.codec import openjpeg
from ziggurat.codec.openjpeg import Plane
from ziggurat.codestream.partition import Rect
from ziggurat.errors import ZigguratError
from ziggurat.format.jpeg2000 import Jpeg2000Reader, open_reader
from ziggurat.format.jpeg2000.pixels import assemble
from ziggurat.format.jpeg2000.windows import component_rect
from ziggurat.geometry import Size, Window
from ziggurat.testing.sources import BytesSource

MEMORY = 6 << 30
MOST_SAMPLES = 9_000_000
"""Samples of a level that is decoded in full: finer levels of larger images are left out."""
LONGEST = 48
"""Rows or columns of most windows; every eighth may be as large as the level, or this many times as large."""


def windows(size: Size, count: int, rng: np.random.Generator) -> Iterator[Window]:
    """The corners, then random ones."""
    height, width = size
    yield Window(0, 0, 1, 1)
    yield Window(height - 1, width - 1, height, width)
    for number in range(count - 2):
        longest = LONGEST if number % 8 else 8 * LONGEST
        tall, wide = int(rng.integers(1, min(longest, height) + 1)), int(rng.integers(1, min(longest, width) + 1))
        y0, x0 = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        yield Window(y0, x0, y0 + tall, x0 + wide)


def reference(reader: Jpeg2000Reader, data: bytes, level: int) -> dict[int, Plane]:
    """Every component of a level: OpenJPEG's full decode, for HTJ2K OpenJPH's where it decodes all components."""
    main = reader._container.main
    span = reader._container.codestream
    bare = data[span.start : span.end]
    if not main.ht:
        return dict(enumerate(openjpeg.decode(bare, reduce=level, strict=False).planes))
    item = main.siz.components[0]
    # OpenJPH wraps what overshoots the depth's own type, and rounds differently: it is asked where it cannot.
    if main.cod.style.transform == 1 and len(set(main.siz.components)) == 1:
        try:
            pixels = imagecodecs.htj2k_decode(bare, skipres=level)
        except (imagecodecs.Htj2kError, ValueError, RuntimeError):
            pass
        else:
            pixels = pixels.reshape(*pixels.shape[:2], -1)
            whole = component_rect(main.siz, 0, level, Window.full(reader.info.levels[level].shape))
            return {
                index: Plane(
                    pixels[:, :, index].astype(np.int32), item.depth, item.signed, item.dx, item.dy, whole.x0, whole.y0
                )
                for index in range(pixels.shape[2])
            }
    return dict(enumerate(openjpeg.decode(bare, reduce=level, strict=False).planes))


def cut(plane: Plane, rect: Rect) -> np.ndarray:
    y, x = rect.y0 - plane.y0, rect.x0 - plane.x0
    assert y >= 0
    assert x >= 0
    found = plane.data[y : y + rect.y1 - rect.y0, x : x + rect.x1 - rect.x0]
    assert found.shape == (rect.y1 - rect.y0, rect.x1 - rect.x0)
    return found.astype(np.int64)


def difference(
    reader: Jpeg2000Reader, level: int, window: Window, expected: Mapping[int, Plane], *, pixels: bool
) -> tuple[int, list[str]]:
    """The largest difference of any sample of a window; where the decoder remarks on what it got, its words."""
    siz = reader._container.main.siz
    if pixels:
        read = reader.read(level, window).astype(np.int64)
        wanted = assemble(expected, reader._plan, reader._grid, level, window).astype(np.int64)
        return int(np.abs(read - wanted).max()), list(reader.warnings)
    found, remarks = reader._windows.planes(level, window, list(expected))
    worst = 0
    for index, plane in expected.items():
        rect = component_rect(siz, index, level, window)
        if not rect.empty:
            worst = max(worst, int(np.abs(cut(found[index], rect) - cut(plane, rect)).max()))
    return worst, remarks


def compare(reader: Jpeg2000Reader, data: bytes, count: int, seed: str) -> dict[str, object]:
    rng = np.random.default_rng(list(seed.encode()))
    compared = levels = 0
    worst: list[int] = [0, 0]
    where = said = ""
    for level, step in enumerate(reader.info.levels):
        if step.shape.pixels * len(reader._container.main.siz.components) > MOST_SAMPLES:
            continue
        expected = reference(reader, data, level)
        levels += 1
        for number, window in enumerate(windows(step.shape, count, rng)):
            pixels = number % 5 == 4
            found, remarks = difference(reader, level, window, expected, pixels=pixels)
            compared += 1
            said = said or "; ".join(remarks)
            if found > worst[pixels]:
                worst[pixels] = found
                where = f"level {level} {window}"
    return {"levels": levels, "windows": compared, "worst": worst, "where": where, "remarks": said}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(sys.argv[1])
    for name in sys.argv[3:]:
        data = (folder / name).read_bytes()
        answer: dict[str, object] = {"name": name}
        try:
            reader = open_reader(BytesSource(data, name))
            style = reader._container.main.cod.style
            answer |= {"transform": style.transform, "ht": reader._container.main.ht}
            reader.read(len(reader.info.levels) - 1, Window(0, 0, 1, 1))
        except ZigguratError as error:
            print(json.dumps(answer | {"refused": str(error)}), flush=True)  # noqa: T201 - how it answers
            continue
        try:
            answer |= compare(reader, data, int(sys.argv[2]), name)
        except ZigguratError as error:
            answer["failed"] = str(error)
        print(json.dumps(answer), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
