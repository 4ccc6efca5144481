"""Results in an object store."""

import hashlib
import itertools
import mimetypes
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import obstore

from ziggurat.errors import (
    ChecksumMismatch,
    SourceNotFound,
    StoreUnavailable,
    TargetExists,
    TargetRefused,
    WriteError,
    ZigguratError,
)
from ziggurat.storage.client import asking, bind, tag_of
from ziggurat.storage.names import LONGEST_KEY, check_key, temporary_name
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.object_store import ObjectSource
from ziggurat.storage.stored import Digests, ReadBack, Stored, digests_of, require_size, writing
from ziggurat.storage.tree import MARK, discard, inner_files, is_folder, is_tree
from ziggurat.storage.urls import Remote

WHOLE: Final = 1 << 26
"""Bytes up to which a result is sent in one request, from memory. Only such a request can be conditional."""

PART: Final = 1 << 24
"""Bytes of a part, unless there would be too many of them."""

MOST_PARTS: Final = 10_000
"""Parts of one upload that S3 allows."""

LARGEST: Final = 5 << 40
"""Bytes of an object that S3 allows."""

SIDE_BY_SIDE: Final = 4
"""Parts under way at once: each is held in memory."""

SHORTEST_PAUSE: Final = 0.2
"""Seconds before an upload is repeated the first time; then twice as long each time."""

LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts at most."""

_TYPES: Final = mimetypes.MimeTypes()


class ObjectDestination(ReadBack):
    """A prefix in a bucket. Safe to use from several threads.

    Results of up to 64 MiB are sent in one conditional request, so that two writers of one key cannot replace
    each other's object. Larger ones are sent in parts, which cannot be conditional: the key is looked at before.
    An upload in parts that fails is aborted; one whose process dies leaves parts behind, which a lifecycle rule
    of the bucket (AbortIncompleteMultipartUpload) should remove.

    A folder's files are sent one by one, the one that makes it a group last: until then there is no group.

    Args:
        place: bucket and prefix.
        scratch: folder for temporary files.
        network: how the store is reached.
    """

    def __init__(self, place: Remote, scratch: Path, network: NetworkOptions) -> None:
        prefix = place.key.rstrip("/")
        self._place = replace(place, key=f"{prefix}/" if prefix else "")
        self._scratch = scratch
        self._network = network
        # While a body is sent nothing is received, which is no stall.
        self._sending = replace(network, stall_timeout=network.timeout)
        self._at("x")

    def check_name(self, key: str) -> None:
        """Accepts a key that is safe and not too long, the prefix included.

        Raises:
            TargetRefused: if it is not.
        """
        check_key(key, longest=LONGEST_KEY - len(self._place.key.encode()))

    def _at(self, key: str) -> Remote:
        self.check_name(key)
        return replace(self._place, key=self._place.key + key)

    def temporary(self, key: str, token: str) -> Path:
        """Where to write the result first: in the scratch folder, which is made.

        Raises:
            TargetRefused: if the key is not safe.
            WriteError: if the folder cannot be made.
        """
        self.check_name(key)
        with writing(str(self._scratch)):
            self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch / temporary_name(token)

    def exists(self, key: str) -> Stored | None:
        """What lies at the target, of a folder the file that makes it one; None if nothing does."""
        bound = bind(self._at(_marked(key)), self._network)
        try:
            with asking(bound.url, refused=WriteError):
                meta = obstore.head(bound.store, bound.key)
        except SourceNotFound:
            return None
        return Stored(meta["size"], tag_of(meta))

    def publish(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        """Sends the temporary file or folder, makes sure that the store holds these bytes, and removes it.

        Where the answer to an upload is lost, what lies at the target decides: these very bytes are success.

        Raises:
            TargetExists: if other bytes lie there and ``overwrite`` is false; the temporary file stays.
            ChecksumMismatch: if the store holds other bytes than were sent; they are removed.
            StoreUnavailable: if the store does not answer.
            WriteError: if it refuses.
        """
        require_size(temporary, digests)
        if is_folder(temporary):
            stored = self._publish_tree(temporary, key, overwrite=overwrite)
        else:
            stored = self._publish_file(temporary, key, digests, overwrite=overwrite)
        with writing(str(temporary)):
            discard(temporary)
        return stored

    def _publish_file(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        if digests.size > LARGEST:
            raise TargetRefused(
                f"{self.url(key)} would have {digests.size} bytes, a store holds {LARGEST}; write it to a disk"
            )
        self._send(temporary, key, digests, overwrite=overwrite)
        return self._verified(temporary, key, digests)

    def _publish_tree(self, temporary: Path, key: str, *, overwrite: bool) -> Stored:
        """Sends a folder. What an interrupted attempt has left there has the same names, and is replaced."""
        with writing(str(temporary)):
            names = [name for name in inner_files(temporary) if name != MARK]
        if not is_tree(key):
            raise TargetRefused(f"{self.url(key)} is to be a folder, whose name must end in .zarr")
        if overwrite:
            self.remove(key)
        elif left := set(self._inside(key)) - set(names):
            raise TargetExists(
                f"{self.url(key)} exists already, with {min(left)} in it; remove it, or ask for overwriting"
            )
        for name in names:
            path = temporary / name
            self._publish_file(path, f"{key}/{name}", digests_of(path), overwrite=True)
        mark = temporary / MARK
        return self._publish_file(mark, _marked(key), digests_of(mark), overwrite=False)

    def _inside(self, key: str) -> list[str]:
        """Names of the objects in a folder."""
        bound = bind(self._at(key), self._network)
        found: list[str] = []
        with asking(bound.url, refused=WriteError):
            for page in obstore.list(bound.store, f"{bound.key}/"):
                found += [meta["path"].removeprefix(f"{bound.key}/") for meta in page]
        return found

    def _send(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> None:
        """Sends the file until it is there, or it is time to give up.

        The client repeats what a server refuses with 5xx, but no conditional upload whose connection broke:
        it cannot know whether that arrived. Here what lies at the target tells.
        """
        deadline = time.monotonic() + self._network.retry_timeout
        for attempt in itertools.count():
            try:
                if digests.size <= WHOLE:
                    self._send_whole(temporary, key, overwrite=overwrite)
                else:
                    self._send_parts(temporary, key, digests.size, overwrite=overwrite)
            except (StoreUnavailable, TargetExists, ChecksumMismatch) as error:
                if self._arrived(key, digests):
                    return
                pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2**attempt)
                late = time.monotonic() + pause > deadline
                if late or attempt >= self._network.retries or isinstance(error, TargetExists):
                    raise
                time.sleep(pause)
            else:
                return

    def _send_whole(self, temporary: Path, key: str, *, overwrite: bool) -> None:
        with writing(str(temporary)):
            data = temporary.read_bytes()
        bound = bind(self._at(key), self._sending)
        with asking(bound.url, absent=WriteError, refused=WriteError):
            obstore.put(
                bound.store,
                bound.key,
                data,
                attributes=_attributes(key),
                mode="overwrite" if overwrite else "create",
                use_multipart=False,
            )

    def _send_parts(self, temporary: Path, key: str, size: int, *, overwrite: bool) -> None:
        bound = bind(self._at(key), self._sending)
        if not overwrite and self.exists(key) is not None:
            raise TargetExists(f"{bound.url} exists already; remove it, or ask for overwriting")
        with (
            asking(bound.url, absent=WriteError, refused=WriteError),
            writing(str(temporary)),
            temporary.open("rb") as file,
        ):
            obstore.put(
                bound.store,
                bound.key,
                file,
                attributes=_attributes(key),
                use_multipart=True,
                chunk_size=part_size(size),
                max_concurrency=SIDE_BY_SIDE,
            )

    def _arrived(self, key: str, digests: Digests) -> bool:
        try:
            return self.matches(key, digests)
        except ZigguratError:
            return False

    def _verified(self, temporary: Path, key: str, digests: Digests) -> Stored:
        stored = self.exists(key)
        if stored is None:
            raise ChecksumMismatch(f"{self.url(key)} is not there after it was sent; try again")
        if stored.size == digests.size:
            sent = digests.md5 if digests.size <= WHOLE else parts_etag(temporary, part_size(digests.size))
            # An ETag that is no MD5 proves nothing: the store encrypts, or makes it otherwise.
            if stored.tag.strip('"') == sent or self.holds(key, digests.sha256):
                return stored
        self.remove(key)
        raise ChecksumMismatch(
            f"{self.url(key)}: the store held {stored.size} bytes other than the {digests.size} that were sent; they "
            "were removed; try again, and if it comes back check the network and the store"
        )

    def inner(self, key: str) -> Sequence[str] | None:
        """Names of the objects of the folder that lies at the target; None where it is a single one.

        Raises:
            SourceError: if it cannot be listed, or is no group.
        """
        if not is_tree(key):
            return None
        names = self._inside(key)
        if MARK not in names:
            raise SourceNotFound(f"{self.url(key)} is no group: it has no {MARK}")
        return names

    def matches(self, key: str, digests: Digests) -> bool:
        """Whether exactly these bytes lie at the target, by ETag where that is an MD5, else by reading."""
        found = self.exists(key)
        if found is not None and is_tree(key):
            return self.digest(key) == (digests.sha256, digests.size)
        if found is None or found.size != digests.size:
            return False
        return found.tag.strip('"') == digests.md5 or self.holds(key, digests.sha256)

    def remove(self, key: str) -> None:
        """Removes what lies at the target, if something does; of a folder, also what is left of it."""
        if is_tree(key):
            self._remove(_marked(key))
            for name in self._inside(key):
                self._remove(f"{key}/{name}")
        else:
            self._remove(key)

    def _remove(self, key: str) -> None:
        bound = bind(self._at(key), self._network)
        try:
            with asking(bound.url, refused=WriteError):
                obstore.delete(bound.store, bound.key)
        except SourceNotFound:
            return

    def cleanup(self, key: str, token: str) -> None:
        """Removes the temporary file or folder of an attempt, if it is there."""
        self.check_name(key)
        path = self._scratch / temporary_name(token)
        with writing(str(path)):
            discard(path)

    def source(self, key: str) -> ObjectSource:
        """The target, to read from."""
        return ObjectSource(bind(self._at(key), self._network), self._network)

    def url(self, key: str) -> str:
        """What the target is called."""
        return self._at(key).url


def _marked(key: str) -> str:
    """The object that is there when a result is."""
    return f"{key}/{MARK}" if is_tree(key) else key


def part_size(size: int) -> int:
    """Bytes of the parts in which an object of this size is sent: whole mebibytes, no more than 10,000 parts."""
    return max(PART, -(-size // (MOST_PARTS << 20)) << 20)


def parts_etag(path: Path, part: int) -> str:
    """The ETag that S3 gives to an upload in parts: the MD5 of the parts' MD5s, and their number."""
    outer, count = hashlib.md5(usedforsecurity=False), 0
    with writing(str(path)), path.open("rb") as file:
        while data := file.read(part):
            outer.update(hashlib.md5(data, usedforsecurity=False).digest())
            count += 1
    return f"{outer.hexdigest()}-{count}"


def _attributes(key: str) -> dict[str, str]:
    kind = _TYPES.guess_type(key)[0]
    return {"Content-Type": kind} if kind else {}
