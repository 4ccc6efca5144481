"""A worker process of the server: opens images, keeps the last ones open, and sends back facts and encoded pictures.

It lives as long as its socket. Whatever a file does to it costs the request in hand.
"""

import json
import logging
import os
import pickle
import signal
import socket
import sys
from collections import OrderedDict, deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from select import select
from typing import BinaryIO, Final

import ziggurat
from ziggurat.codec.threads import limit_threads
from ziggurat.convert import process
from ziggurat.errors import NotReady, OutOfMemory, SourceChanged, WriteError, ZigguratError
from ziggurat.serve.details import details, locate, probe
from ziggurat.serve.facts import Facts
from ziggurat.serve.render import Opened, must_wait, render, stored
from ziggurat.serve.slab import must_wait_for, slab
from ziggurat.serve.wire import HEAD, LAST, Build, Describe, Detail, Draw, Kind, Locate, Probe, Slab, Task, WorkerConfig
from ziggurat.storage.allowance import allow
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.network import configure
from ziggurat.storage.resolve import open_source
from ziggurat.storage.urls import local_path

OPEN: Final = 32
"""Images that are kept open, each with its header and index."""

UNWRITTEN: Final = 32
"""Pictures that may wait for being put into the cache while requests come without a pause."""

LOOK_EVERY: Final = 64
"""Answers after which a worker looks at its size."""

WORN: Final = 0.6
"""Share of the memory limit above which an idle worker is too large."""

HELD: Final = 0.4
"""Share of the memory limit that decoded pixels of open images may take."""


