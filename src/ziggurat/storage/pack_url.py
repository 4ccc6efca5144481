"""What a packed image is called: ``pack:PLACE!KEY``. No I/O.

PLACE is the path or URL of the database, KEY the image's key as it is. An exclamation mark in PLACE is written %21.
A database that is no pack says which table: ``pack:PLACE?table=T&key=K&blob=B!KEY``.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from ziggurat.errors import UsageError

SCHEME: Final = "pack:"
_TABLE = re.compile(r"\?table=([^&!]*)&key=([^&!]*)&blob=([^&!]*)\Z")
_ESCAPED = re.compile(r"%((?:25)*)21")


@dataclass(frozen=True, slots=True)
class Table:
    """Where the images of a database are that is no pack: a table, and its columns of keys and of bytes."""

    name: str
    key: str
    blob: str


@dataclass(frozen=True, slots=True)
class PackPlace:
    """A database of images.

    Attributes:
        place: its path or URL.
        table: None for a pack.
    """

    place: str
    table: Table | None = None

    @property
    def url(self) -> str:
        """What it is called, without a key."""
        said = ""
        if self.table is not None:
            names = (quote(name, safe="") for name in (self.table.name, self.table.key, self.table.blob))
            said = "?table={}&key={}&blob={}".format(*names)
        # "!" ends the place; what reads like an escaped one gets one more escape.
        return SCHEME + re.sub(r"%((?:25)*)21", r"%25\g<1>21", self.place).replace("!", "%21") + said

    def key_url(self, key: str) -> str:
        """What an image in it is called."""
        return f"{self.url}!{key}"


def parse_pack(url: str) -> tuple[PackPlace, str]:
    """The database that a ``pack:`` URL names, and the key: "" where it names all of the database.

    Raises:
        UsageError: if it names none.
    """
    place, mark, key = url.removeprefix(SCHEME).partition("!")
    found = _TABLE.search(place)
    table = Table(*map(unquote, found.groups())) if found else None
    place = place[: found.start()] if found else place
    if not place or bool(mark) != bool(key):
        raise UsageError(f"{url[:200]} names no packed image; write pack:PLACE!KEY")
    if place.startswith(SCHEME):
        raise UsageError(f"{url[:200]} names a pack in a pack; take the inner one out, and read from that")
    return PackPlace(_ESCAPED.sub(lambda match: "!" if not match[1] else f"%{match[1][2:]}21", place), table), key
