"""The bytes of many images of a pack, one after another, each compared with its digest."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

from ziggurat.errors import SourceError, SourceNotFound, SourceRefused
from ziggurat.limited import limited
from ziggurat.pack.entry import Entry
from ziggurat.pack.pack import Pack
from ziggurat.pack.prepare import LARGE
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.stored import source_digest

AT_A_TIME: Final = 64
"""Images that are fetched together, where they are small."""

type Content = bytes | ByteSource | SourceError
"""Of an image: its bytes, where they are from if they are many, or why they cannot be had."""


def contents(pack: Pack, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content]]:
    """The bytes of images, in the order given; damage of one does not keep the others from being read.

    Bytes are those that the pack's digest is of; a source of a large image is not read here.
    """
    for group in limited(entries, lambda entry: entry.length, LARGE, AT_A_TIME):
        for entry, found in zip(group, _fetched(pack, group), strict=True):
            yield entry, _compared(pack, entry, found) if isinstance(found, bytes) else found


def damage(pack: Pack, entry: Entry, content: Content) -> SourceError | None:
    """What is wrong with an image of a pack; reads all of it."""
    if isinstance(content, bytes):
        return None
    if isinstance(content, SourceError):
        return content
    try:
        digest, _ = source_digest(content)
    except SourceError as error:
        return error
    return None if bytes.fromhex(digest) == entry.sha256 else _changed(pack, entry, digest)


def _fetched(pack: Pack, group: list[Entry]) -> list[Content]:
    if group[0].length <= LARGE and len(group) > 1:
        try:
            return list(pack.batch([entry.key for entry in group]))
        except (SourceError, KeyError):
            pass
    return [_single(pack, entry) for entry in group]


def _single(pack: Pack, entry: Entry) -> Content:
    try:
        return pack[entry.key] if entry.length <= LARGE else pack.source(entry.key)
    except SourceError as error:
        return error
    except KeyError:
        return SourceNotFound(f"{pack.place.place}: {entry.key} is gone")


def _compared(pack: Pack, entry: Entry, data: bytes) -> bytes | SourceError:
    digest = sha256(data)
    # Databases that are no packs say no digests.
    return data if digest.digest() == entry.sha256 or not entry.sha256 else _changed(pack, entry, digest.hexdigest())


def _changed(pack: Pack, entry: Entry, digest: str) -> SourceRefused:
    return SourceRefused(
        f"{pack.place.place} is damaged: the SHA-256 of {entry.key} is {digest}, not {entry.sha256.hex()}; "
        "take the image from a copy"
    )
