"""Images that a table names: the ledger of a job, or a manifest, which is put into a ledger of its own to be searched.

Of a job, ``output/TARGET`` is an output and ``source/ROW/NAME`` a source. Of a manifest, an image is called by its
source, without the manifest's folder; where that would show the signature of an address, it is ``row/ROW/NAME``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Final

from ziggurat.convert.ledger.file import quoted
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.ledger.view import Value, View
from ziggurat.convert.report.places import Places
from ziggurat.errors import JobError
from ziggurat.model import JSON
from ziggurat.serve.conditions import (
    OUTPUT_PATH,
    SHOWN_SOURCE,
    Condition,
    all_of,
    beginning,
    below,
    directly_in,
    folders_below,
    holding,
    one_of,
    source_path,
    source_without,
)
from ziggurat.serve.found import Found, is_text, named
from ziggurat.serve.items import EVERYTHING, Entry, Hits, Item, Page, Pairs, Place, Wanted, item_of, label
from ziggurat.serve.words import Term
from ziggurat.storage.order import natural

SHOWN: Final[Mapping[str, tuple[State, ...]]] = {
    "done": (State.DONE,),
    "failed": UNSUCCESSFUL,
    "pending": (State.PLANNED,),
    "running": (State.RUNNING, State.COMMITTING),
    "skipped": (State.SKIPPED,),
}
"""What clients are told, and the ledger's states behind it; each state once."""

UNSAID: Final = ("source", "checksum")
"""Roles of columns that are no metadata: a source may hold a signature."""

REMEMBERED: Final = 50_000
"""Places of images that are kept: a viewer asks for many tiles of one."""

_ROW: Final = re.compile(r"(source|row)/(\d{1,15})/(.+)", re.ASCII | re.DOTALL)

_COLUMNS: Final = "i.id, i.source, i.item, i.target, i.state, i.psnr, i.ssimulacra2"


def read_twice[**Asked, Told](method: Callable[Asked, Told]) -> Callable[Asked, Told]:
    """Reads a ledger once more where that fails.

    One that nobody works on is read as it lies; a job that goes on meanwhile changes it under the reader, who sees that
    the second time.
    """

    @wraps(method)
    def reading(*arguments: Asked.args, **named: Asked.kwargs) -> Told:
        try:
            return method(*arguments, **named)
        except JobError:
            return method(*arguments, **named)

    return reading


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    source: str
    item: str | None
    target: str | None
    state: str
    psnr: float | None
    ssimulacra2: float | None
    columns: Pairs


