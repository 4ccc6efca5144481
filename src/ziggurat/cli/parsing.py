"""Words of the command line that several commands share: windows, numbers in a row, places."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.errors import TargetExists, UsageError
from ziggurat.storage.destination import open_destination
from ziggurat.storage.network import NetworkOptions, configure
from ziggurat.storage.stored import digests_of
from ziggurat.storage.urls import Remote, parse


def parse_integers(text: str, count: int, name: str) -> tuple[int, ...]:
    """Reads ``Y0,X0,Y1,X1`` and the like.

    Raises:
        UsageError: if there are not ``count`` integers.
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise UsageError(f"{name} {text!r} is not {count} integers with commas between them")
    return values


def split_target(target: str) -> tuple[str, str]:
    """The folder or prefix of a file to be written, and its name there.

    Args:
        target: a path, or an s3:, gs: or az: URL.

    Raises:
        UsageError: if nothing can be written there, or it names no file.
    """
    place = parse(target)
    if isinstance(place, Path):
        folder, key = str(place.parent), place.name
    elif isinstance(place, Remote):
        prefix, _, key = place.key.rpartition("/")
        folder = f"{place.scheme}://{place.root}/{prefix}"
    else:
        raise UsageError(f"results cannot go to {target}; give a path or an s3:, gs: or az: URL")
    if not key:
        raise UsageError(f"{target} names no file; give the name of the file to write")
    return folder, key


def publish(write: Callable[[Path], object], target: str, *, overwrite: bool) -> str:
    """Puts a file in its place, all or nothing.

    Args:
        write: writes it to the path that it is given.
        target: a path, or an s3:, gs: or az: URL.
        overwrite: replace what lies there.

    Returns:
        What it is called.

    Raises:
        TargetExists: if something lies there and is not to be replaced.
        UsageError: if nothing can be written there.
        WriteError: if it cannot be written.
    """
    folder, key = split_target(target)
    with tempfile.TemporaryDirectory(prefix="ziggurat-") as scratch:
        destination = open_destination(folder, scratch=scratch)
        if not overwrite and destination.exists(key) is not None:
            raise TargetExists(f"{target} exists already; use --overwrite to replace it")
        temporary = destination.temporary(key, "new")
        try:
            write(temporary)
            destination.publish(temporary, key, digests_of(temporary), overwrite=overwrite)
        finally:
            destination.cleanup(key, "new")
        return destination.url(key)


@Parameter(name="*")
@dataclass(frozen=True)
class Network:
    """How stores are reached.

    Attributes:
        endpoint_url: address of an S3-compatible server; AWS_ENDPOINT_URL says the same. Credentials come from
            the usual environment variables.
    """

    endpoint_url: Annotated[str | None, Parameter(name="--endpoint-url")] = None

    def options(self) -> NetworkOptions:
        """The options that sources and destinations are opened with; made the default of this process."""
        network = NetworkOptions(endpoint=self.endpoint_url)
        configure(network)
        return network


NO_NETWORK = Network()
"""What holds where the command line says nothing."""
