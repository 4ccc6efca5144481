"""Several packs of one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ziggurat.errors import SourceError, TargetExists
from ziggurat.pack.coarse import WAVELET, coarse_spans
from ziggurat.pack.contents import Content, contents
from ziggurat.pack.entry import Entry
from ziggurat.pack.gather import held_columns
from ziggurat.pack.making import BY_RESOLUTION, FINISHED, STATE, UNFINISHED
from ziggurat.pack.pack import Pack
from ziggurat.pack.packed import Spans
from ziggurat.pack.packing import Outcome
from ziggurat.pack.schema import PAGE, indexed
from ziggurat.pack.writer import LIMIT, Packable, PackWriter
from ziggurat.storage.protocol import ByteSource

SLACK: Final = 4 * PAGE
"""Bytes that an image takes beyond its own, at most: pages that it begins."""

FULL: Final = "full"
"""Of a part: no more images go into it."""


def split_pack(
    pack: Pack, names: Iterator[Path], most: int, *, progress: Callable[[Outcome], None] = lambda _: None
) -> tuple[Outcome, list[Path]]:
    """Writes the images of a pack into several, in their order. What an earlier, interrupted call wrote stays.

    Args:
        pack: the pack.
        names: of the parts.
        most: bytes that a part may have; one with a single image may be larger.
        progress: called now and then.

    Raises:
        TargetExists: if there is a part that is finished.
        WriteError: if a part cannot be written.
    """
    outcome, parts = Outcome(), _Parts(pack, names, most)
    try:
        for entry, content in contents(pack, pack.stored()):
            try:
                added = parts.put(entry, content)
            except SourceError as error:
                outcome.left.append((entry.key, str(error)))
                continue
            outcome.packed += added
            outcome.there += not added
            outcome.bytes += entry.length if added else 0
            progress(outcome)
        parts.close(full=True)
    except BaseException:
        parts.close(full=False)
        raise
    for path in parts.paths:
        with PackWriter(path) as writer:
            writer.say(STATE, FINISHED)
    return outcome, parts.paths


class _Parts:
    """The packs that are written, one after another."""

    def __init__(self, pack: Pack, names: Iterator[Path], most: int) -> None:
        self.paths: list[Path] = []
        self._pack, self._names, self._most = pack, names, most
        self._columns = held_columns(pack)
        with pack.snapshot() as db:
            self._indexes = indexed(db)
        self._writer: PackWriter | None = None

    def put(self, entry: Entry, content: Content) -> bool:
        """Puts an image into the part that has room for it; false if an earlier call did."""
        if isinstance(content, SourceError):
            raise content
        writer = self._writer
        while writer is None or not self._takes(writer, entry):
            self.close(full=True)
            writer = self._writer = self._next()
        return writer.put(self._packable(entry, content))

    def _takes(self, writer: PackWriter, entry: Entry) -> bool:
        if writer.find(entry.key) is not None:
            return True
        if writer.fact(STATE) == FULL:
            return False
        return writer.size() + entry.length + SLACK <= self._most or writer.is_empty()

    def _next(self) -> PackWriter:
        path = next(self._names)
        limit = self._pack.facts.get(LIMIT, "")
        writer = PackWriter(path, columns=self._columns, beside_over=int(limit) if limit.isdecimal() else None)
        state = writer.fact(STATE)
        if state not in {UNFINISHED, FULL} and not writer.made:
            writer.close()
            raise TargetExists(f"{path} is there already; move it away, or take another name")
        if state is None:
            writer.say(STATE, UNFINISHED)
            writer.index_columns(self._indexes)
        self.paths.append(path)
        return writer

    def _packable(self, entry: Entry, content: bytes | ByteSource) -> Packable:
        kind = entry.kind
        rest: bytes | ByteSource = content
        spans: Spans = ()
        if isinstance(content, bytes):
            rest = content[len(kind.head) :]
            if BY_RESOLUTION in self._pack.facts and kind.format in WAVELET:
                spans = coarse_spans(content)
        return Packable(entry.key, kind, rest, entry.length, entry.sha256, entry.attributes, spans)

    def close(self, *, full: bool) -> None:
        """Lets go of the part in hand; one that is full is put in order."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with writer:
            if full and writer.fact(STATE) != FULL:
                writer.compact()
                writer.say(STATE, FULL)