class Shelf:
    """The images that are open, the most recently used last."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._open: OrderedDict[str, Opened] = OrderedDict()

    def get(self, url: str, version: tuple[int, str] | None) -> Opened:
        """The image of a URL, of a version where one is named.

        Raises:
            SourceChanged: if another one lies there.
        """
        opened = self._open.get(url)
        if opened is not None and (_version(opened) == version if version else _is_current(opened, url)):
            self._open.move_to_end(url)
            return opened
        self.drop(url)
        image = ziggurat.open(url, memory=self._config.memory)
        opened = Opened.of(image)
        if version is not None and _version(opened) != version:
            image.close()
            raise SourceChanged(f"{url} was changed a moment ago; ask again")
        self._open[url] = opened
        self.trim()
        return opened

    def drop(self, url: str) -> None:
        """Closes an image."""
        opened = self._open.pop(url, None)
        if opened is not None:
            opened.image.close()

    def has_holes(self, url: str) -> bool:
        """Whether something of an image could not be read: what is made of it is not kept, for it may be read again."""
        opened = self._open.get(url)
        return opened is not None and opened.image.has_holes

    def clear(self) -> None:
        """Closes all images."""
        for url in list(self._open):
            self.drop(url)

    def trim(self) -> None:
        """Closes the least recently used until the rest is within its limits; the last one stays."""
        room = self._config.memory * HELD
        while len(self._open) > 1 and (len(self._open) > OPEN or sum(one.held for one in self._open.values()) > room):
            self.drop(next(iter(self._open)))


def _version(opened: Opened) -> tuple[int, str]:
    version = opened.image.source.version
    return version.size, version.tag


def _is_current(opened: Opened, url: str) -> bool:
    """Whether what lies at the URL is still what was opened: one request, where opening anew takes several.

    Raises:
        SourceError: if nothing lies there any more, or the store does not answer.
    """
    source = open_source(url)
    try:
        return source.version == opened.image.source.version
    finally:
        source.close()


def answer(task: Task, shelf: Shelf, quality: int) -> tuple[Kind, bytes]:
    """What a task asks for.

    Raises:
        ZigguratError: as opening and reading an image do.
    """
    try:
        if isinstance(task, Draw):
            return _drawn(task, shelf, quality)
        return Kind.DONE, _done(task, shelf)
    except NotReady:
        raise
    except ZigguratError:
        # What went wrong once, a file changed under it for one, must not stay open.
        shelf.drop(task.url)
        raise


def _done(task: Describe | Detail | Probe | Locate | Slab | Build, shelf: Shelf) -> bytes:
    opened = shelf.get(task.url, task.version)
    match task:
        case Describe():
            return Facts.of(opened.image).dump()
        case Detail():
            return json.dumps(details(opened), default=dict).encode()
        case Probe():
            return json.dumps(probe(opened, task.y, task.x)).encode()
        case Locate():
            return json.dumps(locate(opened, task.ra, task.dec)).encode()
        case Slab():
            if must_wait_for(opened, task):
                opened = _renewed(shelf, task)
                if opened.image.overview is None:
                    raise NotReady(f"{task.url}: its level {task.level} is being made; try again in a while")
            return slab(opened, task)
        case Build():
            opened.image.build_levels()
            return b""


def _drawn(task: Draw, shelf: Shelf, quality: int) -> tuple[Kind, bytes]:
    opened = shelf.get(task.url, task.version)
    if must_wait(opened, task.plan):
        if not opened.image.sketches:
            opened = _renewed(shelf, task)
        if opened.image.overview is None:
            return Kind.SKETCHED, render(opened, task.plan, quality, sketched=True)
    if (data := stored(opened, task.plan)) is not None:
        return Kind.DONE if local_path(task.url) is None else Kind.STORED, data
    return Kind.DONE, render(opened, task.plan, quality)


def _renewed(shelf: Shelf, task: Task) -> Opened:
    """The image opened anew: its levels may have been made since."""
    shelf.drop(task.url)
    return shelf.get(task.url, task.version)


def work(stream: BinaryIO, connection: socket.socket) -> None:
    """Answers requests until there are no more."""
    config: WorkerConfig = _receive(stream)  # type: ignore[assignment]  # the first frame is the configuration
    configure(config.network)
    limit_threads(config.threads)
    os.nice(config.nice)
    cache = None if config.cache is None else FileCache(config.cache, limit=config.cache_limit)
    process.cap_memory(config.memory)
    shelf, kept, answered = Shelf(config), deque[tuple[str, bytes]](), 0
    while (task := _next(stream, connection, kept, cache)) is not None:
        if not isinstance(task, Describe | Detail | Probe | Locate | Draw | Slab | Build):
            return
        allow(None if isinstance(task, Build) else config.read)
        kind, payload = _attempt(task, shelf, config)
        answered += 1
        last = answered % LOOK_EVERY == 0 and _is_worn(shelf, config)
        connection.sendall(HEAD.pack(kind | LAST if last else kind, len(payload)) + payload)
        if kind is Kind.DONE and isinstance(task, Draw | Slab) and cache is not None and not shelf.has_holes(task.url):
            kept.append((task.key, payload))
        shelf.trim()


def _is_worn(shelf: Shelf, config: WorkerConfig) -> bool:
    """Whether this process has grown beyond what its open images explain, as leaks in decoders make it."""
    if _resident() <= config.memory * WORN:
        return False
    shelf.clear()
    process.trim()
    return _resident() > config.memory * WORN


def _resident() -> int:
    return process.resident_memory(os.getpid()) or 0


def _next(
    stream: BinaryIO, connection: socket.socket, kept: deque[tuple[str, bytes]], cache: FileCache | None
) -> Task | WorkerConfig | None:
    """The next request; pictures are put into the cache while there is none, so that nobody waits for that."""
    while kept and cache is not None and (len(kept) > UNWRITTEN or not select([connection], [], [], 0)[0]):
        key, data = kept.popleft()
        with suppress(WriteError):
            cache.put(key, partial(_write, data))
    return _receive(stream)


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _attempt(task: Task, shelf: Shelf, config: WorkerConfig) -> tuple[Kind, bytes]:
    try:
        return answer(task, shelf, config.quality)
    except ZigguratError as error:
        return Kind.FAILED, _told(type(error).__name__, str(error))
    except MemoryError:
        shelf.drop(task.url)
        text = f"{task.url} takes more than {config.memory >> 20} MiB; ask for a smaller region, or raise --memory"
        return Kind.FAILED, _told(OutOfMemory.__name__, text)
    except Exception as error:  # noqa: BLE001 - a bug costs one request, not the worker
        shelf.drop(task.url)
        return Kind.FAILED, _told("", f"{type(error).__name__}: {error}")


def _told(name: str, message: str) -> bytes:
    return json.dumps([name, message]).encode()


def _receive(stream: BinaryIO) -> Task | WorkerConfig | None:
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length = HEAD.unpack(head)[1]
    data = stream.read(length)
    if len(data) < length:
        return None
    task: Task | WorkerConfig = pickle.loads(data)  # noqa: S301 - from our own parent, over a socket nobody else has
    return task


def main() -> None:
    """The entry point of the process; its argument is the number of the socket that it inherits."""
    process.die_with_parent()
    # As the front's: what is left out of a mosaic is said where the server's operator looks.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # The front decides what Ctrl-C and SIGTERM mean, which reach the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    with suppress(BrokenPipeError, ConnectionResetError), connection.makefile("rb") as stream:
        work(stream, connection)
    os._exit(0)


if __name__ == "__main__":
    main()
