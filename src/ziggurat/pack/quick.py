"""Whole images of a pack on this machine one after another, in as few steps as can be."""

from collections.abc import Mapping
from time import perf_counter
from typing import Final

import apsw

from ziggurat.pack.connection import MAPPED
from ziggurat.pack.entry import Kind

SLOW: Final = 6e-5
"""Seconds that reading an image takes where a disk is asked."""

WEIGHT: Final = 4
"""Images in memory that outweigh one that was not: one now and then, on a busy machine, means nothing."""

SURE: Final = 32
"""Weight of slow images from which on the next one is expected not to be in memory."""


class Quick:
    """Gives images inside one snapshot, and leaves to others what is unusual.

    What is in memory is read through the page tables, which saves a copy of each page. Of what is not, the system
    would read far more than a page in this way, so it is read page by page.

    Args:
        db: the database, whose state stays the same until ``rest``.
        kinds: what is known already of kinds of images.
    """

    def __init__(self, db: apsw.Connection, kinds: Mapping[int, Kind]) -> None:
        self._db = db
        self._kinds = kinds
        self._cursor = db.cursor()
        self._blob: apsw.Blob | None = None
        self._mapped, self._slow = True, 0

    def get(self, key: str) -> bytes | None:
        """The bytes of the image of a key; None if there is none, or if it has to be looked at more closely."""
        began = perf_counter()
        try:
            row = self._cursor.execute("SELECT kind, length, id FROM image WHERE key = ?", (key,)).get
            if row is None:
                return None
            place, length, image = row
            if self._blob is None:
                self._blob = self._db.blob_open("main", "data", "bytes", image, False)
            else:
                # Half the time of a query.
                self._blob.reopen(image)
            kind = self._kinds[place]
            data = kind.head + self._blob.read() if kind.head else self._blob.read()
        except (apsw.Error, TypeError, ValueError, KeyError):
            # A handle that could not be moved to another row is of no use any more.
            self.rest()
            return None
        seconds = perf_counter() - began
        if seconds > SLOW or self._slow:
            self._choose(slow=seconds > SLOW)
        return data if len(data) == length else None

    def _choose(self, *, slow: bool) -> None:
        """Chooses how the next ones are read: through the map again only when none was slow for long."""
        self._slow = min(self._slow + WEIGHT, 2 * SURE) if slow else self._slow - 1
        mapped = self._slow == 0 or (self._mapped and self._slow < SURE)
        if mapped != self._mapped:
            self._mapped = mapped
            # The map stays as it is while a page of it is in use.
            self.rest()
            self._db.pragma("mmap_size", MAPPED if mapped else 0)

    def rest(self) -> None:
        """Lets go of the state."""
        if self._blob is not None:
            self._blob.close(True)
            self._blob = None
