"""The SQLite image store: many encoded images in one file.

The tables are a public contract, described in ``docs/packs.md``; anybody may read them with plain SQLite.
"""

from ziggurat.pack.entry import Entry
from ziggurat.pack.pack import Pack

__all__ = ["Entry", "Pack"]
