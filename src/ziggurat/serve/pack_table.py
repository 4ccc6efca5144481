"""The images of a pack, searched where they lie: by their keys, and by what their owner said of them.

An image is called by its key, one in a folder belongs to that folder as its item. Nothing is listed beforehand: a page
of a million images is one query.
"""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Final

import apsw

from ziggurat.convert.ledger.view import Value
from ziggurat.pack import Pack
from ziggurat.pack.schema import ATTRIBUTE, quoted
from ziggurat.serve.conditions import Condition, all_of, beginning, folders_below, holding
from ziggurat.serve.found import is_text
from ziggurat.serve.items import Entry, Hits, Item, Page, Pairs, Place, Wanted, grouped, item_of, label
from ziggurat.serve.words import Term
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.order import natural
from ziggurat.storage.urls import local_path

NATURAL: Final = 10_000
"""Images that are put into natural order, page 10 behind page 9; more are in the order of their keys, as they lie."""

REMEMBERED: Final = 64
"""Searches whose number of hits is kept: whoever scrolls asks for the same ones again."""

_PLAIN: Final = "substr(image.key, 1, 1) <> '.' AND instr(image.key, '/.') = 0"
"""Whether no part of a key is hidden: such ones are not served."""

_FROM: Final = f"image LEFT JOIN {ATTRIBUTE} ON {ATTRIBUTE}.id = image.id"

type _State = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A pack in one state of its file.

    Attributes:
        totals: how many images conditions are true of.
    """

    state: _State
    pack: Pack
    totals: dict[object, int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The attributes."""
        return [column.name for column in self.pack.columns]


