"""Reading all images of a pack again, and comparing them with what is recorded; damage does not end it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ziggurat.convert.audit import Subset
from ziggurat.errors import SourceError, SourceRefused, UsageError
from ziggurat.pack.connection import HEADER, MAGIC
from ziggurat.pack.contents import contents, damage
from ziggurat.pack.entry import CHUNK, Entry, Kind
from ziggurat.pack.pack import Pack
from ziggurat.pack.schema import APPLICATION_ID
from ziggurat.storage.urls import is_pack, local_path

MOST: Final = 100
"""Faults that SQLite tells of a database's structure."""

LISTS: Final = ("pack", "kind", "image", "attribute")
"""Tables that say what there is: small beside the images."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about an image, or about the pack as a whole.

    Attributes:
        key: of the image; None of what concerns more than one.
        problem: what is wrong, if something is.
    """

    key: str | None
    problem: str | None = None


def looks_like_pack(place: str) -> bool:
    """Whether a place is a pack, by its name or by what it begins with."""
    path = local_path(place)
    if is_pack(place) or path is None:
        return is_pack(place)
    try:
        with path.open("rb") as file:
            head = file.read(HEADER)
    except OSError:
        return False
    return head.startswith(MAGIC) and head[68:72] == APPLICATION_ID.to_bytes(4)


def audit_pack(place: str, subset: Subset) -> Iterator[Checked]:
    """Looks at a pack's structure, then reads its images and compares their SHA-256.

    Raises:
        SourceError: if it is no pack, or cannot be reached.
    """
    with Pack(place) as pack:
        if pack.place.table is not None:
            raise UsageError(f"{place} is no pack: it says no digests to compare with")
        # All of a pack in a store would be fetched twice.
        whole = subset.of == 1 and local_path(place) is not None
        yield from (Checked(None, problem) for problem in _faults(pack, whole=whole))
        told = _Told()
        numbered = enumerate(told.entries(pack), 1)
        chosen = (entry for number, entry in numbered if number % subset.of == subset.part % subset.of)
        for entry, content in contents(pack, chosen):
            error = damage(pack, entry, content)
            yield Checked(entry.key, None if error is None else str(error))
        if told.gap is not None:
            yield Checked(None, told.gap)


def _faults(pack: Pack, *, whole: bool) -> Iterator[str]:
    """What SQLite says of the structure."""
    checks = [f"integrity_check({MOST})"] if whole else [f"quick_check({table})" for table in LISTS]
    for check in checks:
        try:
            with pack.snapshot() as db:
                found = [str(row[0]) for row in db.execute(f"PRAGMA {check}")]
        except SourceError as error:
            found = [str(error)]
        yield from (line for text in found for line in text.splitlines() if line != "ok")


class _Told:
    """The images of a pack, as far as its list of them can be read: from its beginning, and from its end.

    Attributes:
        gap: what could not be read in between.
    """

    def __init__(self) -> None:
        self.gap: str | None = None

    def entries(self, pack: Pack) -> Iterator[Entry]:
        """The images."""
        last = ""
        try:
            for entry in _walk(pack, ">", "ASC", last):
                last = entry.key
                yield entry
        except SourceRefused as error:
            before = None
            try:
                for entry in _walk(pack, "<", "DESC", chr(0x10FFFF)):
                    if entry.key <= last:
                        break
                    before = entry.key
                    yield entry
            except SourceRefused:
                pass
            end = "the end" if before is None else f"{before!a}"
            self.gap = f"the list of images cannot be read between {last!a} and {end}: {error}"


def _walk(pack: Pack, behind: str, order: str, last: str) -> Iterator[Entry]:
    """Images in the order of their keys, up to the first that cannot be read."""
    sql = f"SELECT key FROM image WHERE key {behind} ? ORDER BY key {order} LIMIT {CHUNK}"
    while True:
        keys: list[str] = []
        failure: SourceError | None = None
        try:
            with pack.snapshot() as db:
                keys.extend(key for (key,) in db.execute(sql, (last,)))
        except SourceError as error:
            failure = error
        for key in keys:
            yield _entry(pack, key)
        if failure is not None:
            raise failure
        if len(keys) < CHUNK:
            return
        last = keys[-1]


def _entry(pack: Pack, key: str) -> Entry:
    """An image, also one of which nothing more can be read: no bytes have its digest."""
    try:
        return pack.entry(key)
    except SourceError:
        return Entry(key, 0, Kind(), 0, bytes(32))
