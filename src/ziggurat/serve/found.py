"""Where an image lies, once its identifier was understood."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ziggurat.errors import UsageError
from ziggurat.storage.folder import document_in
from ziggurat.storage.local import local_tag
from ziggurat.storage.urls import Remote, parse, path_url


@dataclass(frozen=True, slots=True)
class Found:
    """An image's place.

    Attributes:
        id: its identifier.
        url: opens it.
        version: size and tag of a local file as it is now; None where only its store knows.
    """

    id: str
    url: str
    version: tuple[int, str] | None


def checked(path: str, identifier: str) -> Found | None:
    """A regular file, or a Zarr, as it is now; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for speed
        if stat.S_ISDIR(status.st_mode):
            document = document_in(path)
            if document is None:
                return None
            status = os.stat(document)  # noqa: PTH116 - as above
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Found(identifier, path_url(path), (status.st_size, local_tag(status)))


def named(url: str, identifier: str) -> Found | None:
    """A place that a table names, of this machine or elsewhere; None where nothing can lie there."""
    try:
        place = parse(url)
    except UsageError:
        return None
    if isinstance(place, Remote):
        return Found(identifier, url, None)
    return checked(os.path.realpath(place), identifier) if isinstance(place, Path) else None


def is_text(identifier: str) -> bool:
    """Whether it is what a table can name: bytes of a URL that are no UTF-8 never are."""
    try:
        identifier.encode()
    except UnicodeEncodeError:
        return False
    return True
