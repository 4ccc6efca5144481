"""The index of many images' places: SQLite with an R-tree over boxes on the unit sphere."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import batched
from pathlib import Path
from typing import Any, Final, Self

import apsw

from ziggurat.convert.ledger.connection import check_sqlite
from ziggurat.convert.records import naming
from ziggurat.errors import CorruptImage, JobError, ZigguratError
from ziggurat.format.table import FORMATS
from ziggurat.sky.footprint import Footprint
from ziggurat.sky.images import RECORD, SkyImage, find_images
from ziggurat.storage.listing import Listed, list_sources
from ziggurat.storage.resolve import open_source
from ziggurat.storage.urls import absolute, is_index

APPLICATION_ID: Final = 0x5A_47_46_31
"""SQLite's application id of an index: "ZGF1"."""

VERSION: Final = 1
"""``PRAGMA user_version``: raised when a table changes."""

READERS: Final = 16
"""Headers read at once: most of the time of a remote one is waiting."""

BATCH: Final = 512
"""Files of a transaction."""

TABLES: Final = (
    """
    CREATE TABLE files (
      id INTEGER PRIMARY KEY,
      url TEXT NOT NULL UNIQUE,
      size INTEGER NOT NULL,
      tag TEXT NOT NULL,
      problems TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE images (
      id INTEGER PRIMARY KEY,
      file INTEGER NOT NULL REFERENCES files(id),
      hdu INTEGER NOT NULL,
      header INTEGER NOT NULL,
      name TEXT NOT NULL,
      lengths TEXT NOT NULL,
      band TEXT NOT NULL,
      scale_y REAL NOT NULL,
      scale_x REAL NOT NULL,
      cards BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX images_file ON images(file)",
    "CREATE VIRTUAL TABLE places USING rtree(id, x0, x1, y0, y1, z0, z1)",
)

OVERLAPS: Final = "x0 <= ? AND x1 >= ? AND y0 <= ? AND y1 >= ? AND z0 <= ? AND z1 >= ?"
"""What boxes that overlap another one fulfil, by its x1, x0, y1, y0, z1, z0."""

type Box = tuple[float, ...]
"""Least and largest x, then y, then z."""

type Placed = tuple[int, Box]
"""Number and box of an image."""

type Found = tuple[Listed, list[tuple[SkyImage, Footprint]], list[str]]


class Footprints:
    """An open index. One process, one thread.

    Args:
        path: the file, made where there is none; None keeps it in memory.

    Raises:
        DependencyError: if SQLite is too old.
        JobError: if the file is no index.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        check_sqlite("indexes of footprints")
        try:
            self._db = apsw.Connection(":memory:" if path is None else os.fspath(path))
            self._db.pragma("trusted_schema", "OFF")
            blank = not self._db.execute("SELECT count(*) FROM sqlite_schema").get
            if not blank and self._db.pragma("application_id") != APPLICATION_ID:
                raise JobError(f"{path} is no index of footprints; give one that `ziggurat footprints` made")
            if not blank and self._db.pragma("user_version") != VERSION:
                raise JobError(f"{path} is an index of another version; make it again with `ziggurat footprints`")
            if blank:
                with self._transaction():
                    for statement in TABLES:
                        self._db.execute(statement)
                    self._db.pragma("application_id", APPLICATION_ID)
                    self._db.pragma("user_version", VERSION)
        except apsw.Error as error:
            raise JobError(f"the index {path} cannot be opened: {error}") from error

    def _all(self, sql: str, bindings: Sequence[float] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; their types are those of the columns."""
        return self._db.execute(sql, bindings).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except apsw.Error as error:
            raise JobError(f"the index {self.path} cannot be written: {error}") from error

    def update(self, places: Sequence[str], progress: Callable[[int], None] = lambda _: None) -> int:
        """Takes in all FITS files of some places; files that are no longer there are left out.

        Files whose size and tag are as before are not read again.

        Args:
            places: folders, patterns, prefixes and single files.
            progress: called with the number of files looked at so far.

        Returns:
            How many files were read.

        Raises:
            SourceError: if a place cannot be listed.
        """
        known = {url: (size, tag) for url, size, tag in self._all("SELECT url, size, tag FROM files")}
        seen: set[str] = set()
        read = 0
        with ThreadPoolExecutor(READERS) as pool:
            for batch in batched(_listed(places), BATCH):
                seen.update(item.url for item in batch)
                new = [item for item in batch if known.get(item.url) != (item.size, item.tag)]
                with self._transaction():
                    for found in pool.map(_looked_at, new):
                        self._put(*found)
                read += len(new)
                progress(len(seen))
        with self._transaction():
            self._remove(set(known) - seen)
        return read

    def _put(self, item: Listed, images: Iterable[tuple[SkyImage, Footprint]], problems: Sequence[str]) -> None:
        self._remove([item.url])
        self._db.execute(
            "INSERT INTO files (url, size, tag, problems) VALUES (?, ?, ?, ?)",
            (item.url, item.size, item.tag, "\n".join(problems)),
        )
        file = self._db.last_insert_rowid()
        for image, place in images:
            self._db.execute(
                "INSERT INTO images (file, scale_y, scale_x, hdu, header, name, lengths, band, cards)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (file, *place.scale, *image.record()[3:]),
            )
            sides = [edge for pair in zip(place.low, place.high, strict=True) for edge in pair]
            self._db.execute("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?)", (self._db.last_insert_rowid(), *sides))

    def _remove(self, urls: Iterable[str]) -> None:
        named = [(url,) for url in urls]
        self._db.executemany(
            "DELETE FROM places WHERE id IN (SELECT images.id FROM images JOIN files ON file = files.id WHERE url = ?)",
            named,
        )
        self._db.executemany("DELETE FROM images WHERE file IN (SELECT id FROM files WHERE url = ?)", named)
        self._db.executemany("DELETE FROM files WHERE url = ?", named)

    def counts(self) -> tuple[int, int]:
        """How many files and images there are."""
        [(files, images)] = self._all("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM images)")
        return files, images

    def problems(self) -> list[str]:
        """What was left out and why, a line each."""
        rows = self._all("SELECT problems FROM files WHERE problems <> '' ORDER BY id")
        return [line for (text,) in rows for line in text.split("\n")]

    def image(self, number: int) -> tuple[SkyImage, tuple[float, float]]:
        """What is known of an image, and degrees of its pixels along y and x."""
        [(scale_y, scale_x, *record)] = self._all(
            f"SELECT scale_y, scale_x, {RECORD} FROM images JOIN files ON file = files.id WHERE images.id = ?",  # noqa: S608 - our own columns
            (number,),
        )
        return SkyImage.from_record(record), (scale_y, scale_x)

    def groups(self) -> Iterator[list[Placed]]:
        """Images that hang together: whose boxes overlap, or are joined by those of others.

        Each image is taken out of a copy of the R-tree when it is found, so that many on one place cost no more than
        as many apart.
        """
        self._db.pragma("temp_store", "MEMORY")
        self._db.execute("DROP TABLE IF EXISTS temp.unseen")
        self._db.execute("CREATE VIRTUAL TABLE temp.unseen USING rtree(id, x0, x1, y0, y1, z0, z1)")
        self._db.execute("INSERT INTO temp.unseen SELECT id, x0, x1, y0, y1, z0, z1 FROM main.places")
        for first in self._all("SELECT id, x0, x1, y0, y1, z0, z1 FROM temp.unseen ORDER BY id"):
            group: list[Placed] = []
            reached = [first]
            while reached:
                _, x0, x1, y0, y1, z0, z1 = reached.pop()
                sql = f"SELECT * FROM temp.unseen WHERE {OVERLAPS}"  # noqa: S608 - our own condition
                near = self._all(sql, (x1, x0, y1, y0, z1, z0))
                self._db.executemany("DELETE FROM temp.unseen WHERE id = ?", [(row[0],) for row in near])
                reached += near
                group += [(row[0], tuple(row[1:])) for row in near]
            if group:
                yield sorted(group)
        self._db.execute("DROP TABLE temp.unseen")

    def kinds(self) -> dict[int, tuple[str, float]]:
        """Of all images what their headers say of the filter, and degrees of the smaller side of their pixels."""
        rows = self._all("SELECT id, band, scale_y, scale_x FROM images")
        return {number: (band, min(abs(y), abs(x))) for number, band, y, x in rows}

    def coarsest(self) -> float:
        """Degrees of the largest pixel of all images."""
        [(found,)] = self._all("SELECT max(max(scale_y, scale_x)) FROM images")
        return float(found or 0.0)

    def near(self, place: Sequence[float], reach: float) -> list[int]:
        """Numbers of the images whose boxes come near a place.

        Args:
            place: unit vector x, y, z in ICRS.
            reach: length of a chord of the unit sphere.
        """
        x, y, z = place
        rows = self._all(
            f"SELECT id FROM places WHERE {OVERLAPS} ORDER BY id",  # noqa: S608 - our own condition
            (x + reach, x - reach, y + reach, y - reach, z + reach, z - reach),
        )
        return [number for (number,) in rows]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _listed(places: Sequence[str]) -> Iterator[Listed]:
    seen: set[str] = set()
    for place in places:
        for item in list_sources(absolute(place), FORMATS["fits"].suffixes):
            if item.url not in seen:
                seen.add(item.url)
                yield item


def _looked_at(item: Listed) -> Found:
    """The images of a file; one that cannot be read is a problem and no error."""
    images: list[tuple[SkyImage, Footprint]] = []
    problems: list[str] = []
    try:
        with closing(open_source(item.url)) as source:
            for found in find_images(source):
                if isinstance(found, str):
                    problems.append(found)
                else:
                    images.append(found)
    except ZigguratError as error:
        problems.append(naming(item.url, str(error)))
    return item, images, [" ".join(problem.split()) for problem in problems]


def open_footprints(places: Sequence[str], progress: Callable[[int], None] = lambda _: None) -> Footprints:
    """The index that is given, or one in memory of the files that are.

    Args:
        places: one index, or folders, patterns, prefixes and single files.
        progress: called with the number of files looked at so far.

    Raises:
        JobError: if the index is none.
        CorruptImage: if no image of the files has a place on the sky.
        SourceError: if a place cannot be listed.
    """
    if len(places) == 1 and is_index(places[0]):
        path = Path(places[0])
        if not path.is_file():
            raise JobError(f"there is no index {path}; make it with `ziggurat footprints`")
        return Footprints(path)
    found = Footprints()
    found.update(places, progress)
    files, images = found.counts()
    if not images:
        problems = found.problems()
        found.close()
        said = f": {problems[0]}" if problems else ""
        raise CorruptImage(f"no image with a place on the sky is in {', '.join(places)} ({files} files){said}")
    return found
