"""Filling a pack: many processes read and find out, one writes; what is there already is not read again."""

import multiprocessing
import os
import signal
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Final

from ziggurat.convert.process import die_with_parent
from ziggurat.errors import SourceError, TargetExists, TargetRefused, ZigguratError
from ziggurat.limited import limited
from ziggurat.pack.gather import Found
from ziggurat.pack.prepare import Prepared, Preparer
from ziggurat.pack.writer import Packable, PackWriter
from ziggurat.storage.names import check_key
from ziggurat.storage.network import NetworkOptions, configure, configured
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.resolve import local_path, open_source

FEW: Final = 128
"""Images for which starting processes takes longer than they save."""

AT_A_TIME: Final = 512
BYTES_AT_A_TIME: Final = 1 << 23
"""Images that a process is given together: so many, of so many bytes together where that is known."""

AHEAD: Final = 8
"""Times so many for each process that are under way, or wait to be written: reading goes on while a disk commits."""

AHEAD_UNKNOWN: Final = 2
"""The same where it is not known how large they are."""

REMOTE_AT_ONCE: Final = 16
"""Images of a store that one process fetches side by side."""

SMALL: Final = 1 << 20
"""Bytes of a file that is read in one go."""


type Answers = list[tuple[Any, ...] | str]
"""What a process finds out about images, as it hands it over."""


@dataclass(slots=True)
class Outcome:
    """What came of a packing.

    Attributes:
        packed: images that were added.
        bytes: of them.
        there: images that were in the pack already.
        left: what was left out: where it lies, and why.
        trusted: keys of images that were not read again because the pack had one of the same length.
    """

    packed: int = 0
    bytes: int = 0
    there: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)
    trusted: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Choices:
    """How images are packed.

    Attributes:
        replace: another image of the same key makes room.
        unreadable: files whose header cannot be read are packed, too.
        by_resolution: of JPEG 2000 images, what a small picture needs is put together with that of all others.
        processes: that read and find out; 0 does it in this one.
    """

    replace: bool = False
    unreadable: bool = False
    by_resolution: bool = False
    processes: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))


