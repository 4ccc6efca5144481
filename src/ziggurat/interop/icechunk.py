"""References as virtual chunks of an Icechunk repository: one commit, all of it or nothing.

https://icechunk.io/en/latest/virtual/. Whoever opens the repository says which places it may read chunks from:
``authorize_virtual_chunk_access``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ziggurat.errors import TargetExists, UnsupportedFeature
from ziggurat.interop.references import References
from ziggurat.interop.repository import BRANCH, alone, asking, icechunk, storage_at
from ziggurat.storage.client import endpoint_of
from ziggurat.storage.network import configured
from ziggurat.storage.urls import Remote, parse


def write_icechunk(found: References, place: str) -> str:
    """Writes the group into a repository, which is made where there is none; one that is there gets a new snapshot.

    Args:
        found: what is written.
        place: a path, or an s3: URL.

    Returns:
        The snapshot.

    Raises:
        TargetExists: if the repository holds something else.
        UsageError: if nothing can be written there.
        WriteError: if that fails.
    """
    named = {url: _url(url) for url in found.urls}
    config = icechunk.RepositoryConfig.default()
    access: dict[str, Any] = {}
    for prefix in sorted({url.rpartition("/")[0] + "/" for url in named.values()}):
        store, access[prefix] = _container(prefix)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    documents: dict[str, Any] = {"zarr.json": {**found.document}}
    # A repository keeps metadata of its own: consolidated ones would only be a second truth.
    documents["zarr.json"].pop("consolidated_metadata")
    documents |= {f"{number}/zarr.json": level.document for number, level in enumerate(found.levels)}
    with alone(place), asking(place):
        repository = icechunk.Repository.open_or_create(
            storage_at(place), config, authorize_virtual_chunk_access=access
        )
        repository.save_config()
        session = repository.writable_session(BRANCH)
        if not _is_replaceable(session.store):
            raise TargetExists(f"{place} holds something other than references; give them a repository of their own")
        sync(session.store.clear())
        for key, document in documents.items():
            data = default_buffer_prototype().buffer.from_bytes(json.dumps(document).encode())
            sync(session.store.set(key, data))
        for number, level in enumerate(found.levels):
            session.store.set_virtual_refs_arr(
                f"/{number}",
                tuple(level.grid.counts),
                ["" if url is None else named[url] for url in found.urls_of(level)],
                level.offset.ravel().astype(np.uint64),
                level.length.ravel().astype(np.uint64),
            )
        return session.commit(f"References into {found.urls[0]}" + (" and others" if found.urls[1:] else ""))


def _is_replaceable(store: icechunk.IcechunkStore) -> bool:
    """Whether nothing is there, or the group of one image, as this writes it."""
    root = sync(store.get("zarr.json", default_buffer_prototype()))
    if root is None:
        return sync(store.is_empty(""))
    return "ome" in json.loads(root.to_bytes()).get("attributes", {})


def _url(url: str) -> str:
    place = parse(url)
    return place.absolute().as_uri() if isinstance(place, Path) else url


def _container(prefix: str) -> "tuple[Any, Any]":
    """How chunks below a URL are reached, and what allows it."""
    parsed = parse(prefix)
    if isinstance(parsed, Path):
        return icechunk.local_filesystem_store(str(parsed)), icechunk.Credentials.LocalFileSystemAccess()
    if isinstance(parsed, Remote) and parsed.scheme == "s3":
        endpoint = endpoint_of("s3", configured())
        store = icechunk.s3_store(
            endpoint_url=endpoint,
            allow_http=endpoint is not None and endpoint.startswith("http://"),
            s3_compatible=endpoint is not None,
            force_path_style=endpoint is not None,
        )
        return store, icechunk.Credentials.S3(icechunk.s3_from_env_credentials())
    if prefix.startswith(("http://", "https://")):
        return icechunk.http_store(), icechunk.Credentials.HttpAccess()
    raise UnsupportedFeature(f"Icechunk cannot refer to files at {prefix}; give paths, s3: or http: URLs")
