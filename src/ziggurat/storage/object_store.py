"""Objects in S3, Google, Azure and HTTP stores, read by byte ranges."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import obstore

from ziggurat.errors import SourceChanged, UsageError
from ziggurat.storage.allowance import take
from ziggurat.storage.client import Bound, asking, tag_of
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.ranges import ByteRange, Fetch, coalesce_to

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

PREFIX: Final = 1 << 16
"""Bytes of the first request, which also tells size and version: most headers then need no second one."""

GAPS: Final = (1 << 12, 1 << 14, 1 << 16, 1 << 18)
"""Bytes fetched in vain to save a request: few where the requests can all be under way at the same time, at most what a
store sends in the time that it takes to answer one."""

ROUNDS: Final = 2
"""Times that all connections may have to answer before more bytes are fetched in vain."""

PIECE: Final = 1 << 21
"""Bytes of one request at most: 2 MiB; longer ranges come in several, side by side. So 32 MiB that are wanted at once
keep all connections busy, each of which is slower than all of them."""


@lru_cache(maxsize=8)
def _threads(connections: int) -> ThreadPoolExecutor:
    """Threads that wait for answers; the client works outside the interpreter's lock."""
    return ThreadPoolExecutor(connections, thread_name_prefix="ziggurat-fetch")


class ObjectSource:
    """An object as it was on opening; safe to use from several threads.

    Every request states the ETag (``If-Match``), and every answer's ETag and size are compared, since some
    servers ignore the condition. The batched call of the client library takes no condition; the requests are
    therefore planned here and sent side by side from threads.

    Args:
        bound: the object and its client.
        network: the number of requests that may be under way.
        first: bytes of the first request.

    Raises:
        SourceNotFound: if there is no such object.
        SourceRefused: if it may not be read, or the server knows no byte ranges.
        StoreUnavailable: if the store does not answer.
    """

    def __init__(self, bound: Bound, network: NetworkOptions, *, first: int = PREFIX) -> None:
        self._bound = bound
        self._connections = network.connections
        self._closed = False
        meta, self._prefix = self._first(first)
        self._version = SourceVersion(meta["size"], tag_of(meta))
        etag = meta["e_tag"]
        # A weak ETag never matches in If-Match (RFC 9110 13.1.1).
        self._condition = None if not etag or etag.startswith("W/") else etag

    def _first(self, length: int) -> "tuple[ObjectMeta, bytes]":
        store, key = self._bound.store, self._bound.key
        try:
            with asking(self.url):
                answer = obstore.get(store, key, options={"range": (0, length)})
                data = bytes(answer.bytes())
        except SourceChanged:
            # An empty object satisfies no range.
            with asking(self.url):
                meta = obstore.head(store, key)
            if meta["size"]:
                raise
            return meta, b""
        # Many small objects are as much as a large one.
        take([ByteRange(0, len(data))])
        return answer.meta, data

    @property
    def url(self) -> str:
        """Scheme, bucket and key, without query."""
        return self._bound.url

    @property
    def size(self) -> int:
        """Length in bytes, as it was on opening."""
        return self._version.size

    @property
    def version(self) -> SourceVersion:
        """Size and ETag on opening; without an ETag, the time of the last change."""
        return self._version

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given; close ones in one request, requests side by side.

        Raises:
            SourceChanged: if the object was replaced since it was opened, or a range leaves it.
            SourceNotFound: if it was removed since.
            SourceRefused: if it may no longer be read.
            StoreUnavailable: if the store does not answer.
            TooManyBytes: if this process may not read so much.
            UsageError: if the source is closed.
        """
        if self._closed:
            raise UsageError(f"{self.url} is closed; open it again to read from it")
        for item in ranges:
            if item.end > self.size:
                raise SourceChanged(
                    f"{self.url} has {self.size} bytes; {item.start} to {item.end} were asked for; the "
                    "object is shorter than it claims"
                )
        result = [self._prefix[item.start : item.end] for item in ranges]
        missing = [item if item.end > len(self._prefix) else ByteRange(0, 0) for item in ranges]
        take(missing)
        fetches = coalesce_to(missing, requests=ROUNDS * self._connections, gaps=GAPS, limit=PIECE)
        for fetch, data in zip(fetches, self._fetch_all(fetches), strict=True):
            for member in fetch.members:
                start = ranges[member].start - fetch.span.start
                whole = ranges[member] == fetch.span
                result[member] = data if whole else data[start : start + ranges[member].length]
        return result

    def _fetch_all(self, fetches: Sequence[Fetch]) -> list[bytes]:
        pieces = [piece for fetch in fetches for piece in _pieces(fetch.span)]
        if len(pieces) > 1:
            data = iter(list(_threads(self._connections).map(self._fetch, pieces)))
        else:
            data = map(self._fetch, pieces)
        return [_joined([next(data) for _ in _pieces(fetch.span)]) for fetch in fetches]

    def _fetch(self, span: ByteRange) -> bytes:
        options: GetOptions = {"range": (span.start, span.end)}
        if self._condition is not None:
            options["if_match"] = self._condition
        with asking(self.url):
            answer = obstore.get(self._bound.store, self._bound.key, options=options)
            meta = answer.meta
            if (meta["size"], tag_of(meta)) != (self._version.size, self._version.tag):
                raise SourceChanged(
                    f"{self.url} was replaced since it was opened ({self._version.tag}, now {tag_of(meta)}); "
                    "try again with the new version"
                )
            data = bytes(answer.bytes())
        if len(data) != span.length:
            raise SourceChanged(
                f"{self.url}: {len(data)} bytes came for {span.start} to {span.end}; the object or the "
                "server is not what it claims to be"
            )
        return data

    def close(self) -> None:
        """Lets go of the first bytes; the client is shared and stays."""
        self._closed = True
        self._prefix = b""


def _pieces(span: ByteRange) -> list[ByteRange]:
    return [ByteRange(start, min(start + PIECE, span.end)) for start in range(span.start, span.end, PIECE)]


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
