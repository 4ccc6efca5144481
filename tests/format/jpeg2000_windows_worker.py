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
MOST_SAMPLES = 3_000_000
"""Samples of a level that is decoded in full: finer levels of larger images are left out."""
LONGEST = 12
"""Rows or columns of most windows."""
LARGE = 80
"""Rows or columns of every sixteenth."""


def windows(size: Size, count: int, rng: np.random.Generator) -> Iterator[Window]:
    """The corners, then random ones."""
    height, width = size
    yield Window(0, 0, 1, 1)
    yield Window(height - 1, width - 1, height, width)
    for number in range(count - 2):
        longest = LONGEST if number % 16 else LARGE
        tall, wide = int(rng.integers(1, min(longest, height) + 1)), int(rng.integers(1, min(longest, width) + 1))
        y0, x0 = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        yield Window(y0, x0, y0 + tall, x0 + wide)


def reference(reader: Jpeg2000Reader, data: bytes, level: int) -> dict[int, Plane] | str:
    """Every component of a level by OpenJPEG's full decode, or why there is none.

    Not strict, as its own command is not: else it leaves out tile-parts that are more than were announced.
    """
    span = reader._container.codestream
    try:
        planes = openjpeg.decode(data[span.start : span.end], reduce=level, strict=False).planes
    except ZigguratError as error:
        return str(error)
    return dict(enumerate(planes))


def cut(plane: Plane, rect: Rect) -> np.ndarray:
    y, x = rect.y0 - plane.y0, rect.x0 - plane.x0
    assert y >= 0
    assert x >= 0
    found = plane.data[y : y + rect.y1 - rect.y0, x : x + rect.x1 - rect.x0]
    assert found.shape == (rect.y1 - rect.y0, rect.x1 - rect.x0)
    return found.astype(np.int64)


def difference(
    reader: Jpeg2000Reader, level: int, window: Window, expected: Mapping[int, Plane], *, pixels: bool
) -> int:
    """The largest difference of any sample of a window, of the components or of the result's pixels."""
    siz = reader._container.main.siz
    if pixels:
        read = reader.read(level, window).astype(np.int64)
        wanted = assemble(expected, reader._plan, reader._grid, level, window).astype(np.int64)
        return int(np.abs(read - wanted).max())
    found, _ = reader._windows.planes(level, window, list(expected))
    worst = 0
    for index, plane in expected.items():
        rect = component_rect(siz, index, level, window)
        if not rect.empty:
            worst = max(worst, int(np.abs(cut(found[index], rect) - cut(plane, rect)).max()))
    return worst


def compare(reader: Jpeg2000Reader, data: bytes, count: int, seed: str) -> dict[str, object]:
    rng = np.random.default_rng(list(seed.encode()))
    compared = levels = worst = 0
    where = refused = ""
    for level, step in enumerate(reader.info.levels):
        if step.shape.pixels * len(reader._container.main.siz.components) > MOST_SAMPLES:
            continue
        expected = reference(reader, data, level)
        if isinstance(expected, str):
            refused = expected
            continue
        levels += 1
        # A level of a few pixels has no more windows than this.
        for number, window in enumerate(windows(step.shape, min(count, 2 + step.shape.pixels), rng)):
            found = difference(reader, level, window, expected, pixels=number % 5 == 4)
            compared += 1
            if found > worst:
                worst, where = found, f"level {level} {window}"
    return {"levels": levels, "windows": compared, "worst": worst, "where": where, "refused": refused}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(sys.argv[1])
    for name in sys.argv[3:]:
        data = (folder / name).read_bytes()
        reader = open_reader(BytesSource(data, name))
        main = reader._container.main
        lossy = any(main.coding(index).transform == 0 for index in range(len(main.siz.components)))
        answer = {"name": name, "lossy": lossy}
        try:
            answer |= compare(reader, data, int(sys.argv[2]), name)
        except ZigguratError as error:
            answer["failed"] = str(error)
        print(json.dumps(answer), flush=True)  # noqa: T201 - how it answers


if __name__ == "__main__":
    main()
