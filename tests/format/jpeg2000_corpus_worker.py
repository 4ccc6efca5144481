"""Reads JPEG 2000 files in a process of its own and prints what came of it, one JSON line a file.

Arguments: the files' folder, then their paths in it. Not a test: a decoder that crashes must not take pytest with it.
"""

import json
import resource
import sys
from pathlib import Path

import imagecodecs
import numpy as np

from ziggurat.errors import ZigguratError
from ziggurat.format.jpeg2000 import Jpeg2000Reader, open_reader
from ziggurat.geometry import Window
from ziggurat.testing.sources import BytesSource

MEMORY = 6 << 30


def agrees(reader: Jpeg2000Reader, data: bytes, pixels: np.ndarray) -> bool | None:
    """Against an independent decode of the bare codestream, where that one is able to; None where it is not."""
    span = reader._container.codestream
    if not reader._plan.plain or reader._container.main.cod.style.factors is not None:
        return None
    try:
        expected = imagecodecs.jpeg2k_decode(data[span.start : span.end])
    except (NotImplementedError, imagecodecs.Jpeg2kError):
        return None
    if expected.ndim == 2:
        expected = expected[:, :, None]
    order = [band.component for band in reader._plan.bands]
    if expected.shape != pixels.shape:
        return False
    # The decoders of HTJ2K round the 9-7 transform differently.
    tolerance = int(reader._container.main.ht and reader._container.main.cod.style.transform == 0)
    return int(np.abs(expected[:, :, order].astype(np.int64) - pixels).max()) <= tolerance


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        data = (folder / name).read_bytes()
        same: bool | None = None
        try:
            reader = open_reader(BytesSource(data, name))
            size = reader.info.size
            pixels = reader.read(0, Window.full(size))
            assert pixels.shape == (*size, reader.info.bands)
            assert pixels.dtype == reader.info.dtype
            same = agrees(reader, data, pixels)
            verdict = "ok"
        except ZigguratError as error:
            assert name in str(error)  # noqa: PT017 - this is no test
            verdict = type(error).__name__
        print(json.dumps([name, verdict, same]), flush=True)  # noqa: T201 - how it answers


if __name__ == "__main__":
    main()