def pack_images(
    writer: PackWriter,
    images: Iterable[Found],
    choices: Choices,
    *,
    resuming: bool = False,
    progress: Callable[[Outcome], None] = lambda _: None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Puts images into a pack.

    Args:
        writer: of the pack.
        images: where they are.
        choices: how they are packed.
        resuming: images whose keys and lengths are those of the pack are there already, and not read again.
        progress: called now and then.
        outcome: of images packed before, to be gone on with.

    Raises:
        WriteError: if the pack cannot be written; what was committed before is safe.
    """
    outcome = Outcome() if outcome is None else outcome
    name = writer.path.name

    def wanted() -> Iterator[Found]:
        for found in images:
            if found.problem is not None:
                outcome.left.append((found.url, found.problem))
            elif name in found.url and _is(found.url, writer.path):
                # Reading it here would drop the locks that SQLite has on it.
                outcome.left.append((found.url, "it is the pack itself"))
            # Of two sources with the same key only one can be what is there.
            elif resuming and found.key not in outcome.trusted and _is_there(writer, found):
                outcome.trusted.add(found.key)
                outcome.there += 1
            else:
                yield found

    for batch in _prepared(wanted(), choices):
        ready = []
        for found, result in batch:
            problem = result if isinstance(result, str) else _problem(found, result, choices)
            if isinstance(result, str) or problem is not None:
                outcome.left.append((found.url, problem or ""))
            else:
                ready.append((found, result))
        small = [_packable(found, result, result.rest) for found, result in ready if result.rest is not None]
        if len(small) == len(ready) and writer.put_new(small):
            outcome.packed += len(small)
            outcome.bytes += sum(image.length for image in small)
        else:
            _put_each(writer, ready, choices, outcome, progress)
        progress(outcome)
    writer.commit()
    return outcome


def _is(url: str, path: Path) -> bool:
    """Whether a URL names this file."""
    named = local_path(url)
    return named is not None and os.path.realpath(named) == os.path.realpath(path)


def _is_there(writer: PackWriter, found: Found) -> bool:
    try:
        check_key(found.key)
    except TargetRefused:
        return False
    there = None if found.size is None else writer.find(found.key)
    return there is not None and there[0] == found.size


def _problem(found: Found, result: Prepared, choices: Choices) -> str | None:
    """Why an image is not to be packed."""
    if found.sha256 and found.sha256 != result.sha256.hex():
        return f"its SHA-256 is {result.sha256.hex()}, {found.sha256} is what it should be; look for the right file"
    return None if choices.unreadable else result.problem


def _packable(found: Found, result: Prepared, rest: bytes | ByteSource) -> Packable:
    kind, length, sha256, _, _, spans = result
    return Packable(found.key, kind, rest, length, sha256, found.attributes, spans)


def _put_each(
    writer: PackWriter,
    ready: Iterable[tuple[Found, Prepared]],
    choices: Choices,
    outcome: Outcome,
    progress: Callable[[Outcome], None],
) -> None:
    """Adds images one by one, and says of each what came of it."""
    for found, result in ready:
        try:
            added = _put(writer, found, result, replace=choices.replace)
        except (TargetExists, TargetRefused, SourceError) as error:
            outcome.left.append((found.url, str(error)))
            continue
        outcome.packed += added
        outcome.there += not added
        outcome.bytes += result.length if added else 0
        progress(outcome)


def _put(writer: PackWriter, found: Found, result: Prepared, *, replace: bool) -> bool:
    if result.rest is not None:
        return writer.put(_packable(found, result, result.rest), replace=replace)
    with closing(open_source(found.url)) as source:
        return writer.put(_packable(found, result, source), replace=replace)


def _weight(found: Found) -> int:
    """Bytes of an image, or what it is held for where that is not known."""
    if found.data is not None:
        return len(found.data)
    return BYTES_AT_A_TIME // FEW if found.size is None else found.size


def _prepared(images: Iterator[Found], choices: Choices) -> Iterator[list[tuple[Found, Prepared | str]]]:
    """What was found out about images, in their order; of those that cannot be had, why."""
    first = list(islice(images, FEW))
    batches = limited(chain(first, images), _weight, BYTES_AT_A_TIME, AT_A_TIME)
    if not choices.processes or len(first) < FEW or first[0].data is not None:
        preparer = Preparer(by_resolution=choices.by_resolution)
        for batch in batches:
            if first[0].data is None:
                here = _found_out(preparer, _urls(batch))
            else:
                here = [_answer(preparer, found.url, found.data) for found in batch]
            yield list(zip(batch, here, strict=True))
        return
    executor = _executor(choices)
    ahead = choices.processes * (AHEAD_UNKNOWN if first[0].size is None else AHEAD)
    waiting: deque[tuple[list[Found], Future[Answers]]] = deque()
    try:
        for batch in chain(batches, repeat([])):
            if batch:
                waiting.append((batch, executor.submit(_answers, _urls(batch))))
                if len(waiting) <= ahead:
                    continue
            if not waiting:
                return
            asked, future = waiting.popleft()
            try:
                answers = future.result()
            except BrokenProcessPool:
                # An image took its process down, and all others with it: this batch is tried one by one.
                answers = [_alone(found, choices) for found in asked]
                executor = _executor(choices)
                waiting = deque((again, executor.submit(_answers, _urls(again))) for again, _ in waiting)
            yield [
                (found, answer if isinstance(answer, str) else Prepared._make(answer))
                for found, answer in zip(asked, answers, strict=True)
            ]
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _executor(choices: Choices, *, processes: int | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes or choices.processes,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(choices.by_resolution, configured()),
    )


def _alone(found: Found, choices: Choices) -> tuple[Any, ...] | str:
    with _executor(choices, processes=1) as executor:
        try:
            return executor.submit(_answers, [found.url]).result()[0]
        except BrokenProcessPool:
            return "WorkerCrashed: its header takes the process down that reads it"


_preparer: Preparer | None = None


def _start(by_resolution: bool, network: NetworkOptions) -> None:  # noqa: FBT001 - a process pool passes places
    global _preparer  # noqa: PLW0603 - what it learns holds for the process
    die_with_parent()
    # Ctrl-C is for the process that writes: it asks for no more, and these finish what they have.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(network)
    _preparer = Preparer(by_resolution=by_resolution)


def _urls(batch: Sequence[Found]) -> list[str]:
    return [found.url for found in batch]


def _answers(urls: Sequence[str]) -> Answers:
    # As plain tuples they are handed over in a third of the time.
    found = _found_out(_preparer or Preparer(), urls)
    return [answer if isinstance(answer, str) else tuple(answer) for answer in found]


def _found_out(preparer: Preparer, urls: Sequence[str]) -> list[Prepared | str]:
    if local_path(urls[0]) is not None:
        return list(map(partial(_answer, preparer), urls, _small_files(urls)))
    with ThreadPoolExecutor(REMOTE_AT_ONCE) as threads:
        return list(threads.map(partial(_answer, preparer), urls))


def _answer(preparer: Preparer, url: str, data: bytes | None = None) -> Prepared | str:
    try:
        if data is not None:
            return preparer.of_bytes(data, url)
        with closing(open_source(url)) as source:
            return preparer.prepare(source)
    except ZigguratError as error:
        return f"{type(error).__name__}: {error}"


def _small_files(urls: Sequence[str]) -> Iterator[bytes | None]:
    """All of each file of this machine, in as few steps as can be; None where that is not so simple.

    A disk is asked for all of them before one is waited for.
    """
    buffer = bytearray(SMALL + 1)
    for found in [_begun(url, buffer) for url in urls]:
        yield _read(found) if isinstance(found, int) else found


def _begun(url: str, buffer: bytearray) -> bytes | int | None:
    """All of a file that is in memory; of others the descriptor."""
    if ":" in url:
        return None
    try:
        file = os.open(url, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    status = os.fstat(file)
    size = status.st_size
    if stat.S_ISREG(status.st_mode) and size <= SMALL:
        try:
            if os.preadv(file, [buffer], 0, os.RWF_NOWAIT) == size:
                os.close(file)
                return bytes(memoryview(buffer)[:size])
        except OSError:  # it is not in memory, or this is no place where one can ask
            pass
        os.posix_fadvise(file, 0, size, os.POSIX_FADV_WILLNEED)
        return file
    os.close(file)
    return None


def _read(file: int) -> bytes | None:
    try:
        size = os.fstat(file).st_size
        data = os.read(file, size + 1)
        return data if len(data) == size else None
    except OSError:
        return None
    finally:
        os.close(file)
