"""The server's middle: identifiers become facts and pictures, from memory, the cache or a worker, each made once."""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from ziggurat.errors import NotReady, Overloaded, SourceChanged, SourceError, WriteError
from ziggurat.serve.catalogue import LISTED_SECONDS, Catalogue, open_catalogue
from ziggurat.serve.desk import Desk
from ziggurat.serve.facts import Facts
from ziggurat.serve.found import Found
from ziggurat.serve.iiif.syntax import Bounds
from ziggurat.serve.items import Contents, Item
from ziggurat.serve.metrics import Traffic
from ziggurat.serve.plan import MEDIA_TYPES, Plan
from ziggurat.serve.pool import Answer, Pool
from ziggurat.serve.settings import Settings
from ziggurat.serve.wire import END, Build, Describe, Detail, Draw, Kind, Locate, Probe, Slab, Task, WorkerConfig
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.resolve import identity

_log = logging.getLogger(__name__)

KIND: Final = 2
"""To be raised when pictures come out otherwise than before: those in caches are then made again."""

SLAB_KIND: Final = 1
"""The same for chunks of Zarr arrays."""

REMOTE_SECONDS: Final = 30.0
"""For which an object in a store is taken to be unchanged."""

PATIENT_SECONDS: Final = 0.3
"""For which whoever looks around waits for a new list; a longer one is made behind the old one."""

KNOWN: Final = 50_000
"""Images whose facts are kept, the most recently used ones; a kilobyte each."""

BUILD_SECONDS: Final = 6 * 3600.0
"""For which the levels of one image may be made: 24 GB from a slow store take two hours."""

BUILD_NICE: Final = 10
BUILD_QUEUE: Final = 1000
BUILD_PAUSE: Final = 60.0
"""Seconds before levels that could not be made are tried again."""

RECENT: Final = 64 << 20
"""Bytes of pictures kept in memory, the most recently used ones: those of a minute of somebody's looking around."""

BESIDE: Final = 256
"""Bytes that a picture in memory takes besides its own."""


@dataclass(frozen=True, slots=True)
class Looked:
    """An image that a request names: its place, and what is known of it."""

    found: Found
    facts: Facts


@dataclass(slots=True)
class _Known:
    facts: Facts
    until: float
    identity: str


@dataclass(slots=True)
class _Flight:
    """A task under way, and how many wait for it."""

    result: asyncio.Future[Answer]
    waiters: int = 0