class Table:
    """The images of one ledger.

    Args:
        ledger: gives its file, which may become another one.
        base: of a manifest, the folder in which its relative sources lie; None of a job.
        prefix: what all identifiers begin with.
    """

    def __init__(self, ledger: Callable[[], Path], base: str | None, prefix: str = "") -> None:
        self._ledger = ledger
        self._base = base
        self._prefix = prefix
        self._known: dict[str, str] = {}
        self._seen: Path | None = None
        self._roles: tuple[Path, Mapping[str, str]] | None = None
        self._places: Places | None = None

    @property
    def is_job(self) -> bool:
        """Whether its images have outputs."""
        return self._base is None

    @property
    def _there(self) -> str:
        """Which rows are shown: a manifest's that name an image, a job's that were not left out."""
        return "i.state <> 'skipped' AND i.source <> ''" if self.is_job else "i.state <> 'refused'"

    def find(self, below: str) -> Found | None:
        """The image of an identifier without its prefix."""
        ledger = self._ledger()
        if len(self._known) >= REMEMBERED or ledger != self._seen:
            self._known.clear()
            self._seen = ledger
        url = self._known.get(below) or self._url(below)
        if url is None:
            return None
        self._known[below] = url
        return named(url, self._prefix + below)

    @read_twice
    def _url(self, below: str) -> str | None:
        with View(self._ledger()) as view:
            if found := _ROW.fullmatch(below):
                rows = view.query("SELECT source FROM images WHERE id = ?", (int(found[2]),))
                if rows and self.source_id(int(found[2]), str(rows[0][0])) == self._prefix + below:
                    return str(rows[0][0]) or None
            if not self.is_job:
                return self._own_source(view, below)
            target = below.removeprefix("output/")
            if target == below:
                return None
            # Only what was put in its place by the job; the words are those of the index on targets.
            rows = view.query(
                "SELECT 1 FROM images WHERE target = ? AND target IS NOT NULL AND state <> 'refused'"
                " AND output_sha256 IS NOT NULL",
                (target,),
            )
            return self._at(view).output(target) if rows else None

    def _own_source(self, view: View, below: str) -> str | None:
        for source in (f"{self._base}/{below}", below):
            rows = view.query("SELECT source FROM images WHERE source = ? AND state <> 'refused' LIMIT 1", (source,))
            if rows and _is_shown(source):
                return source
        return None

    def _at(self, view: View) -> Places:
        if self._places is None:
            self._places = Places(view.facts(), view.path)
        return self._places

    # -- what there is ----------------------------------------------------------------------------------------

    @read_twice
    def contents(self, limit: int) -> tuple[dict[str, tuple[str, ...]], dict[str, str], bool]:
        """Items and their images in the table's order, their labels, and whether there was room for all."""
        items: dict[str, list[_Row]] = {}
        complete = True
        with View(self._ledger()) as view:
            roles = self.roles(view)
            wanted = list(dict.fromkeys(roles[role] for role in ("title", "page") if role in roles))
            for number, row in enumerate(_rows(view, wanted, self._there, "", (limit + 1,))):
                if number == limit:
                    complete = False
                    break
                identifier = self.identifier(row)
                item = identifier if row.item is None else self._prefix + row.item
                items.setdefault(item, []).append(row)
        first = {item: rows[0] for item, rows in items.items()}
        labels = {item: text for item, row in first.items() if (text := _said(row, roles, "title") or row.item)}
        ordered = {item: tuple(map(self.identifier, _in_order(rows, roles))) for item, rows in items.items()}
        return ordered, labels, complete

    @read_twice
    def item(self, identifier: str) -> Item | None:
        """An item with all that the table says of it; None if there is none of this identifier."""
        if not identifier.startswith(self._prefix) or not is_text(identifier):
            return None
        below = identifier.removeprefix(self._prefix)
        with View(self._ledger()) as view:
            roles = self.roles(view)
            columns = view.manifest_columns()
            rows = list(_rows(view, columns, f"i.item = ? AND {self._there}", "", (below, -1)))
            alone = None if rows else self._row_of(view, below, columns)
        if alone is not None:
            name = _said(alone, roles, "title") or _said(alone, roles, "name") or label(identifier)
            return item_of(identifier, name, [_page(alone, identifier, roles)])
        if not rows:
            return None
        pages = [_page(row, self.identifier(row), roles) for row in _in_order(rows, roles)]
        return item_of(identifier, _said(rows[0], roles, "title") or below, pages)

    def _row_of(self, view: View, below: str, columns: Sequence[str]) -> _Row | None:
        """The row of one image."""
        if found := _ROW.fullmatch(below):
            where, value = "i.id = ?", str(int(found[2]))
        elif self.is_job:
            where, value = (
                "i.target = ? AND i.target IS NOT NULL AND i.state <> 'refused'",
                below.removeprefix("output/"),
            )
        else:
            source = self._own_source(view, below)
            if source is None:
                return None
            where, value = "i.source = ?", source
        row = next(_rows(view, columns, where, "", (value, 1)), None)
        sides = () if row is None else (self.identifier(row), self.source_id(row.id, row.source))
        return row if self._prefix + below in sides else None

    @read_twice
    def columns(self) -> tuple[str, ...]:
        """The columns that can be searched."""
        with View(self._ledger()) as view:
            return self._searched(view)

    def _searched(self, view: View) -> tuple[str, ...]:
        hidden = {self.roles(view).get(role) for role in UNSAID}
        return tuple(name for name in view.manifest_columns() if name not in hidden)

    @read_twice
    def search(self, wanted: Wanted, sought: Sequence[Term], part: tuple[int, int]) -> Hits:
        """Images that are looked for: those of an item in the order of its pages, others in that of the rows.

        Args:
            wanted: which ones.
            sought: the terms of its query.
            part: offset and number of those that are told.
        """
        with View(self._ledger()) as view:
            asked = self._asked(view, wanted, sought)
            if asked is None:
                return Hits(0, ())
            roles, columns = self.roles(view), view.manifest_columns()
            where, values = asked
            ((total,),) = view.query(f"SELECT count(*) FROM {_FROM} WHERE {where}", values)  # noqa: S608 - quoted identifiers
            offset, limit = part
            if limit <= 0:
                rows = []
            elif wanted.item is None:
                rows = list(_rows(view, columns, where, f" OFFSET {offset:d}", (*values, limit)))
            else:
                rows = _in_order(_rows(view, columns, where, "", (*values, -1)), roles)[offset : offset + limit]
        return Hits(int(total or 0), tuple(self._entry(row, roles) for row in rows))

    def _asked(self, view: View, wanted: Wanted, sought: Sequence[Term]) -> Condition | None:
        """What is asked of rows; None where none can be meant."""
        names = (wanted.under, wanted.item or "", wanted.folder or "")
        under, item, folder = (self._inside(name) if name else "" for name in names)
        columns = self._searched(view)
        if (
            under is None
            or item is None
            or folder is None
            or (wanted.state is not None and not self.is_job)
            or not all(map(is_text, (wanted.state or "", *names, *(term.text for term in sought))))
            or any(term.column is not None and term.column not in columns for term in sought)
        ):
            return None
        state = wanted.state
        found: list[Condition] = [(self._there, []) if state is None else one_of("i.state", SHOWN.get(state, (state,)))]
        if wanted.item is not None:
            found.append(("i.item = ?", [item]))
        if wanted.folder is not None:
            found.append(directly_in(self._path, folder))
        if under:
            found.append(below(self._path, under))
        source = SHOWN_SOURCE if self._base is None else source_without(self._base)
        everywhere = ["i.target", "i.item", *(f"m.{quoted(name)}" for name in columns), source]
        found += [
            holding(term.text, everywhere if term.column is None else [f"m.{quoted(term.column)}"]) for term in sought
        ]
        return all_of(found)

    def _inside(self, identifier: str) -> str | None:
        """An identifier of an item or a folder without the prefix; None where it is of another place."""
        if identifier + "/" == self._prefix:
            return ""
        return identifier.removeprefix(self._prefix) if identifier.startswith(self._prefix) else None

    @property
    def _path(self) -> str:
        """What folders are of, in SQL."""
        return OUTPUT_PATH if self._base is None else source_path(self._base)

    @read_twice
    def folders(self, under: str) -> list[tuple[str, int]]:
        """The folders directly below one, and how many images lie below each."""
        if self._prefix and not under:
            return [(self._prefix.rstrip("/"), self.search(EVERYTHING, (), (0, 0)).total)]
        folder = self._inside(under)
        if folder is None or not is_text(folder):
            return []
        with View(self._ledger()) as view:
            counted = view.query(*folders_below(self._path, folder, self._there))
        above = self._prefix + beginning(folder)
        return sorted(((f"{above}{name}", int(count or 0)) for name, count in counted), key=lambda one: natural(one[0]))

    @read_twice
    def place(self, identifier: str) -> Place | None:
        """Where an image stands in its item, or in its folder where it has none; None if there is no such image."""
        if not identifier.startswith(self._prefix) or not is_text(identifier):
            return None
        with View(self._ledger()) as view:
            roles, columns = self.roles(view), view.manifest_columns()
            row = self._row_of(view, identifier.removeprefix(self._prefix), columns)
            if row is None:
                return None
            entry = self._entry(row, roles)
            beside = Wanted(folder=entry.folder) if row.item is None else Wanted(item=entry.item)
            where, values = self._asked(view, beside, ()) or ("0", [])
            wanted = [roles["page"]] if "page" in roles else []
            rows = _in_order(_rows(view, wanted, where, "", (*values, -1)), roles if row.item else {})
        index = next((number for number, one in enumerate(rows) if one.id == row.id), None)
        return Place(entry.item, entry.title, beside, index, len(rows))

    @read_twice
    def entry(self, identifier: str) -> Entry | None:
        """What is said of one image; None if there is none of this identifier."""
        if not identifier.startswith(self._prefix) or not is_text(identifier):
            return None
        with View(self._ledger()) as view:
            row = self._row_of(view, identifier.removeprefix(self._prefix), view.manifest_columns())
            found = None if row is None else self._entry(row, self.roles(view))
        if found is None or found.id == identifier:
            return found
        # A source is meant that has an output.
        return replace(found, id=identifier, counterpart=found.id, side="source")

    def _entry(self, row: _Row, roles: Mapping[str, str]) -> Entry:
        identifier, source = self.identifier(row), self.source_id(row.id, row.source)
        path = row.target or "" if self.is_job else _without_scheme(identifier.removeprefix(self._prefix))
        return Entry(
            identifier,
            identifier if row.item is None else self._prefix + row.item,
            _said(row, roles, "name") or label(identifier),
            (self._prefix + path).rpartition("/")[0],
            title=None if row.item is None else _said(row, roles, "title") or row.item,
            side=None if not self.is_job else "source" if source == identifier else "output",
            state=row.state if self.is_job else None,
            counterpart=source if source != identifier else None,
            metadata=_metadata(row, roles),
            psnr=row.psnr,
            ssimulacra2=row.ssimulacra2,
        )

    # -- names ------------------------------------------------------------------------------------------------

    def identifier(self, row: _Row) -> str:
        """What an image is called: its output where there is one."""
        if row.state == State.DONE and row.target is not None:
            return self.output_id(row.target)
        return self.source_id(row.id, row.source)

    def output_id(self, target: str) -> str:
        """The identifier of an output."""
        return f"{self._prefix}output/{target}"

    def source_id(self, image: int, source: str) -> str:
        """The identifier of a source."""
        if self.is_job:
            return f"{self._prefix}source/{image}/{_name(source)}"
        if not _is_shown(source):
            return f"{self._prefix}row/{image}/{_name(source)}"
        return self._prefix + source.removeprefix(f"{self._base}/")

    def roles(self, view: View) -> Mapping[str, str]:
        """What the manifest's columns are: role to column."""
        if self._roles is None or self._roles[0] != view.path:
            options = view.facts().get("options")
            said = options.get("columns") if isinstance(options, Mapping) else None
            self._roles = view.path, _roles(said, view.manifest_columns())
        return self._roles[1]


