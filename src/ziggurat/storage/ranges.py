"""Byte ranges as values, and the pure planning of how to fetch many of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ziggurat.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from ``start`` up to and without ``end``.

    Raises:
        UsageError: if it is reversed or starts before 0. An empty range is allowed and reads b"".
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise UsageError(f"byte range {self.start} to {self.end} is not 0 <= start <= end")

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request that serves several of the ranges asked for.

    Attributes:
        span: the bytes to request.
        members: indexes into the ranges asked for.
    """

    span: ByteRange
    members: tuple[int, ...]


def coalesce(ranges: Sequence[ByteRange], *, gap: int, limit: int) -> list[Fetch]:
    """Joins ranges that lie close together into fewer requests.

    Args:
        ranges: in any order, overlapping or not.
        gap: bytes that may be fetched in vain to save a request.
        limit: bytes above which a request is not grown further (one range may exceed it alone).

    Returns:
        Requests in ascending order; every non-empty range is a member of exactly one.
    """
    fetches: list[Fetch] = []
    start = end = 0
    members: list[int] = []
    for index in sorted(range(len(ranges)), key=lambda i: ranges[i]):
        item = ranges[index]
        if not item.length:
            continue
        if members and item.start - end <= gap and max(end, item.end) - start <= limit:
            end = max(end, item.end)
            members.append(index)
            continue
        if members:
            fetches.append(Fetch(ByteRange(start, end), tuple(members)))
        start, end, members = item.start, item.end, [index]
    if members:
        fetches.append(Fetch(ByteRange(start, end), tuple(members)))
    return fetches


def coalesce_to(ranges: Sequence[ByteRange], *, requests: int, gaps: Sequence[int], limit: int) -> list[Fetch]:
    """Joins ranges as little as makes few enough requests of them.

    Args:
        ranges: in any order, overlapping or not.
        requests: how many are few enough: as many as are answered in about the time of one.
        gaps: bytes that may be fetched in vain to save a request, the first choice first; the last is taken where none
            makes few enough.
        limit: bytes above which a request is not grown further.

    Returns:
        As ``coalesce`` does.
    """
    fetches: list[Fetch] = []
    for gap in gaps:
        fetches = coalesce(ranges, gap=gap, limit=limit)
        if len(fetches) <= requests:
            break
    return fetches
