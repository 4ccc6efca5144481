"""From a string to a source: the one place that opens paths and URLs."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import obstore

from ziggurat.errors import SourceRefused, UsageError
from ziggurat.storage.cached import CachedSource
from ziggurat.storage.client import asking, bind, endpoint_of
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.folder import DOCUMENTS, FolderSource, folders_in, local_folder, remote_folder
from ziggurat.storage.local import LocalSource, reading
from ziggurat.storage.memory import open_held
from ziggurat.storage.network import NetworkOptions, configure, configured
from ziggurat.storage.object_store import PREFIX, ObjectSource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.urls import Held, Mosaic, Packed, Remote, Repository, local_path, parse, path_url

WHOLE: Final = 1 << 21
"""Bytes of the first request for a file of a folder that is wanted whole: 2 MiB. Most chunks need no more."""

__all__ = ["NetworkOptions", "configure", "identity", "local_path", "open_source", "path_url"]


def open_source(url: str, *, network: NetworkOptions | None = None, cache: FileCache | None = None) -> ByteSource:
    """Opens a place to read from: a file, or a Zarr, which is a folder of them.

    Args:
        url: a path, or a file:, s3:, gs:, az:, http:, https:, pack:, sky: or memory: URL.
        network: how stores are reached; None is what ``configure`` set in this process.
        cache: where blocks of remote bytes are kept for the next time; None keeps nothing. Of a Zarr nothing is:
            each of its chunks is asked for anyway, to know whether it has changed.

    Raises:
        UsageError: if the string names no kind of place that is known.
        SourceNotFound: if there is nothing.
        SourceRefused: if it may not be read.
        StoreUnavailable: if the store does not answer.
    """
    place = parse(url)
    if isinstance(place, Path):
        return _local(place)
    if isinstance(place, Held):
        return open_held(place.name)
    if isinstance(place, Packed):
        source: ByteSource = packs("ziggurat.pack.opening", "open_packed")(place, network)
        return source
    if isinstance(place, Mosaic):
        mosaic: ByteSource = packs("ziggurat.sky.opening", "open_mosaic")(place)
        return mosaic
    if isinstance(place, Repository):
        raise UsageError(f"{url[:200]} lies in a repository, which icechunk and zarr read; docs/convert.md says how")
    options = configured() if network is None else network
    folder = remote_folder(place)
    if folder is not None:
        return FolderSource(folder, partial(_one, network=options), partial(_names, network=options))
    source = ObjectSource(bind(place, options), options)
    return source if cache is None else CachedSource(source, cache, identity=identity(url, network=options) or url)


def _local(path: Path) -> ByteSource:
    if path.name not in DOCUMENTS:
        try:
            return LocalSource(path)
        except SourceRefused:
            # Only what is no file costs a second look.
            if not os.path.isdir(path):  # noqa: PTH112 - which never raises
                raise
    folder = local_folder(path)
    if folder is None:
        raise SourceRefused(f"{path_url(path)} is a folder, and no Zarr; give the path of an image in it")
    return FolderSource(folder, _one, _names)


def _one(place: Path | Remote, whole: bool, network: NetworkOptions | None = None) -> ByteSource:  # noqa: FBT001 - as OpenOne says
    """A single file of a folder."""
    if isinstance(place, Path):
        return LocalSource(place)
    options = configured() if network is None else network
    return ObjectSource(bind(place, options), options, first=WHOLE if whole else PREFIX)


def _names(place: Path | Remote, network: NetworkOptions | None = None) -> Sequence[str] | None:
    """The folders in a folder; None of web servers, which cannot be asked."""
    if isinstance(place, Path):
        with reading(path_url(place)):
            return sorted(folders_in(place))
    if place.is_web:
        return None
    bound = bind(place, configured() if network is None else network)
    with asking(place.url):
        found = obstore.list_with_delimiter(bound.store, bound.key or None)
    return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])


def packs(module: str, name: str) -> Any:  # noqa: ANN401 - typed where it is defined
    """Something of packs or of mosaics, which are made of places and so lie above them."""
    return getattr(importlib.import_module(module), name)


def identity(url: str, *, network: NetworkOptions | None = None) -> str | None:
    """What tells a place from all others that this machine knows: a cache's name for it. Nothing is asked.

    Args:
        url: as ``open_source`` takes it.
        network: how stores are reached; None is what ``configure`` set in this process.

    Returns:
        Of a path, where its links lead; of an object also its server and query, so that it may hold a signature
        and must not be shown; None for ``memory:``, which no other process knows.
    """
    place = parse(url)
    if isinstance(place, Path):
        with reading(path_url(place)):
            return os.path.realpath(place)
    if isinstance(place, Held | Repository):
        return None
    if isinstance(place, Packed):
        within = identity(place.pack.place, network=network)
        return None if within is None else replace(place.pack, place=within).key_url(place.key)
    if isinstance(place, Mosaic):
        return replace(place, index=os.path.realpath(place.index)).url
    server = None if place.is_web else endpoint_of(place.scheme, configured() if network is None else network)
    return f"{server or ''} {place.url}?{place.query}"