_FROM: Final = "images AS i LEFT JOIN manifest AS m ON m.images_id = i.id"

ROLES: Final = ("source", "item", "name", "group", "checksum", "title", "page", "section")
"""What a column can be to a server: beyond those of a job, the item's title, its pages' order and its parts."""


def _roles(said: JSON, columns: Sequence[str]) -> Mapping[str, str]:
    """The roles that were given; a column without one takes that of its own name."""
    more = {str(role): str(name) for role, name in said.items()} if isinstance(said, Mapping) else {}
    given = {role: name for role, name in more.items() if name in columns}
    return {role: role for role in ROLES if role in columns and role not in given.values()} | given


def _rows(view: View, columns: Sequence[str], where: str, more: str, values: Sequence[Value]) -> Iterator[_Row]:
    """Rows in the table's order; the last of the values is how many at most."""
    own = "".join(f", m.{quoted(name)}" for name in columns)
    sql = f"SELECT {_COLUMNS}{own} FROM {_FROM} WHERE {where} ORDER BY i.id LIMIT ?{more}"  # noqa: S608 - quoted identifiers
    for image, source, item, target, state, psnr, score, *said in view.stream(sql, values):
        pairs = tuple((name, str(value)) for name, value in zip(columns, said, strict=True) if value not in {None, ""})
        shown = None if item is None else str(item), None if target is None else str(target)
        yield _Row(int(image or 0), str(source), *shown, str(state), _real(psnr), _real(score), pairs)


