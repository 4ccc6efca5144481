"""From a string to a source: the one place that opens paths and URLs."""

from pathlib import Path

from ziggurat.storage.client import bind
from ziggurat.storage.local import LocalSource
from ziggurat.storage.memory import open_held
from ziggurat.storage.network import NetworkOptions, configure, configured
from ziggurat.storage.object_store import ObjectSource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.urls import Held, local_path, parse, path_url

__all__ = ["NetworkOptions", "configure", "local_path", "open_source", "path_url"]


def open_source(url: str, *, network: NetworkOptions | None = None) -> ByteSource:
    """Opens a place to read from.

    Args:
        url: a path, or a file:, s3:, gs:, az:, http:, https: or memory: URL.
        network: how stores are reached; None is what ``configure`` set in this process.

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
    options = configured() if network is None else network
    return ObjectSource(bind(place, options), options)
