"""Results in an Icechunk repository: many images a commit, every one of them whole or not there at all.

A commit takes the longer the more groups there are, and writes them all anew (measured: 0.12 s and 0.3 MB at 1,000
groups of three levels, 1.5 s and 6 MB at 20,000): hence not one for each image. ``publish`` stores an image's chunks,
which nobody sees, and keeps what is to be committed in a file beside the temporary ones; ``settle`` commits what many
processes have published so.

Changes that were made beside each other are merged by Icechunk without a look at whether they fit. So each remembers
which node was at its target when it was made, and is left out where there is another one now.
"""

import hashlib
import os
import pickle
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import zarr.core.buffer
from zarr.core.sync import sync

from ziggurat.errors import ChecksumMismatch, SourceNotFound, StoreUnavailable, TargetExists, TargetRefused
from ziggurat.interop.repository import BRANCH, alone, asking, icechunk, storage_at
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.names import check_key, temporary_name
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.stored import Digests, ReadBack, Stored, require_size, writing
from ziggurat.storage.tree import MARK, discard, inner_files, is_folder, is_tree
from ziggurat.storage.urls import ICECHUNK, absolute

if TYPE_CHECKING:
    from icechunk import IcechunkStore, Repository, Session

_AGAIN: Final = 100
"""Times that a commit is tried anew because another writer of the store was quicker."""

_LOOKS: Final = 25
_LOOK_SECONDS: Final = 0.2
"""How often, and after which waits, a repository is looked for that somebody else may be making."""

_PROTOTYPE: Final = zarr.core.buffer.default_buffer_prototype()


class _Change(NamedTuple):
    """What one image changes.

    Attributes:
        key: of its group.
        before: the node that was there, if one was.
        fork: the session in which it was written, which pickles to the changes alone.
    """

    key: str
    before: str | None
    fork: "icechunk.session.ForkSession"


