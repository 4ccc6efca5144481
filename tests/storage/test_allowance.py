"""What a process may read can be limited."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ziggurat.errors import TooManyBytes
from ziggurat.storage.allowance import allow
from ziggurat.storage.local import LocalSource
from ziggurat.storage.ranges import ByteRange


@pytest.fixture
def source(tmp_path: Path) -> Iterator[LocalSource]:
    (tmp_path / "a").write_bytes(bytes(100))
    opened = LocalSource(tmp_path / "a")
    yield opened
    allow(None)
    opened.close()


def test_no_more_than_what_is_allowed_is_read(source: LocalSource) -> None:
    allow(60)
    assert len(source.read_ranges([ByteRange(0, 20), ByteRange(0, 20)])) == 2
    source.read_into(0, memoryview(bytearray(20)))
    with pytest.raises(TooManyBytes):
        source.read_ranges([ByteRange(0, 1)])
    with pytest.raises(TooManyBytes):
        source.read_into(0, memoryview(bytearray(1)))
    allow(1)
    source.read_ranges([ByteRange(0, 1)])


def test_nothing_is_counted_where_nothing_was_limited(source: LocalSource) -> None:
    for _ in range(9):
        source.read_ranges([ByteRange(0, 100)])
