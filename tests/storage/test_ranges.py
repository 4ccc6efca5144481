from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import UsageError
from ziggurat.storage.ranges import ByteRange, coalesce, coalesce_to

RANGES = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 300)).map(lambda item: ByteRange(item[0], sum(item))), max_size=40
)
KNOBS: dict[str, st.SearchStrategy[int]] = {"gap": st.integers(0, 400), "limit": st.integers(1, 1500)}


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4), (-2, -1)])
def test_a_range_that_makes_no_sense_cannot_be_built(start: int, end: int) -> None:
    with pytest.raises(UsageError):
        ByteRange(start, end)


@given(ranges=RANGES, **KNOBS)
def test_every_range_is_served_by_exactly_one_request(ranges: list[ByteRange], gap: int, limit: int) -> None:
    fetches = coalesce(ranges, gap=gap, limit=limit)
    served = [member for fetch in fetches for member in fetch.members]
    assert sorted(served) == [index for index, item in enumerate(ranges) if item.length]
    for fetch in fetches:
        for item in (ranges[member] for member in fetch.members):
            assert fetch.span.start <= item.start
            assert item.end <= fetch.span.end


@given(ranges=RANGES, **KNOBS)
def test_a_request_is_as_tight_as_its_ranges_and_no_larger_than_allowed(
    ranges: list[ByteRange], gap: int, limit: int
) -> None:
    for fetch in coalesce(ranges, gap=gap, limit=limit):
        items = [ranges[member] for member in fetch.members]
        assert fetch.span.start == min(item.start for item in items)
        assert fetch.span.end == max(item.end for item in items)
        assert fetch.span.length <= limit or fetch.span.length == max(item.length for item in items)


@given(ranges=RANGES, **KNOBS)
def test_nothing_is_fetched_in_vain_but_gaps_that_are_small_enough(
    ranges: list[ByteRange], gap: int, limit: int
) -> None:
    for fetch in coalesce(ranges, gap=gap, limit=limit):
        end = fetch.span.start
        for item in sorted(ranges[member] for member in fetch.members):
            assert item.start - end <= gap
            end = max(end, item.end)


@given(RANGES)
def test_requests_that_could_be_one_are_one(ranges: list[ByteRange]) -> None:
    fetches = coalesce(ranges, gap=50, limit=1 << 40)
    for before, after in pairwise(fetches):
        assert after.span.start - before.span.end > 50


def test_ranges_are_joined_no_more_than_makes_few_enough_requests() -> None:
    ranges = [ByteRange(at, at + 10) for at in range(0, 1000, 100)]
    gaps = (0, 90, 200)
    assert len(coalesce_to(ranges, requests=10, gaps=gaps, limit=1 << 20)) == 10
    assert len(coalesce_to(ranges, requests=9, gaps=gaps, limit=1 << 20)) == 1
    assert len(coalesce_to(ranges, requests=1, gaps=(0, 50), limit=1 << 20)) == 10
    assert coalesce_to([], requests=1, gaps=gaps, limit=1) == []
