"""What a database of images says of each of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import apsw

from ziggurat.geometry import Size
from ziggurat.pack.schema import Column
from ziggurat.storage.ranges import ByteRange

CHUNK: Final = 5000
"""Images that a listing takes from the database at a time."""

MOST_TEXT: Final = 1 << 25
"""Characters of attributes that a listing takes at a time: fewer images of long ones."""

type Value = int | float | str | None
"""Of an attribute."""


class Kind(NamedTuple):
    """What many images have in common: their form, None where it is not known, and the bytes that they begin with."""

    format: str | None = None
    height: int | None = None
    width: int | None = None
    bands: int | None = None
    dtype: str | None = None
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a database.

    Attributes:
        key: its name; "/" between the parts.
        id: its number, in the order in which the images lie.
        kind: its form.
        length: bytes.
        sha256: of the bytes; empty where the database does not say.
        attributes: what its owner said of it.
    """

    key: str
    id: int
    kind: Kind
    length: int
    sha256: bytes
    attributes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def size(self) -> Size | None:
        """Height and width; None where they are not known."""
        height, width = self.kind.height, self.kind.width
        return None if height is None or width is None else Size(height, width)


def not_too_much(entries: Iterable[Entry]) -> list[Entry]:
    """The first entries whose attributes are not too much to be held together, one at least."""
    found, room = [], MOST_TEXT
    for entry in entries:
        found.append(entry)
        room -= sum(len(value) for value in entry.attributes.values() if isinstance(value, str))
        if room < 0:
            break
    return found


@dataclass(frozen=True, slots=True)
class Lying:
    """Images in the order in which they lie: key, number, number of the kind, and bytes of each."""

    keys: Sequence[str]
    ids: Sequence[int]
    kinds: Sequence[int] = ()
    lengths: Sequence[int] = ()

    def __getitem__(self, some: slice) -> "Lying":
        """Those behind each other from one to another."""
        return Lying(self.keys[some], self.ids[some], self.kinds[some], self.lengths[some])


class Tables(Protocol):
    """How images lie in a database. Methods get the connection, and an entry that ``find`` or ``entries`` gave.

    Attributes:
        columns: of attributes.
        facts: of the database as a whole.
    """

    columns: tuple[Column, ...]
    facts: Mapping[str, str]

    def count(self, db: apsw.Connection) -> int:
        """How many there are."""
        ...

    def lying(self, db: apsw.Connection) -> Lying:
        """All images, in the order in which they lie."""
        ...

    def scan(self, db: apsw.Connection, some: Lying) -> list[bytes | None]:
        """The bytes of images that lie behind each other; None for those that were removed meanwhile."""
        ...

    def keys(self, db: apsw.Connection, after: tuple[str, int] | None) -> list[tuple[str, int]]:
        """The next ``CHUNK`` keys behind one, with the images' numbers, in the order that costs least."""
        ...

    def entries(self, db: apsw.Connection, where: str | None, after: Entry | None) -> list[Entry]:
        """At most ``CHUNK`` images behind one, with attributes: all, or those that an SQL expression is true of."""
        ...

    def told(self, db: apsw.Connection, keys: Sequence[str]) -> list[Entry]:
        """The images of these keys with attributes, in any order."""
        ...

    def find(self, db: apsw.Connection, key: str) -> Entry | None:
        """The image of a key, without its attributes."""
        ...

    def whole(self, db: apsw.Connection, key: str) -> bytes | None:
        """The bytes of the image of a key; None if there is none."""
        ...

    def read(self, db: apsw.Connection, entry: Entry, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Some of an image's bytes.

        Raises:
            SourceError: if the database does not hold what it says.
        """
        ...
