"""Damaged codestreams raise nothing but errors of this package, in bounded time and memory.

ZIGGURAT_FUZZ says how many inputs each parser gets; each number is always the same input. The last test gives inputs to
the decoders too.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from damaged_codestreams import codestreams, header_of, index_of
from drive import Drive
from ziggurat.codestream import packet_parser
from ziggurat.codestream.partition import Rect
from ziggurat.codestream.slice import slice_tile
from ziggurat.errors import LimitExceeded

INPUTS = int(os.environ.get("ZIGGURAT_FUZZ", "2000"))
WORKER = Path(__file__).with_name("fuzz_worker.py")
WORKERS = 2


def started(*arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("parser", ["container", "main", "parts", "packets", "precincts"])
def test_damage_raises_only_errors_of_this_package_soon_and_in_little_memory(parser: str) -> None:
    jobs = [started(parser, first, INPUTS // WORKERS, WORKERS) for first in range(WORKERS)]
    outcomes: Counter[str] = Counter()
    for job in jobs:
        out, said = job.communicate(timeout=600)
        assert job.returncode == 0, said[-2000:]
        answer = json.loads(out)
        assert answer["failures"] == []
        outcomes += Counter(answer["outcomes"])
    assert sum(outcomes.values()) == INPUTS // WORKERS * WORKERS
    # Damage that is always seen at once, or never, would prove nothing.
    assert INPUTS // 10 < outcomes["CorruptImage"] < INPUTS * 9 // 10
    assert outcomes["read"] > INPUTS // 10


@pytest.mark.slow
def test_no_damaged_file_takes_the_decoders_down() -> None:
    count = max(2, INPUTS // 50)
    crashes, outcomes = [], Counter[str]()
    for first in range(WORKERS):
        number = first
        while number < count:
            job = started("pixels", number, -(-(count - number) // WORKERS), WORKERS)
            out, said = job.communicate(timeout=600)
            lines = [json.loads(line) for line in out.splitlines()]
            outcomes += Counter(line[1] for line in lines if len(line) > 1)
            if job.returncode == 0:
                break
            assert lines, said[-2000:]
            crashes.append((lines[-1][0], job.returncode, said[-300:]))
            number = lines[-1][0] + WORKERS
    assert crashes == []
    assert sum(outcomes.values()) == count
    assert outcomes["read"] > count // 20
    assert outcomes["CorruptImage"] > count // 20


def with_header(size: int, *, block: int, layers: int, packets: bytes) -> bytes:
    """One band of 8 bits, one level, one precinct a resolution."""
    main = bytearray(codestreams()[0])
    siz, cod = (next(item for item in header_of(bytes(main)).segments if item.name == name) for name in ("SIZ", "COD"))
    for field in (0, 1, 4, 5):
        at = siz.offset + 6 + 4 * field
        main[at : at + 4] = size.to_bytes(4)
    main[cod.offset + 6 : cod.offset + 8] = layers.to_bytes(2)
    main[cod.offset + 9] = 1
    main[cod.offset + 10 : cod.offset + 12] = bytes([block, block])
    head = bytes(main[: header_of(bytes(main)).length])
    return head + b"\xff\x90\0\x0a\0\0" + (14 + len(packets)).to_bytes(4) + b"\0\1\xff\x93" + packets + b"\xff\xd9"


def first_pixel(data: bytes) -> None:
    Drive(data)(slice_tile(index_of(data), 0, 0, {0: Rect(0, 0, 1, 1)}))


def test_more_packets_than_bytes_are_not_believed() -> None:
    first_pixel(with_header(64, block=4, layers=30_000, packets=bytes(100)))
    with pytest.raises(LimitExceeded, match="114 bytes has 80000 packets"):
        first_pixel(with_header(64, block=4, layers=40_000, packets=bytes(100)))
    first_pixel(with_header(64, block=4, layers=40_000, packets=bytes(80_000)))


def test_far_more_code_blocks_than_bytes_are_not_believed() -> None:
    first_pixel(with_header(8000, block=0, layers=1, packets=bytes(2)))
    with pytest.raises(LimitExceeded, match="code-blocks by its header"):
        first_pixel(with_header(9000, block=0, layers=1, packets=bytes(2)))


@pytest.mark.skipif(packet_parser.__file__.endswith(".py"), reason="interpreted, a visit takes 20 microseconds")
def test_packets_that_speak_of_nothing_again_and_again_are_given_up() -> None:
    with pytest.raises(LimitExceeded, match="far more code-blocks than bytes"):
        first_pixel(with_header(8000, block=0, layers=30_000, packets=b"\x80" * 60_000))
