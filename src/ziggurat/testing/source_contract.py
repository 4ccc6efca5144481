"""What every ByteSource promises, as tests: subclass, give the fixture, run with pytest."""
# ruff: noqa: D102 - a test's name says what it protects

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ziggurat.errors import SourceChanged, UsageError
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

type OpenBytes = Callable[[bytes], ByteSource]

BYTES = random.Random(1).randbytes(300_001)  # noqa: S311 - test data
"""More than any place fetches at once, and no round number."""


class SourceContract:
    """Subclass it, and give a fixture ``open_bytes``: a function that makes a source of given bytes."""

    @pytest.fixture
    def open_bytes(self) -> OpenBytes:
        """Makes a source that holds exactly the bytes given, opened anew at each call."""
        raise NotImplementedError

    def test_tells_its_size_and_where_it_is(self, open_bytes: OpenBytes) -> None:
        source = open_bytes(BYTES)
        assert source.size == source.version.size == len(BYTES)
        assert source.version.tag
        assert isinstance(source.url, str)
        assert source.url

    def test_reads_all(self, open_bytes: OpenBytes) -> None:
        data = open_bytes(BYTES).read_ranges([ByteRange(0, len(BYTES))])
        assert data == [BYTES]
        assert type(data[0]) is bytes

    def test_answers_in_the_order_asked_with_overlaps_and_repeats(self, open_bytes: OpenBytes) -> None:
        picks = random.Random(2)  # noqa: S311 - test data
        starts = [picks.randrange(len(BYTES)) for _ in range(200)]
        ranges = [ByteRange(at, min(len(BYTES), at + picks.randrange(5000))) for at in starts]
        ranges += [ranges[0], ByteRange(0, 1), ByteRange(len(BYTES) - 1, len(BYTES))]
        assert open_bytes(BYTES).read_ranges(ranges) == [BYTES[r.start : r.end] for r in ranges]

    def test_reads_nothing_where_nothing_is_asked(self, open_bytes: OpenBytes) -> None:
        source = open_bytes(BYTES)
        assert source.read_ranges([]) == []
        empty = [ByteRange(0, 0), ByteRange(77, 77), ByteRange(len(BYTES), len(BYTES))]
        assert source.read_ranges(empty) == [b"", b"", b""]

    def test_empty_source(self, open_bytes: OpenBytes) -> None:
        source = open_bytes(b"")
        assert source.size == 0
        assert source.read_ranges([ByteRange(0, 0)]) == [b""]
        with pytest.raises(SourceChanged):
            source.read_ranges([ByteRange(0, 1)])

    @pytest.mark.parametrize(
        "leaving",
        [
            ByteRange(len(BYTES) - 1, len(BYTES) + 1),
            ByteRange(len(BYTES) + 1, len(BYTES) + 1),
            ByteRange(len(BYTES), len(BYTES) + 1),
            ByteRange(0, 1 << 62),
            ByteRange(1 << 70, (1 << 70) + 5),
        ],
        ids=["last byte", "empty behind the end", "at the end", "huge", "beyond 64 bits"],
    )
    def test_a_range_that_leaves_the_source_is_refused(self, open_bytes: OpenBytes, leaving: ByteRange) -> None:
        source = open_bytes(BYTES)
        with pytest.raises(SourceChanged, match=r"\d"):
            source.read_ranges([ByteRange(0, 10), leaving])
        assert source.read_ranges([ByteRange(0, 10)]) == [BYTES[:10]]

    def test_threads_may_share_it(self, open_bytes: OpenBytes) -> None:
        source = open_bytes(BYTES)
        spans = [ByteRange(at, at + 9_000) for at in range(0, 280_000, 7_000)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda span: source.read_ranges([span])[0], spans))
        assert found == [BYTES[span.start : span.end] for span in spans]

    def test_reading_after_close_is_an_error(self, open_bytes: OpenBytes) -> None:
        source = open_bytes(BYTES)
        source.close()
        source.close()
        with pytest.raises(UsageError, match="closed"):
            source.read_ranges([ByteRange(0, 1)])