class PackTable:
    """The images of one pack. Safe to use from several threads.

    Args:
        place: its path or URL.
        prefix: what all identifiers begin with.
        network: how stores are reached.
    """

    def __init__(self, place: str, prefix: str, network: NetworkOptions) -> None:
        self._place = place
        self._prefix = prefix
        self._network = network
        self._path = local_path(place)
        self._opening = threading.Lock()
        self._open: _Opened | None = None

    def _opened(self) -> "_Opened":
        """The pack as it is now: what is written to it may bring new columns. Who still reads an older one goes on.

        One that is gone is searched as it was, so that other places can be.
        """
        state: _State = None
        if self._path is not None:
            with suppress(OSError):
                status = self._path.stat()
                state = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        with self._opening:
            if self._open is None or state not in {None, self._open.state}:
                self._open = _Opened(state, Pack(self._place, network=self._network))
            return self._open

    # -- what there is ----------------------------------------------------------------------------------------

    def contents(self, limit: int) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str], bool]:
        """Items and their images, no labels, and whether there was room for all.

        Raises:
            SourceError: if the pack cannot be read; so do all others.
        """
        keys = (key for key in self._opened().pack.listing() if not _hidden(key))
        found = grouped((self._prefix + key for key in islice(keys, limit + 1)), [self._prefix], limit, 0)
        return found.items, MappingProxyType({}), found.complete

    def columns(self) -> tuple[str, ...]:
        """The attributes, which can be searched."""
        return tuple(self._opened().names)

    def entry(self, identifier: str) -> Entry | None:
        """What is said of one image; None if there is none of this identifier."""
        key = self._inside(identifier)
        return None if not key or _hidden(key) else next(iter(self._entries(self._opened(), [key])), None)

    def item(self, identifier: str) -> Item | None:
        """An item with all that is said of its images; None if there is none of this identifier."""
        opened = self._opened()
        asked = self._asked(opened, Wanted(item=identifier), ())
        entries = [] if asked is None else self._entries(opened, self._in_order(self._keys(opened, asked, "")))
        if not entries and (alone := self.entry(identifier)) is not None:
            entries = [alone]
        pages = [Page(entry.id, None, entry.metadata) for entry in entries]
        return item_of(identifier, label(identifier), pages) if pages else None

    def search(self, wanted: Wanted, sought: Sequence[Term], part: tuple[int, int]) -> Hits:
        """Images that are looked for.

        Args:
            wanted: which ones.
            sought: the terms of its query.
            part: offset and number of those that are told.
        """
        opened = self._opened()
        asked = self._asked(opened, wanted, sought)
        if asked is None:
            return Hits(0, ())
        total, (offset, limit) = self._total(opened, asked), part
        if limit <= 0 or offset >= total:
            return Hits(total, ())
        if total <= NATURAL:
            keys = self._in_order(self._keys(opened, asked, ""))[offset : offset + limit]
        else:
            keys = self._keys(opened, asked, f" ORDER BY image.key LIMIT {limit:d} OFFSET {offset:d}")
        return Hits(total, tuple(self._entries(opened, keys)))

    def folders(self, under: str) -> list[tuple[str, int]]:
        """The folders directly below one, and how many images lie below each."""
        opened = self._opened()
        if self._prefix and not under:
            return [(self._prefix.rstrip("/"), self._total(opened, (_PLAIN, [])))]
        folder = self._inside(under) if under else ""
        if folder is None:
            return []
        sql, values = folders_below("image.key", folder, _PLAIN, "image")
        with opened.pack.snapshot() as db:
            counted = _rows(db, sql, values)
        above = self._prefix + beginning(folder)
        return sorted(((f"{above}{name}", int(str(count))) for name, count in counted), key=lambda one: natural(one[0]))

    def place(self, identifier: str) -> Place | None:
        """Where an image stands in its folder; None if there is no such image."""
        entry, opened = self.entry(identifier), self._opened()
        if entry is None:
            return None
        beside, key = Wanted(folder=entry.folder), identifier.removeprefix(self._prefix)
        asked = self._asked(opened, beside, ()) or ("0", [])
        total = self._total(opened, asked)
        if total <= NATURAL:
            keys = self._in_order(self._keys(opened, asked, ""))
            index = keys.index(key) if key in keys else None
        else:
            index = self._total(opened, all_of([asked, ("image.key < ?", [key])]))
        return Place(entry.item, entry.title, beside, index, total)

    # -- queries ----------------------------------------------------------------------------------------------

    def _asked(self, opened: _Opened, wanted: Wanted, sought: Sequence[Term]) -> Condition | None:
        """What is asked of images; None where none can be meant."""
        columns = opened.names
        places = [name for name in (wanted.under, wanted.item, wanted.folder) if name]
        if (
            wanted.state is not None
            or wanted.item == ""
            or (wanted.folder == "" and self._prefix)
            or any(self._inside(name) is None for name in places)
            or not all(is_text(term.text) for term in sought)
            or any(term.column is not None and term.column not in columns for term in sought)
        ):
            return None
        under, item, folder = (
            (self._inside(name) or "") if name else "" for name in (wanted.under, wanted.item, wanted.folder)
        )
        found: list[Condition] = [(_PLAIN, [])]
        if wanted.item is not None:
            if not item:
                return None
            inside, values = _directly_in(item)
            # At the top of a place every image is an item.
            found.append((inside, values) if "/" in item else (f"({inside} OR image.key = ?)", [*values, item]))
        if wanted.folder is not None:
            found.append(_directly_in(folder))
        if under:
            found.append(_below(under))
        name = "image.key" if not self._prefix else f"('{self._prefix.replace("'", "''")}' || image.key)"
        everywhere = [name, *map(_column, columns)]
        found += [holding(term.text, everywhere if term.column is None else [_column(term.column)]) for term in sought]
        return all_of(found)

    def _inside(self, identifier: str) -> str | None:
        """An identifier without the prefix; None where it is of another place, or of none."""
        if not is_text(identifier):
            return None
        if identifier + "/" == self._prefix:
            return ""
        return identifier.removeprefix(self._prefix) if identifier.startswith(self._prefix) else None

    def _total(self, opened: _Opened, asked: Condition) -> int:
        """How many images a condition is true of."""
        where, values = asked
        wanted, totals = (where, *values), opened.totals
        known = totals.get(wanted)
        if known is None:
            with opened.pack.snapshot() as db:
                [(count,)] = _rows(db, f"SELECT count(*) FROM {_FROM} WHERE {where}", values)  # noqa: S608 - quoted identifiers
            if len(totals) >= REMEMBERED:
                totals.clear()
            known = totals[wanted] = int(str(count))
        return known

    def _keys(self, opened: _Opened, asked: Condition, order: str) -> list[str]:
        where, values = asked
        sql = f"SELECT image.key FROM {_FROM} WHERE {where}{order}"  # noqa: S608 - quoted identifiers
        with opened.pack.snapshot() as db:
            return [str(key) for (key,) in _rows(db, sql, values)]

    def _in_order(self, keys: Iterable[str]) -> list[str]:
        return sorted(keys, key=lambda key: (natural(_item(key)), natural(key)))

    def _entries(self, opened: _Opened, keys: Sequence[str]) -> list[Entry]:
        """Images with what is said of them, in the order of the keys; those that are gone are left out."""
        names = opened.names
        # Numbers as they are searched: a value that is shown finds the images that have it.
        own = "".join(f", CAST({_column(name)} AS TEXT)" for name in names)
        sql = f"SELECT image.key{own} FROM {_FROM} WHERE image.key IN (SELECT value FROM json_each(?))"  # noqa: S608 - as above
        with opened.pack.snapshot() as db:
            said = {str(key): values for key, *values in _rows(db, sql, [json.dumps(keys)])}
        return [self._entry(key, _pairs(names, said[key])) for key in keys if key in said]

    def _entry(self, key: str, metadata: Pairs) -> Entry:
        identifier, item = self._prefix + key, self._prefix + _item(key)
        title = None if item == identifier else label(item)
        return Entry(identifier, item, label(identifier), identifier.rpartition("/")[0], title, metadata=metadata)


def _rows(db: apsw.Connection, sql: str, values: Sequence[Value]) -> Sequence[tuple[object, ...]]:
    return db.execute(sql, values).fetchall()


def _pairs(names: Sequence[str], values: Sequence[object]) -> Pairs:
    return tuple((name, str(value)) for name, value in zip(names, values, strict=True) if value not in {None, ""})


def _item(key: str) -> str:
    """The folder of a key, or itself at the top."""
    return key.rpartition("/")[0] or key


def _hidden(key: str) -> bool:
    return key.startswith(".") or "/." in key


def _column(name: str) -> str:
    return f"{ATTRIBUTE}.{quoted(name)}"


def _below(folder: str) -> Condition:
    """That an image lies in a folder or below it: a range of keys. What follows "/" is "0"."""
    return "(image.key >= ? AND image.key < ?)", [f"{folder}/", f"{folder}0"]


def _directly_in(folder: str) -> Condition:
    """That an image lies in a folder itself."""
    if not folder:
        return "instr(image.key, '/') = 0", []
    begin, values = _below(folder)
    return f"({begin} AND instr(substr(image.key, length(?) + 1), '/') = 0)", [*values, f"{folder}/"]
