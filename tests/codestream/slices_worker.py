"""Prints a digest of every slice of some windows of codestreams, a line each.

Arguments: "interpreted" or "as installed", then files. Not a test: which of the two forms of the hot loops is used can
be decided only before anything is imported.
"""

import hashlib
import importlib.util
import random
import sys
from pathlib import Path

import ziggurat

if sys.argv[1] == "interpreted":
    for loops in ("packet_parser", "packet_picker", "packet_writer"):
        name = f"ziggurat.codestream.{loops}"
        source = Path(ziggurat.__file__).parent / "codestream" / f"{loops}.py"
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

from damaged_codestreams import codestreams
from drive import Drive
from ziggurat.codestream import packet_parser, packet_picker, packet_writer
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.partition import Rect, shrunk, tile_rect
from ziggurat.codestream.reads import Span
from ziggurat.codestream.slice import slice_tile
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.testing.sources import BytesSource

WINDOWS = 6


def digests(name: str, data: bytes) -> None:
    container = read_container(BytesSource(data))
    main, span = container.main, container.codestream
    head = data[span.start : span.start + main.length]
    index = CodestreamIndex(main, head, Span(span.start, span.end), len(data))
    rng = random.Random(name)
    for level in range(main.levels + 1):
        for _ in range(WINDOWS):
            tile = rng.randrange(main.siz.tiles)
            wanted = {}
            for component, item in enumerate(main.siz.components):
                rect = shrunk(tile_rect(main.siz, tile), item.dx, item.dy, level)
                if not rect.empty:
                    x0, y0 = rng.randrange(rect.x0, rect.x1), rng.randrange(rect.y0, rect.y1)
                    wanted[component] = Rect(x0, y0, min(rect.x1, x0 + 100), min(rect.y1, y0 + 100))
            if wanted:
                leave_out = rng.choice((None, lambda *_: 1, lambda *where: sum(where) % 4))
                made = Drive(data)(slice_tile(index, tile, level, wanted, leave_out=leave_out))
                print(name, level, len(made.data), hashlib.sha256(made.data).hexdigest())  # noqa: T201 - how it answers


def main() -> None:
    print(*(Path(module.__file__ or "").suffix for module in (packet_parser, packet_picker, packet_writer)))  # noqa: T201 - as above
    for number, data in enumerate(codestreams()):
        digests(str(number), data)
    for file in sys.argv[2:]:
        digests(Path(file).name, Path(file).read_bytes())


if __name__ == "__main__":
    main()
