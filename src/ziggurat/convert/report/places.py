"""Where a job's sources and outputs lie, as seen from its report."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote_from_bytes

from ziggurat.errors import TargetRefused, ZigguratError
from ziggurat.model import JSON
from ziggurat.storage.destination import Destination, open_destination
from ziggurat.storage.urls import local_path


class Places:
    """Finds the files that a ledger names.

    Args:
        facts: of the job.
        page: the report, from whose folder links are taken.
    """

    def __init__(self, facts: Mapping[str, JSON], page: Path) -> None:
        self._folder = os.path.abspath(page.parent)  # noqa: PTH100 - resolve() would follow links away
        self._destination = _destination(facts.get("destination"))

    def source(self, source: str) -> str | None:
        """What opens a source; None where the row names none."""
        return source or None

    def output(self, key: str | None) -> str | None:
        """What opens an output; None where its name is none that was ever written."""
        if key is None or self._destination is None:
            return None
        try:
            return self._destination.url(key)
        except TargetRefused:
            return None

    def link(self, url: str | None) -> str | None:
        """A relative link from the page to a local file; None to what is not local."""
        path = _local(url)
        if path is None:
            return None
        # A name with a colon in its first part would read as a scheme; "./" keeps it a path.
        relative = os.path.relpath(os.path.abspath(path), self._folder)  # noqa: PTH100 - as above
        return "./" + quote_from_bytes(os.fsencode(relative), safe="/-._~")


def absolute(source: str) -> str:
    """A source that means the same from any folder: relative paths are taken from the current one."""
    path = _local(source)
    if path is None or path.is_absolute():
        return source
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links away


def _local(url: str | None) -> Path | None:
    if not url:
        return None
    try:
        return local_path(url)
    except ZigguratError:
        return None


def _destination(recorded: JSON) -> Destination | None:
    if not isinstance(recorded, str):
        return None
    try:
        # Only names are asked for: nothing is ever written to the scratch folder.
        return open_destination(recorded, scratch=tempfile.gettempdir())
    except ZigguratError:
        return None
