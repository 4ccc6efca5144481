import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import LimitExceeded
from ziggurat.storage.file_view import FileView
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.ranges import ByteRange

DATA = bytes(range(256)) * 5


class Counting(MemorySource):
    """Notes how often and how much is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__("memory:counting", data)
        self.calls = 0
        self.length = 0

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        self.calls += 1
        self.length += sum(item.length for item in ranges)
        return super().read_ranges(ranges)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), st.integers(0, 2 * len(DATA))),
        st.tuples(st.just("read"), st.integers(-1, 700)),
    ),
    max_size=30,
)


@given(steps=STEPS, block=st.integers(1, 300), blocks=st.integers(1, 5))
def test_reads_what_a_file_of_the_same_bytes_reads(steps: list[tuple[str, int]], block: int, blocks: int) -> None:
    view, file = FileView(MemorySource("memory:x", DATA), block=block, blocks=blocks), io.BytesIO(DATA)
    for step, number in steps:
        if step == "seek":
            assert view.seek(number) == file.seek(number)
        else:
            assert view.read(number) == file.read(number)
        assert view.tell() == file.tell()


def test_bytes_read_twice_are_fetched_once() -> None:
    source = Counting(DATA)
    view = FileView(source, block=64)
    for _ in range(3):
        view.seek(10)
        assert view.read(200) == DATA[10:210]
    assert source.calls == 1


def test_only_the_most_recent_blocks_are_kept() -> None:
    source = Counting(DATA)
    view = FileView(source, block=64, blocks=2)
    for at in (0, 64, 128, 0):
        view.seek(at)
        view.read(8)
    assert source.calls == 4
    view.seek(128)
    view.read(8)
    assert source.calls == 4


def test_reading_far_behind_the_end_gives_nothing_and_fetches_nothing() -> None:
    source = Counting(DATA)
    view = FileView(source)
    assert view.seek(1 << 80) == 1 << 80
    assert view.read(1 << 70) == b""
    assert source.calls == 0


def test_a_position_before_the_start_is_refused() -> None:
    view = FileView(MemorySource("memory:x", DATA))
    with pytest.raises(ValueError, match="before the start"):
        view.seek(-1)
    with pytest.raises(ValueError, match="before the start"):
        view.seek(-len(DATA) - 1, io.SEEK_END)


def test_an_absurdly_long_read_is_refused_before_memory_is_taken() -> None:
    view = FileView(MemorySource("memory:x", DATA), longest=1000)
    with pytest.raises(LimitExceeded, match="1280 header bytes at offset 0"):
        view.read()
    view.seek(500)
    assert view.read() == DATA[500:]


def test_endless_reading_is_ended() -> None:
    view = FileView(MemorySource("memory:x", DATA), total=3000)
    for _ in range(2):
        view.seek(0)
        view.read()
    view.seek(0)
    with pytest.raises(LimitExceeded):
        view.read()


def test_readinto_fills_what_there_is() -> None:
    view = FileView(MemorySource("memory:x", DATA))
    view.seek(len(DATA) - 3)
    buffer = bytearray(b"......")
    assert view.readinto(buffer) == 3
    assert bytes(buffer) == DATA[-3:] + b"..."


def test_the_name_is_the_last_part_of_the_path() -> None:
    assert FileView(MemorySource("s3://bucket/a/slide%20one.ndpi", DATA)).name == "slide one.ndpi"


def test_closing_the_view_leaves_the_source_open() -> None:
    source = MemorySource("memory:x", DATA)
    view = FileView(source)
    view.close()
    assert source.read_ranges([ByteRange(0, 4)]) == [DATA[:4]]
    with pytest.raises(ValueError, match="closed"):
        view.read(1)


def test_what_was_prefetched_is_not_fetched_again() -> None:
    source = Counting(DATA)
    view = FileView(source, block=64)
    assert view.prefetch([ByteRange(0, 10), ByteRange(500, 700), ByteRange(len(DATA) - 1, len(DATA) + 99)])
    assert (source.calls, source.length) == (1, 64 + 256 + 64)
    for at, length in ((0, 64), (448, 256), (len(DATA) - 64, 64)):
        view.seek(at)
        assert view.read(length) == DATA[at : at + length]
    assert source.calls == 1
    assert not view.prefetch([ByteRange(0, 64), ByteRange(1 << 40, 1 << 41)])
    assert source.calls == 1


def test_no_more_is_prefetched_than_is_kept() -> None:
    source = Counting(DATA)
    FileView(source, block=64, blocks=3).prefetch([ByteRange(0, 640), ByteRange(640, 1280)])
    assert source.length == 3 * 64