def _page(row: _Row, identifier: str, roles: Mapping[str, str]) -> Page:
    return Page(identifier, _said(row, roles, "name"), _metadata(row, roles), _said(row, roles, "section"))


def _real(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _in_order(rows: Iterable[_Row], roles: Mapping[str, str]) -> list[_Row]:
    """The rows of an item in the order of its pages."""
    if "page" not in roles:
        return list(rows)
    return sorted(rows, key=lambda row: natural(_said(row, roles, "page") or ""))


def _said(row: _Row, roles: Mapping[str, str], role: str) -> str | None:
    column = roles.get(role)
    return next((value for name, value in row.columns if name == column), None)


def _metadata(row: _Row, roles: Mapping[str, str]) -> Pairs:
    hidden = {roles.get(role) for role in UNSAID}
    return tuple(pair for pair in row.columns if pair[0] not in hidden)


def _without_scheme(source: str) -> str:
    return source.partition("://")[2] or source


def _is_shown(source: str) -> bool:
    """Whether a source may be read in an identifier: the query of an address may hold a signature."""
    return not (source.startswith(("http:", "https:")) and "?" in source)


def shown_source(source: str) -> str:
    """A source as everybody may see it."""
    return source if _is_shown(source) else source.partition("?")[0]


def _name(source: str) -> str:
    """The last part of a source's path."""
    path = shown_source(source)
    return path.rstrip("/").rpartition("/")[2] or "image"