@dataclass(slots=True)
class Recent:
    """Pictures in memory up to a number of bytes, the least recently used going first."""

    limit: int = RECENT
    held: int = 0
    _pictures: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def get(self, key: str) -> bytes | None:
        """The picture of a key."""
        data = self._pictures.get(key)
        if data is not None:
            self._pictures.move_to_end(key)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps a picture."""
        if len(data) > self.limit // 16 or key in self._pictures:
            return
        self._pictures[key] = data
        self.held += len(data) + BESIDE
        while self.held > self.limit:
            _, old = self._pictures.popitem(last=False)
            self.held -= len(old) + BESIDE


@dataclass(slots=True)
class Hits:
    """Where pictures came from."""

    memory: int = 0
    disk: int = 0
    made: int = 0
    joined: int = 0


class Service:
    """Everything behind the URLs. Lives in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalogue: Catalogue = open_catalogue(
            settings.places, settings.network, listed=settings.limits.listed, columns=settings.columns
        )
        self.desk = Desk.of(self.catalogue)
        self.hits = Hits()
        self.traffic = Traffic()
        self.bounds = Bounds(settings.limits.pixels)
        scope = "public" if settings.auth == "none" else "private"
        self.freshness = f"{scope}, max-age={settings.max_age}"
        keeps = settings.cache is not None and settings.cache_limit > 0
        self._cache = FileCache(settings.cache, limit=settings.cache_limit) if keeps and settings.cache else None
        self.pool = Pool(
            WorkerConfig(
                memory=settings.limits.memory,
                read=settings.limits.read,
                quality=settings.quality,
                cache=settings.cache if keeps else None,
                cache_limit=settings.cache_limit,
                network=settings.network,
                threads=1,
            ),
            size=settings.workers,
            queue=settings.limits.queue,
            seconds=settings.limits.seconds,
        )
        self.builder = Pool(
            replace(self.pool.config, nice=BUILD_NICE), size=1, queue=BUILD_QUEUE, seconds=BUILD_SECONDS
        )
        self._building: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._recent = Recent()
        self._listing = asyncio.Lock()
        self._listing_takes = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self._tag = f"{KIND} {settings.quality}"

    async def look(self, segment: str) -> Looked:
        """What is known of the image that a segment of a URL names.

        Raises:
            ZigguratError: if there is none, or its header cannot be read.
        """
        return await self.facts(self.catalogue.decode(segment))

    async def facts(self, found: Found) -> Looked:
        """What is known of an image; opened by a worker if need be."""
        known = self._known.get(found.url)
        if known is not None:
            fresh = known.facts.version == found.version if found.version else time.monotonic() < known.until
            if fresh:
                self._known.move_to_end(found.url)
                return Looked(found, known.facts)
        told = await self._once(f"? {found.url} {found.version}", Describe(found.url, found.version))
        facts = Facts.load(told.data)
        where = identity(found.url, network=self.settings.network) or found.url
        self._known[found.url] = _Known(facts, time.monotonic() + REMOTE_SECONDS, where)
        self._known.move_to_end(found.url)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return Looked(found, facts)

    def known(self, identifier: str) -> Facts | None:
        """What was found out about an image before, without asking anybody."""
        try:
            found = self.catalogue.find(identifier)
        except SourceError:
            return None
        known = self._known.get(found.url)
        return None if known is None or found.version not in {None, known.facts.version} else known.facts

    async def details(self, looked: Looked) -> bytes:
        """Everything that an image's header says, as JSON.

        Raises:
            ZigguratError: if it cannot be read.
        """
        found, version = looked.found, looked.facts.version
        return (await self._once(f"! {found.url} {version}", Detail(found.url, version))).data

    async def values(self, looked: Looked, y: int, x: int) -> bytes:
        """The samples of one pixel of the upright image at full resolution, as JSON.

        Raises:
            ZigguratError: if they cannot be read.
        """
        found, version = looked.found, looked.facts.version
        return (await self._once(f"= {found.url} {version} {y} {x}", Probe(found.url, version, y, x))).data

    async def pixel(self, looked: Looked, ra: float, dec: float) -> bytes:
        """The pixel of the upright image at a place on the sky, as JSON.

        Raises:
            ZigguratError: if its coordinates make no sense.
        """
        found, version = looked.found, looked.facts.version
        return (await self._once(f"@ {found.url} {version} {ra} {dec}", Locate(found.url, version, ra, dec))).data

    async def contents(self, *, seconds: float = LISTED_SECONDS) -> Contents:
        """All images, grouped into items, listed at most so many seconds ago.

        Raises:
            SourceError: if a place cannot be listed.
        """
        recent = self.catalogue.recent(seconds)
        if recent is not None:
            return recent
        async with self._listing:
            began = time.monotonic()
            contents = await asyncio.to_thread(self.catalogue.contents, seconds)
            if contents.when >= began:
                self._listing_takes = time.monotonic() - began
            return contents

    async def seen(self) -> Contents:
        """All images as somebody who looks around should see them: without waiting for a long listing again.

        Raises:
            SourceError: if a place cannot be listed, the first time.
        """
        contents = self.catalogue.recent(math.inf)
        if contents is None or self._listing_takes < PATIENT_SECONDS:
            return await self.contents()
        if time.monotonic() - contents.when > LISTED_SECONDS + self._listing_takes and not self._listing.locked():
            self._renewing = asyncio.create_task(self._renew())
        return contents

    async def _renew(self) -> None:
        with suppress(SourceError):
            await self.contents()

    async def item(self, identifier: str) -> Item | None:
        """An item with its pages; None if there is none.

        Raises:
            SourceError: if a place cannot be listed.
        """
        return await asyncio.to_thread(self.catalogue.item, identifier)

    def forget(self, found: Found) -> None:
        """Looks at an image anew when it is asked for next."""
        self._known.pop(found.url, None)

    def key(self, looked: Looked, plan: Plan) -> str:
        """What a picture is kept under: the same for the same bytes."""
        return f"picture {self._tag}\0{self._where(looked)}\0{plan.key}"

    def _where(self, looked: Looked) -> str:
        """The file in the version that was looked at, the same for all who can read it."""
        known = self._known.get(looked.found.url)
        where = looked.found.url if known is None else known.identity
        size, tag = looked.facts.version
        return f"{where}\0{size}\0{tag}"

    def ready(self, key: str, plan: Plan) -> bytes | None:
        """The encoded picture where it need not be made."""
        data = self._recent.get(key)
        if data is not None:
            self.hits.memory += 1
            return data
        data = self._kept(key, plan)
        if data is not None:
            self.hits.disk += 1
            self._recent.put(key, data)
        return data

    async def make(self, looked: Looked, plan: Plan, key: str) -> Answer:
        """The encoded picture, made by a worker, or one to look at until its levels are made.

        Args:
            looked: the image.
            plan: what is made of it.
            key: what ``key`` says.

        Raises:
            ZigguratError: if it cannot be made.
        """
        answer = await self._made(looked, Draw(looked.found.url, looked.facts.version, plan, key))
        if answer.kind is Kind.SKETCHED:
            self._build(looked)
        else:
            self._recent.put(key, answer.data)
        return answer

    async def _made(self, looked: Looked, task: Draw | Slab) -> Answer:
        self.hits.made += task.key not in self._flights
        try:
            return await self._once(task.key, task)
        except SourceChanged:
            self.forget(looked.found)
            raise
        except NotReady:
            self._build(looked)
            raise

    def slab_key(self, looked: Looked, part: str) -> str:
        """What a chunk is kept under."""
        return f"slab {SLAB_KIND}\0{self._where(looked)}\0{part}"

    def ready_slab(self, key: str) -> bytes | None:
        """A packed chunk where it need not be made."""
        data = self._recent.get(key)
        if data is not None:
            self.hits.memory += 1
            return data
        kept = self._from_disk(key)
        if kept is None or not kept.endswith(END):
            return None
        self.hits.disk += 1
        data = kept.removesuffix(END)
        self._recent.put(key, data)
        return data

    async def make_slab(self, looked: Looked, task: Slab) -> bytes:
        """A packed chunk, made by a worker.

        Raises:
            ZigguratError: if it cannot be made.
        """
        data = (await self._made(looked, task)).data.removesuffix(END)
        self._recent.put(task.key, data)
        return data

    def _build(self, looked: Looked) -> None:
        """Sees to it that the levels of an image are made, one image after another, behind everything else."""
        url = looked.found.url
        if url in self._building or time.monotonic() < self._not_before.get(url, 0.0):
            return
        self.builder.start()
        try:
            building = self.builder.submit(Build(url, looked.facts.version))
        except Overloaded:
            return
        self._building.add(url)
        building.add_done_callback(lambda result: self._built(looked.found, result))

    def _built(self, found: Found, result: asyncio.Future[Answer]) -> None:
        self._building.discard(found.url)
        error = None if result.cancelled() else result.exception()
        if error is not None:
            self._not_before[found.url] = time.monotonic() + BUILD_PAUSE
            _log.warning("the levels of %s cannot be made: %s", found.id, error)

    def _kept(self, key: str, plan: Plan) -> bytes | None:
        """The picture from the disk, if it is there whole: nothing makes entries survive a power cut."""
        data = self._from_disk(key)
        return data if data and _is_whole(data, MEDIA_TYPES[plan.encoding]) else None

    def _from_disk(self, key: str) -> bytes | None:
        if self._cache is None:
            return None
        with suppress(OSError, WriteError, SourceError):
            path = self._cache.get(key)
            return None if path is None else path.read_bytes()
        return None

    async def _once(self, key: str, task: Task) -> Answer:
        """The answer to a task; those who ask for the same while it is made wait for the same answer."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self.pool.submit(task))
            flight.result.add_done_callback(lambda _: self._flights.pop(key, None))
        else:
            self.hits.joined += 1
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.result)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.result.done():
                # Nobody waits any more: it need not be begun.
                self._flights.pop(key, None)
                flight.result.cancel()


def _is_whole(data: bytes, media_type: str) -> bool:
    match media_type:
        case "image/jpeg":
            return data.endswith(b"\xff\xd9")
        case "image/png":
            return data.endswith(b"IEND\xaeB`\x82")
        case "image/webp":
            return data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 == len(data)
        case _:
            return data[4:8] == b"ftyp"


def etag(key: str | bytes) -> str:
    """The entity tag of what is kept under a key, known before the bytes are; or of bytes."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
    return f'"{blake2b(data, digest_size=12).hexdigest()}"'
