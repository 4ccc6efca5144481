"""Feeds damaged codestreams to one parser, in a process of limited memory; prints one JSON object.

Arguments: the parser's name, the first number, how many, and the step. The damage is decided by the number alone. Not
a test: what takes the process down must not take pytest with it.
"""

import collections
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from damaged_codestreams import boxed, codestreams, header_of
from drive import Drive
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.partition import Rect, shrunk, tile_rect
from ziggurat.codestream.reads import Span
from ziggurat.codestream.slice import slice_tile
from ziggurat.errors import ZigguratError
from ziggurat.format.jpeg2000 import open_reader
from ziggurat.geometry import Window
from ziggurat.testing.sources import BytesSource

MEMORY = 1 << 30
"""Bytes that may be taken beyond what the interpreter has when it starts."""
LONGEST = 5.0
"""Seconds of processor time for one input."""
NUMBERS = (0, 1, 2, 3, 12, 13, 14, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)

type Random = random.Random
type Parser = Callable[[bytes, Random], object]


def put(data: bytearray, at: int, length: int, rng: Random) -> None:
    """Overwrites a number with one that is likely to hurt."""
    value = rng.choice(NUMBERS) if rng.random() < 0.7 else rng.getrandbits(8 * length)
    data[at : at + length] = (value % (1 << 8 * length)).to_bytes(length)


