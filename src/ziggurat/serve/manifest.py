"""A manifest as a table that can be searched: put into a ledger of its own, and again when the file changes."""

import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.manifest import manifest_rows, open_manifest
from ziggurat.errors import ZigguratError

_log = logging.getLogger(__name__)


class ManifestFile:
    """A CSV file and the ledger that holds what it says at the moment.

    Args:
        path: the file.
        columns: role to column.

    Raises:
        UsageError: if it is no manifest.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path = path
        self._columns = columns
        self._lock = threading.Lock()
        self._room = Path(tempfile.mkdtemp(prefix="ziggurat-manifest-"))
        weakref.finalize(self, shutil.rmtree, self._room, ignore_errors=True)
        self._number = 0
        self._version = self._look()
        self._ledger = self._taken()

    @property
    def folder(self) -> str:
        """Where its relative sources lie."""
        return os.fspath(self._path.parent)

    def ledger(self) -> Path:
        """The ledger that holds it."""
        return self._ledger

    def refresh(self) -> None:
        """Takes over what was changed in the file; of one that is no manifest any more, what was there before stays."""
        with self._lock:
            version = self._look()
            if version == self._version:
                return
            self._version = version
            try:
                before, self._ledger = self._ledger, self._taken()
            except ZigguratError as error:
                _log.warning("what was read of the manifest before is served: %s", error)
                return
            before.unlink(missing_ok=True)

    def _look(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def _taken(self) -> Path:
        manifest = open_manifest(self._path, self._columns)
        self._number += 1
        path = self._room / f"{self._number}.zgj"
        with Ledger.create(path, {"options": {"columns": dict(manifest.roles)}}, manifest.header) as ledger:
            with ledger.transaction():
                ledger.add_rows(
                    (row, None, None if row.problem is None else "UsageError", row.problem)
                    for row in manifest_rows(manifest)
                )
                ledger.finish_planning()
            refused = sum(number for state, number in ledger.counts().items() if state == "refused")
        if refused:
            _log.warning("%d rows of %s name no image and are left out", refused, self._path)
        return path
