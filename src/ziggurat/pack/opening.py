"""Packed images as sources: ``pack:PLACE!KEY``, each pack opened once in a process."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from ziggurat.errors import UsageError
from ziggurat.pack.pack import Pack, PackedSource, version_of
from ziggurat.storage.local import reading
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.pack_url import PackPlace
from ziggurat.storage.urls import Packed, local_path

OPEN: Final = 16
"""Packs that stay open, the most recently used ones."""

_open: OrderedDict[tuple[PackPlace, NetworkOptions | None, object], Pack] = OrderedDict()
_lock = threading.Lock()


def open_packed(image: Packed, network: NetworkOptions | None = None) -> PackedSource:
    """Opens an image of a pack.

    Args:
        image: which one.
        network: how stores are reached.

    Raises:
        SourceError: if the pack cannot be read, or has no image of this key.
        UsageError: if it names no image.
    """
    if not image.key:
        raise UsageError(f"{image.pack.url} names no image; write {image.pack.url}!KEY")
    return _pack(image.pack, network).source(image.key)


def list_packed(place: Packed, network: NetworkOptions | None = None) -> Iterator[tuple[str, str, int, str]]:
    """Images of a pack: URL, key, bytes and version tag.

    Args:
        place: one image, or all.
        network: how stores are reached.

    Raises:
        SourceError: if it cannot be read.
    """
    pack = _pack(place.pack, network)
    for entry in [pack.entry(place.key)] if place.key else pack.entries():
        yield place.pack.key_url(entry.key), entry.key, entry.length, version_of(entry).tag


def _pack(place: PackPlace, network: NetworkOptions | None) -> Pack:
    path = local_path(place.place)
    # Another file under the same name is another pack.
    state = None
    if path is not None:
        with reading(place.place):
            status = path.stat()
        state = (status.st_dev, status.st_ino)
    name = (place, network, state)
    with _lock:
        pack = _open.get(name)
    if pack is None:
        # Others need not wait for a store that answers slowly.
        opened = Pack(place.place, table=place.table, network=network)
        with _lock:
            pack = _open.setdefault(name, opened)
        if pack is not opened:
            opened.close()
    with _lock:
        if name in _open:
            _open.move_to_end(name)
        if len(_open) > OPEN:
            # Sources of it may still be in use: it is closed with the last of them.
            _open.popitem(last=False)
    return pack


_inherited: list[Pack] = []


def _after_fork() -> None:
    """Leaves what was open to the process that opened it: neither used nor closed."""
    global _lock  # noqa: PLW0603 - a thread that is not here any more may have held it
    _lock = threading.Lock()
    _inherited.extend(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