def bytes_of(data: bytearray, rng: Random, start: int, end: int) -> None:
    """Damages bytes without a plan: replaced, flipped, left out, doubled."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(start, max(start + 1, min(end, len(data))))
        kind = rng.random()
        if kind < 0.4:
            data[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
        elif kind < 0.8:
            data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        elif kind < 0.9:
            del data[at : at + rng.choice((1, 2, 5, 30))]
        else:
            data[at:at] = data[at : at + rng.choice((1, 2, 5, 30))]


def in_siz(data: bytearray, rng: Random, main: MainHeader) -> None:
    at = main.segments[0].offset
    for _ in range(rng.choice((1, 1, 2, 4))):
        put(data, at + 6 + 4 * rng.randrange(8), 4, rng)
    if rng.random() < 0.3:
        put(data, at + 40 + rng.randrange(3), 1, rng)


def in_cod(data: bytearray, rng: Random, main: MainHeader) -> None:
    """Layers, levels, code-blocks, styles, precincts down to one sample."""
    cod = next(item for item in main.segments if item.name == "COD")
    fields = bytearray(data[cod.offset + 4 : cod.end])
    kind = rng.randrange(4)
    if kind == 0:
        fields[2:4] = rng.choice((65535, 4096, 300, 2)).to_bytes(2)
    elif kind == 1:
        fields[rng.choice((0, 1, 4, 5, 6, 7, 8, 9))] = rng.choice((0, 1, 2, 4, 7, 8, 32, 33, 64, 255))
    else:
        fields[0] |= 1
        fields[5] = rng.choice((0, 1, 5, 31, 32, fields[5]))
        fields[6:8] = bytes([rng.choice((0, 4, 8)), rng.choice((0, 2, 4))])
        fields[10:] = bytes(rng.choice((0x11, 0x00, 0xFF, 0x21, 0x77, 0x1F)) for _ in range(fields[5] + 1))
    data[cod.offset : cod.end] = b"\xff\x52" + (len(fields) + 2).to_bytes(2) + fields


def poc(data: bytearray, rng: Random, main: MainHeader) -> None:
    """Progression changes without number or sense."""
    count = rng.choice((1, 2, 3, 10, 100, 2000))
    change = [bytes([rng.randrange(3), 0, 0, rng.choice((1, 3, 255)), rng.choice((3, 33)), 1, rng.randrange(5)])]
    change += [bytes([0, 0, 255, 255, 33, 255, rng.randrange(5)])]
    content = b"".join(rng.choice(change) for _ in range(count))
    data[main.length : main.length] = b"\xff\x5f" + (len(content) + 2).to_bytes(2) + content


def lengths(data: bytearray, rng: Random, main: MainHeader) -> None:
    """Psot, and TLM, PLT, PPM or PPT that lie."""
    found = [at for at in range(main.length, len(data) - 12) if data[at : at + 4] == b"\xff\x90\x00\x0a"]
    if found and rng.random() < 0.5:
        at = rng.choice(found)
        put(data, at + rng.choice((4, 6, 6, 10)), rng.choice((1, 2, 4)), rng)
    for marker in (b"\xff\x55", b"\xff\x58", b"\xff\x60", b"\xff\x61"):
        at = bytes(data).find(marker)
        if at >= 0 and rng.random() < 0.6:
            put(data, at + 4 + rng.randrange(12), rng.choice((1, 2)), rng)


def damaged(base: bytes, rng: Random, region: str) -> bytes:
    """The input of a parser: damage where that parser looks, or in the structure around it."""
    data = bytearray(base)
    main = header_of(base)
    plan = rng.random()
    if plan < 0.3:
        for damage in rng.sample((in_siz, in_cod, poc, lengths), rng.choice((1, 1, 2))):
            damage(data, rng, main)
    elif plan < 0.35:
        del data[rng.randrange(len(data)) :]
    if plan >= 0.35 or rng.random() < 0.3:
        start, end = {"main": (2, main.length), "parts": (main.length, main.length + 120)}.get(
            region, (main.length + 14, len(base))
        )
        bytes_of(data, rng, start, end)
    return bytes(data)


def index_of(data: bytes) -> CodestreamIndex | None:
    main = parse_main_header(data)
    if not isinstance(main, MainHeader):
        return None
    return CodestreamIndex(main, data[: main.length], Span(0, len(data)), len(data))


def read_container(data: bytes, _rng: Random) -> object:
    return open_reader(BytesSource(data)).info


def read_main(data: bytes, _rng: Random) -> object:
    return parse_main_header(data)


def read_parts(data: bytes, rng: Random) -> object:
    index = index_of(data)
    if index is None:
        return None
    parts = Drive(data)(index.parts())
    for tile in [0, *rng.sample(sorted(parts), min(2, len(parts)))]:
        Drive(data)(index.tile(tile)).listed  # noqa: B018 - it is computed when asked for
    return parts


def cut(data: bytes, rng: Random, *, everything: bool) -> object:
    index = index_of(data)
    if index is None:
        return None
    siz = index.main.siz
    tile = rng.randrange(min(siz.tiles, 3))
    level = rng.randrange(min(index.main.levels, 3) + 1)
    wanted = {}
    for component, item in enumerate(siz.components[:3]):
        rect = shrunk(tile_rect(siz, tile), item.dx, item.dy, level)
        if rect.empty:
            continue
        if not everything:
            x0, y0 = rng.randrange(rect.x0, rect.x1), rng.randrange(rect.y0, rect.y1)
            rect = Rect(x0, y0, min(rect.x1, x0 + rng.randrange(1, 40)), min(rect.y1, y0 + rng.randrange(1, 40)))
        wanted[component] = rect
    if not wanted:
        return None
    keep = rng.choice((None, lambda *_: 2))
    return Drive(data)(slice_tile(index, tile, level, wanted, leave_out=keep))


def read_packets(data: bytes, rng: Random) -> object:
    return cut(data, rng, everything=rng.random() < 0.3)


def read_precincts(data: bytes, rng: Random) -> object:
    return cut(data, rng, everything=False)


PARSERS: dict[str, tuple[Parser, str]] = {
    "container": (read_container, "boxes"),
    "main": (read_main, "main"),
    "parts": (read_parts, "parts"),
    "packets": (read_packets, "packets"),
    "precincts": (read_precincts, "packets"),
}


def input_of(name: str, number: int, bases: list[bytes]) -> tuple[bytes, Random]:
    rng = random.Random(f"{name} {number}")
    if name == "container":
        data = bytearray(boxed(bases[0]) if rng.random() < 0.9 else bases[0])
        bytes_of(data, rng, 0, 700)
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        return bytes(data), rng
    # Precincts are read one by one where PLT tells where they lie.
    chosen = [base for base in bases if b"\xff\x58" in base[:400]] if name == "precincts" else bases
    return damaged(rng.choice(chosen), rng, PARSERS[name][1]), rng


def read_pixels(first: int, count: int, step: int) -> None:
    """Decodes windows of damaged files, and says before each which it is: a decoder may not come back."""
    bases = [*codestreams(), boxed(codestreams()[0])]
    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, 2 * MEMORY))
    for number in range(first, first + count * step, step):
        rng = random.Random(f"pixels {number}")
        data = bytearray(rng.choice(bases))
        bytes_of(data, rng, 2 if rng.random() < 0.3 else min(len(data) // 2, 300), len(data))
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        print(json.dumps([number]), flush=True)  # noqa: T201 - how it answers
        signal.alarm(int(LONGEST))
        try:
            reader = open_reader(BytesSource(bytes(data)))
            level = rng.randrange(len(reader.info.levels))
            height, width = reader.info.levels[level].shape
            y0, x0 = rng.randrange(height), rng.randrange(width)
            window = Window(y0, x0, min(height, y0 + rng.randrange(1, 60)), min(width, x0 + rng.randrange(1, 60)))
            verdict = "read" if reader.read(level, window).shape[:2] == window.size else "wrong shape"
        except ZigguratError as error:
            verdict = type(error).__name__
        signal.alarm(0)
        print(json.dumps([number, verdict]), flush=True)  # noqa: T201 - as above


def peak() -> int:
    """Bytes that this process had resident at the most; not ru_maxrss, which begins with its parent's."""
    with suppress(OSError), Path("/proc/self/status").open(encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> None:
    name, first, count, step = sys.argv[1], *map(int, sys.argv[2:5])
    if name == "pixels":
        read_pixels(first, count, step)
        return
    bases = codestreams()
    before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + MEMORY, before + MEMORY))
    outcomes: collections.Counter[str] = collections.Counter()
    failures = []
    slowest = (0.0, -1)
    for number in range(first, first + count * step, step):
        data, rng = input_of(name, number, bases)
        start = time.process_time()
        try:
            outcomes["nothing" if PARSERS[name][0](data, rng) is None else "read"] += 1
        except ZigguratError as error:
            outcomes[type(error).__name__] += 1
        except Exception:  # noqa: BLE001 - that is what is looked for
            failures.append([number, traceback.format_exc()[-900:]])
        took = time.process_time() - start
        slowest = max(slowest, (took, number))
        if took > LONGEST:
            failures.append([number, f"{took:.1f} s"])
        if len(failures) > 20:
            break
    answer = {"outcomes": outcomes, "failures": failures, "slowest": slowest}
    print(json.dumps(answer | {"peak": peak()}))  # noqa: T201


if __name__ == "__main__":
    main()
