"""Where results go: a folder, a prefix in an object store, a pack, or an Icechunk repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from ziggurat.errors import UsageError, WriteError
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.storage.network import NetworkOptions, configured
from ziggurat.storage.object_destination import ObjectDestination
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.resolve import packs
from ziggurat.storage.stored import Digests, Stored, digests_of, writing
from ziggurat.storage.urls import Packed, Remote, Repository, is_pack, parse

__all__ = ["Destination", "Digests", "Stored", "digests_of", "open_destination", "writing"]


class Destination(Protocol):
    """Holds results under relative keys, with "/" between their parts. Safe to use from several threads.

    A result is a file, or a folder of files whose key ends in ``.zarr`` (``storage.tree``); packs hold files only.
    The order of things: write to ``temporary``, hash that (``digests_of``), ``publish``. Every method that
    takes a key raises TargetRefused where the key is not safe.
    """

    @property
    def gathers(self) -> bool:
        """Whether what is published is seen only once it is settled, many results at a time."""
        ...

    def settle(self, tokens: Sequence[str]) -> list[str]:
        """Makes results visible that were published from temporary files of these tokens, all of them at once.

        Those of which nothing was published, or which were settled before, are passed over.

        Returns:
            Tokens of those that are left out, because something else lies at their target now.

        Raises:
            StoreUnavailable: if the store does not answer.
            WriteError: if it refuses.
        """
        ...

    def check_name(self, key: str) -> None:
        """Accepts a key that can be stored and stays below the destination; without asking any server.

        Raises:
            TargetRefused: saying what is wrong with it.
        """
        ...

    def temporary(self, key: str, token: str) -> Path:
        """A local path to write the result to first; the same for the same key and token, its folder made.

        Raises:
            WriteError: if the folder cannot be made.
        """
        ...

    def exists(self, key: str) -> Stored | None:
        """What lies at the target; None if nothing does."""
        ...

    def publish(self, temporary: Path, key: str, digests: Digests, *, overwrite: bool) -> Stored:
        """Puts the temporary file or folder in its place, all or nothing, and returns once it is safe there.

        It is gone afterwards; where an error is raised it stays.

        Raises:
            TargetExists: if something else lies there and ``overwrite`` is false.
            ChecksumMismatch: if what is stored is not what was sent; it is removed.
            StoreUnavailable: if the store does not answer.
            WriteError: if the place is full, or refuses.
        """
        ...

    def digest(self, key: str) -> tuple[str, int]:
        """SHA-256, hexadecimal, and size of what lies at the target, of a folder of its list; reads all of it.

        Raises:
            SourceError: if it cannot be read.
        """
        ...

    def holds(self, key: str, sha256: str) -> bool:
        """Whether bytes with this SHA-256 lie at the target; reads them."""
        ...

    def matches(self, key: str, digests: Digests) -> bool:
        """Whether exactly these bytes lie at the target; reads no more of them than it must."""
        ...

    def remove(self, key: str) -> None:
        """Removes what lies at the target, if something does."""
        ...

    def cleanup(self, key: str, token: str) -> None:
        """Removes the temporary file of an attempt, if it is there."""
        ...

    def source(self, key: str) -> ByteSource:
        """The target, to read from."""
        ...

    def url(self, key: str) -> str:
        """What the target is called; ``open_source`` opens it."""
        ...


def open_destination(
    url: str, *, scratch: Path | str | None = None, network: NetworkOptions | None = None
) -> Destination:
    """Opens a place to publish to. Nothing is made or asked yet.

    Args:
        url: a folder, scheme://bucket/prefix of an s3:, gs: or az: store, a pack (.zpk) on a disk, or icechunk:PLACE.
        scratch: local folder for temporary files; needed for stores and repositories.
        network: how stores are reached; None is what ``configure`` set in this process.

    Raises:
        UsageError: if results cannot go there.
        WriteError: if a file lies where the folder is to be.
    """
    place = parse(url)
    if is_pack(url) and not isinstance(place, Packed):
        if not isinstance(place, Path):
            raise UsageError(
                f"{url} is a pack in a store: packs are written on a disk, and put there when they are done"
            )
        return cast("Destination", packs("ziggurat.pack.destination", "PackDestination")(place))
    if isinstance(place, Repository):
        if scratch is None:
            raise UsageError(f"{url} needs a local folder for temporary files; give one as scratch")
        destination = packs("ziggurat.interop.icechunk_destination", "IcechunkDestination")
        return cast("Destination", destination(place.place, Path(scratch)))
    if isinstance(place, Path):
        if place.exists() and not place.is_dir():
            raise WriteError(f"{url} is a file; give a folder as the destination")
        return LocalDestination(place)
    if not isinstance(place, Remote) or place.is_web:
        raise UsageError(f"results cannot go to {url.partition('?')[0]}; give a folder or an s3:, gs: or az: URL")
    if scratch is None:
        raise UsageError(f"{url} needs a local folder for temporary files; give one as scratch")
    return ObjectDestination(place, Path(scratch), configured() if network is None else network)