class IcechunkDestination(ReadBack):
    """A repository on a disk or in S3; made when the first result comes. Safe to use from several processes.

    Args:
        place: its path or s3: URL.
        scratch: folder for temporary files, the same for all processes of a job.
    """

    gathers = True

    def __init__(self, place: str, scratch: Path) -> None:
        self._place = absolute(place)
        self._scratch = scratch
        self._storage = storage_at(self._place)
        self._opened: Repository | None = None

    def check_name(self, key: str) -> None:
        """Accepts the key of a group, or of the document of all of them.

        Raises:
            TargetRefused: if it is none, or not safe.
        """
        check_key(key)
        if not is_tree(key) and key != MARK:
            raise TargetRefused(f"a repository holds groups, whose names end in .zarr, not {key!a}")

    def temporary(self, key: str, token: str) -> Path:
        """Where to write the result first: in the scratch folder, which is made."""
        self.check_name(key)
        with writing(str(self._scratch)):
            self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch / temporary_name(token)

    def exists(self, key: str) -> Stored | None:
        """The document of what lies at the target, and its node; None if nothing does."""
        if not is_tree(key) and key != MARK:
            return None
        with asking(self._place):
            session = self._session()
            document = None if session is None else _get(session.store, _marked(key))
            if session is None or document is None:
                return None
            return Stored(len(document), session.get_node_id(f"/{key}" if is_tree(key) else "/"))

    def publish(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        """Stores a folder, which ``settle`` makes visible; a document at the root is visible at once.

        Every chunk is read back and compared.

        Raises:
            TargetExists: if a group lies there and ``overwrite`` is false; the temporary folder stays.
            TargetRefused: if a file is none that a group consists of.
            ChecksumMismatch: if other bytes are read than were written.
            StoreUnavailable: if the store does not answer.
            WriteError: if it refuses.
        """
        self.check_name(key)
        require_size(temporary, digests)
        if not is_folder(temporary):
            with writing(str(temporary)):
                self._commit(f"{key} written", lambda session: _set(session.store, key, temporary.read_bytes()))
                temporary.unlink()
            return Stored(digests.size, digests.sha256)
        repository = self._making()
        with asking(self._place):
            session = repository.writable_session(BRANCH)
            before = _node(session, key)
            if before is not None and not overwrite:
                raise TargetExists(f"{self.url(key)} exists already; remove it, or ask for overwriting")
            fork = session.fork()
            if before is not None:
                sync(fork.store.delete_dir(key))
            self._fill(fork.store, temporary, key)
        self._remember(temporary, _Change(key, before, fork))
        with writing(str(temporary)):
            discard(temporary)
        return Stored(digests.size, digests.sha256)

    def _fill(self, store: "IcechunkStore", temporary: Path, key: str) -> None:
        with writing(str(temporary)):
            # Nodes are there before their chunks.
            for name in sorted(inner_files(temporary), key=lambda name: (not name.endswith(MARK), name)):
                data = (temporary / name).read_bytes()
                try:
                    _set(store, f"{key}/{name}", data)
                except icechunk.InvalidInputError as error:
                    raise TargetRefused(
                        f"{self.url(key)}: {name} is no part of a group, which is all it holds"
                    ) from error
                if _get(store, f"{key}/{name}") != data:
                    raise ChecksumMismatch(f"{self.url(key)}/{name}: other bytes are read than were written; try again")

    def _remember(self, temporary: Path, change: _Change) -> None:
        """Keeps a change until it is committed, all of it or nothing."""
        half, whole = _half(temporary), _whole(temporary)
        with writing(str(whole)):
            with half.open("wb") as file:
                file.write(pickle.dumps(change))
                file.flush()
                os.fsync(file.fileno())
            half.replace(whole)

    def settle(self, tokens: Sequence[str]) -> list[str]:
        """Makes what was published with these tokens visible, in one commit.

        Tokens of which nothing was published, or which were settled before, are passed over.

        Returns:
            Tokens of what was left out, because something else lies at its target now.

        Raises:
            StoreUnavailable: if the store does not answer.
            WriteError: if it refuses.
        """
        paths = {token: _whole(self._scratch / temporary_name(token)) for token in tokens}
        waiting: dict[str, _Change] = {}
        for token, path in paths.items():
            with suppress(FileNotFoundError):
                # Written by this job's own workers, whose answers are pickles too.
                waiting[token] = pickle.loads(path.read_bytes())  # noqa: S301 - as said
        if not waiting:
            return []
        refused: list[str] = []

        def merge(session: "Session") -> None:
            refused[:] = [token for token, change in waiting.items() if _node(session, change.key) != change.before]
            if fitting := [change.fork for token, change in waiting.items() if token not in refused]:
                session.merge(*fitting)

        self._commit(_told([change.key for change in waiting.values()]), merge)
        with writing(str(self._scratch)):
            for token in waiting:
                paths[token].unlink()
        return refused

    def _commit(self, message: str, change: "Callable[[Session], None]") -> None:
        """Makes one commit, anew from where the branch is now whenever another writer was quicker."""
        repository = self._making()
        with alone(self._place), asking(self._place):
            for _ in range(_AGAIN):
                session = repository.writable_session(BRANCH)
                change(session)
                if not session.has_uncommitted_changes:
                    return
                with suppress(icechunk.ConflictError):
                    session.commit(message)
                    return
        raise StoreUnavailable(f"{self._place}: other writers were always quicker; run the same again")

    def remove(self, key: str) -> None:
        """Removes what lies at the target, if something does."""
        self.check_name(key)
        if self.exists(key) is not None:
            self._commit(f"{key} removed", lambda session: sync(session.store.delete_dir(key)))

    def cleanup(self, key: str, token: str) -> None:
        """Removes what an attempt has left here, published or not, if it is not settled."""
        self.check_name(key)
        path = self._scratch / temporary_name(token)
        with writing(str(path)):
            for left in (path, _half(path), _whole(path)):
                discard(left)

    def inner(self, key: str) -> Sequence[str] | None:
        """Names of the documents and chunks of a group; None of the root's document.

        Raises:
            SourceNotFound: if there is no such group.
        """
        if not is_tree(key):
            return None
        with self._reading(key) as store:

            async def names() -> list[str]:
                found: AsyncIterator[str] = store.list_prefix(f"{key}/")
                return sorted([name.removeprefix(f"{key}/") async for name in found])

            return sync(names())

    def source(self, key: str) -> MemorySource:
        """A document or chunk of a group, or the root's document."""
        with self._reading(key) as store:
            data = _get(store, key)
        if data is None:
            raise SourceNotFound(f"{self.url(key)} is not there")
        return MemorySource(self.url(key), data, version=SourceVersion(len(data), hashlib.sha256(data).hexdigest()))

    def url(self, key: str) -> str:
        """What it is called."""
        return f"{ICECHUNK}{self._place}!{key}"

    @contextmanager
    def _reading(self, key: str) -> "Iterator[IcechunkStore]":
        with asking(self._place):
            session = self._session()
            top = next((part for part in _above(key) if is_tree(part)), None)
            if session is None or (top is not None and _node(session, top) is None):
                raise SourceNotFound(f"{self.url(key)} is not there")
            yield session.store

    def _session(self) -> "Session | None":
        """The branch as it is now; None where there is no repository."""
        if self._opened is None:
            try:
                self._opened = icechunk.Repository.open(self._storage)
            except icechunk.RepositoryNotFoundError:
                return None
        return self._opened.readonly_session(BRANCH)

    def _making(self) -> "Repository":
        """The repository, which is made if there is none."""
        if self._opened is None:
            with alone(self._place), asking(self._place):
                try:
                    self._opened = icechunk.Repository.open_or_create(self._storage)
                except icechunk.IcechunkError:
                    # In a store another process may be making it at this very moment.
                    if not self._appears():
                        raise
                    self._opened = icechunk.Repository.open(self._storage)
        return self._opened

    def _appears(self) -> bool:
        for _ in range(_LOOKS):
            if icechunk.Repository.exists(self._storage):
                return True
            time.sleep(_LOOK_SECONDS)
        return False


def _marked(key: str) -> str:
    return f"{key}/{MARK}" if is_tree(key) else key


def _above(key: str) -> Iterator[str]:
    """A key's beginnings, of one part, two, and so on."""
    parts = key.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _half(temporary: Path) -> Path:
    return temporary.with_suffix(".change-part")


def _whole(temporary: Path) -> Path:
    return temporary.with_suffix(".change")


def _told(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{len(keys)} images, {keys[0]} and others"


def _node(session: "Session", key: str) -> str | None:
    try:
        return session.get_node_id(f"/{key}")
    except icechunk.NodeNotFoundError:
        return None


def _get(store: "IcechunkStore", key: str) -> bytes | None:
    found = sync(store.get(key, _PROTOTYPE))
    return None if found is None else found.to_bytes()


def _set(store: "IcechunkStore", key: str, data: bytes) -> None:
    sync(store.set(key, _PROTOTYPE.buffer.from_bytes(data)))
