"""Results in a pack: every one its own transaction, from any number of processes of this machine."""

import os
from contextlib import closing
from pathlib import Path

from ziggurat.errors import SourceNotFound, TargetExists
from ziggurat.pack.opening import open_packed
from ziggurat.pack.pack import Pack, PackedSource, version_of
from ziggurat.pack.prepare import Preparer
from ziggurat.pack.writer import Packable, PackWriter
from ziggurat.storage.local import LocalSource
from ziggurat.storage.names import check_key, temporary_name
from ziggurat.storage.pack_url import PackPlace
from ziggurat.storage.stored import Digests, ReadBack, Stored, require_size, writing
from ziggurat.storage.urls import Packed, path_url


class PackDestination(ReadBack):
    """A pack on a disk; made when the first result comes. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))
        self._place = PackPlace(path_url(self._path))

    def check_name(self, key: str) -> None:
        """Accepts a key that is safe when the pack is unpacked.

        Raises:
            TargetRefused: if it is not.
        """
        check_key(key)

    def temporary(self, key: str, token: str) -> Path:
        """Where to write the result first: beside the pack.

        Raises:
            TargetRefused: if the key is not safe.
            WriteError: if the folder cannot be made.
        """
        check_key(key)
        with writing(str(self._path.parent)):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._path.parent / temporary_name(token)

    def exists(self, key: str) -> Stored | None:
        """What has the key; None if nothing does."""
        check_key(key)
        if not self._path.exists():
            return None
        with Pack(self._path) as pack:
            try:
                version = version_of(pack.entry(key))
            except SourceNotFound:
                return None
        return Stored(version.size, version.tag)

    def publish(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        """Puts the temporary file into the pack, all or nothing, and makes sure that it survives a power cut.

        Raises:
            TargetExists: if the key is taken and ``overwrite`` is false; the temporary file stays.
            ChecksumMismatch: if the temporary file is not as long as it was.
            WriteError: if it cannot be written, or another program writes the pack all the time.
        """
        check_key(key)
        require_size(temporary, digests)
        with closing(LocalSource(temporary)) as source, PackWriter(self._path, wait=True) as writer:
            if not overwrite and writer.find(key) is not None:
                raise TargetExists(f"{self._path} has an image {key!a} already; remove it, or ask for overwriting")
            found = Preparer().prepare(source)
            rest = source if found.rest is None else found.rest
            image = Packable(key, found.kind, rest, found.length, bytes.fromhex(digests.sha256))
            writer.put(image, replace=overwrite)
        with writing(str(temporary)):
            temporary.unlink()
        return Stored(digests.size, digests.sha256)

    def remove(self, key: str) -> None:
        """Removes what has the key, if something does."""
        check_key(key)
        if self._path.exists():
            with PackWriter(self._path, wait=True) as writer:
                writer.remove(key)

    def cleanup(self, key: str, token: str) -> None:
        """Removes the temporary file of an attempt, if it is there."""
        check_key(key)
        with writing(str(self._path)):
            (self._path.parent / temporary_name(token)).unlink(missing_ok=True)

    def source(self, key: str) -> PackedSource:
        """What has the key, to read from."""
        check_key(key)
        return open_packed(Packed(self._place, key))

    def url(self, key: str) -> str:
        """What it is called."""
        check_key(key)
        return self._place.key_url(key)
