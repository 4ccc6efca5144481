"""From a string to a source: the one place that opens paths and URLs."""

import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ziggurat.storage.cached import CachedSource
from ziggurat.storage.client import bind, endpoint_of
from ziggurat.storage.file_cache import FileCache
from ziggurat.storage.local import LocalSource
from ziggurat.storage.memory import open_held
from ziggurat.storage.network import NetworkOptions, configure, configured
from ziggurat.storage.object_store import ObjectSource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.urls import Held, Mosaic, Packed, local_path, parse, path_url

__all__ = ["NetworkOptions", "configure", "identity", "local_path", "open_source", "path_url"]


def open_source(url: str, *, network: NetworkOptions | None = None, cache: FileCache | None = None) -> ByteSource:
    """Opens a place to read from.

    Args:
        url: a path, or a file:, s3:, gs:, az:, http:, https:, pack:, sky: or memory: URL.
        network: how stores are reached; None is what ``configure`` set in this process.
        cache: where blocks of remote bytes are kept for the next time; None keeps nothing.

    Raises:
        UsageError: if the string names no kind of place that is known.
        SourceNotFound: if there is nothing.
        SourceRefused: if it may not be read.
        StoreUnavailable: if the store does not answer.
    """
    place = parse(url)
    if isinstance(place, Path):
        return LocalSource(place)
    if isinstance(place, Held):
        return open_held(place.name)
    if isinstance(place, Packed):
        source: ByteSource = packs("ziggurat.pack.opening", "open_packed")(place, network)
        return source
    if isinstance(place, Mosaic):
        mosaic: ByteSource = packs("ziggurat.sky.opening", "open_mosaic")(place)
        return mosaic
    options = configured() if network is None else network
    source = ObjectSource(bind(place, options), options)
    return source if cache is None else CachedSource(source, cache, identity=identity(url, network=options) or url)


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
        return os.path.realpath(place)
    if isinstance(place, Held):
        return None
    if isinstance(place, Packed):
        within = identity(place.pack.place, network=network)
        return None if within is None else replace(place.pack, place=within).key_url(place.key)
    if isinstance(place, Mosaic):
        return replace(place, index=os.path.realpath(place.index)).url
    server = None if place.is_web else endpoint_of(place.scheme, configured() if network is None else network)
    return f"{server or ''} {place.url}?{place.query}"
