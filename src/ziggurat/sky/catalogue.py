"""Targets from a table: CSV, or a FITS table."""

import csv
import hashlib
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Final

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits

from ziggurat.convert.manifest import FIELD_LIMIT, MAX_COLUMNS
from ziggurat.errors import UsageError, ZigguratError
from ziggurat.format.fits.quiet import quiet
from ziggurat.format.foreign import foreign_errors
from ziggurat.sky.angles import FRAMES, parse_position

ROLES: Final = ("ra", "dec", "name")
"""What a catalogue's column can be."""

USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "ra": ("ra", "raj2000", "ra_icrs", "_ra", "ra_deg", "alpha_j2000", "l", "glon"),
    "dec": ("dec", "dej2000", "decj2000", "de_icrs", "_de", "dec_deg", "delta_j2000", "b", "glat"),
    "name": ("name", "id", "objid", "source_id", "designation", "main_id"),
}
"""Columns that are taken where none is named, whatever their case; the first one that is there."""

CHUNK: Final = 4096
"""Rows that are looked at together."""

SUFFIXES: Final = (".fits", ".fit", ".fts")


@dataclass(frozen=True, slots=True)
class Target:
    """One row of a catalogue.

    Attributes:
        row: its number, from 1.
        name: what it calls itself, or empty.
        ra: degrees, ICRS; NaN where there is a problem.
        dec: degrees, ICRS.
        columns: the catalogue's own columns as text, in their order.
        problem: why it has no position, or None.
    """

    row: int
    name: str
    ra: float
    dec: float
    columns: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A table and what its columns are.

    Attributes:
        path: the file.
        header: names of its columns.
        roles: role to column, for those that are filled: at least ra and dec.
        frame: of the positions, a name of ``FRAMES``.
        sha256: digest of the file.
    """

    path: Path
    header: tuple[str, ...]
    roles: Mapping[str, str]
    frame: str
    sha256: str

    def targets(self) -> Iterator[tuple[Target, ...]]:
        """All rows in order, some thousand at a time.

        Raises:
            CorruptImage: if a FITS table does not decode.
            UsageError: if a CSV file does not.
        """
        read = _fits_rows if self.path.suffix.lower() in SUFFIXES else _csv_rows
        number = 0
        with closing(read(self)) as rows:
            for batch in batched(rows, CHUNK):  # the last one is shorter
                yield _located(self, batch, number)
                number += len(batch)


type Cells = tuple[str, ...]


def open_catalogue(path: Path, columns: Mapping[str, str], frame: str = "icrs") -> Catalogue:
    """Reads a catalogue's header and settles what its columns mean.

    Args:
        path: a CSV file with a header, or a FITS file whose first table is taken.
        columns: role to column name; roles that it does not name take a usual column.
        frame: of the positions.

    Raises:
        UsageError: if the file is no such table, or has no positions.
    """
    if frame.lower() not in FRAMES:
        raise UsageError(f"--frame {frame!r} is not one of {', '.join(FRAMES)}")
    try:
        with path.open("rb") as raw:
            sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        header = _fits_header(path) if path.suffix.lower() in SUFFIXES else _csv_header(path)
    except OSError as error:
        raise UsageError(f"the catalogue {path} cannot be read: {error.strerror or error}") from error
    folded = [name.casefold() for name in header]
    if not 1 < len(header) <= MAX_COLUMNS or len(set(folded)) < len(folded) or not all(header):
        raise UsageError(f"the catalogue {path} needs 2 to {MAX_COLUMNS} columns with names that differ")
    if "images_id" in folded:
        raise UsageError(f"the catalogue {path} has a column images_id, which the ledger needs; rename it")
    roles = dict(columns)
    for role, usual in USUAL.items():
        found = next((header[folded.index(name)] for name in usual if name in folded), None)
        if role not in roles and found is not None:
            roles[role] = found
    missing = [column for column in roles.values() if column not in header]
    if missing or not {"ra", "dec"} <= set(roles):
        lacks = f"has no column {missing[0]!r}" if missing else "has no columns that are known for positions"
        raise UsageError(
            f"the catalogue {path} {lacks}; say which they are with --columns ra=NAME,dec=NAME (columns: "
            f"{', '.join(header[:50])})"
        )
    return Catalogue(path, header, roles, frame.lower(), sha256)


def _csv_header(path: Path) -> Cells:
    try:
        with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            return tuple(name.strip() for name in next(csv.reader(file), ()))
    except csv.Error as error:
        raise UsageError(f"the catalogue {path} is not CSV: {error}") from error


def _csv_rows(catalogue: Catalogue) -> Generator[Cells]:
    csv.field_size_limit(FIELD_LIMIT)
    with catalogue.path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        lines = csv.reader(file, strict=True)
        next(lines)
        try:
            for values in lines:
                if values:
                    yield tuple(values)
        except csv.Error as error:
            raise UsageError(f"line {lines.line_num} of {catalogue.path}: {error}; mend it and try again") from error


def _table(file: fits.HDUList, path: Path) -> fits.BinTableHDU:
    for hdu in file:
        if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not isinstance(hdu, fits.CompImageHDU):
            return hdu
    raise UsageError(f"the catalogue {path} holds no table")


def _fits_header(path: Path) -> Cells:
    with foreign_errors(str(path)), quiet(), fits.open(path, memmap=True) as file:
        return tuple(str(name) for name in _table(file, path).columns.names)


def _fits_rows(catalogue: Catalogue) -> Generator[Cells]:
    """Rows as text; positions in degrees by the unit of their column (TUNITn)."""
    with foreign_errors(str(catalogue.path)), quiet(), fits.open(catalogue.path, memmap=True) as file:
        table = _table(file, catalogue.path)
        factors = {
            catalogue.header.index(catalogue.roles[role]): _degrees(table.columns[catalogue.roles[role]].unit)
            for role in ("ra", "dec")
        }
        for first in range(0, len(table.data), CHUNK):
            part = table.data[first : first + CHUNK]
            columns = [_texts(part[name], factors.get(index)) for index, name in enumerate(catalogue.header)]
            yield from zip(*columns, strict=True)


def _degrees(unit: str | None) -> float:
    """Degrees of a column's unit; of none, and of one that is no angle's, 1."""
    if not unit:
        return 1.0
    if unit.strip().lower() in {"h", "hr", "hour", "hours", "hourangle"}:
        return 15.0
    try:
        return float(units.Unit(unit).to(units.deg))
    except (ValueError, TypeError, units.UnitConversionError):
        return 1.0


def _texts(column: "np.ndarray", factor: float | None) -> list[str]:
    values = np.asarray(column)
    if factor is not None and values.dtype.kind in "iuf" and values.ndim == 1:
        return [repr(value) for value in (values.astype(np.float64) * factor).tolist()]
    return [str(value).strip() for value in values.tolist()]


def _located(catalogue: Catalogue, rows: tuple[Cells, ...], before: int) -> tuple[Target, ...]:
    """Rows with their positions in ICRS, those that are plain degrees all at once."""
    at = {role: catalogue.header.index(column) for role, column in catalogue.roles.items()}
    plain: list[tuple[int, float, float]] = []
    found: list[Target] = []
    for index, cells in enumerate(rows):
        place = before + index + 1
        shown = (*cells, *[""] * len(catalogue.header))[: len(catalogue.header)]
        name = shown[at["name"]].strip() if "name" in at else ""
        if len(cells) != len(catalogue.header):
            problem = f"row {place} of {catalogue.path} has {len(cells)} fields, the header has {len(catalogue.header)}"
            found.append(Target(place, name, math.nan, math.nan, shown, problem))
            continue
        longitude, latitude = shown[at["ra"]].strip(), shown[at["dec"]].strip()
        try:
            numbers = float(longitude), float(latitude)
        except ValueError:
            found.append(_sexagesimal(catalogue, Target(place, name, math.nan, math.nan, shown), longitude, latitude))
            continue
        if all(map(math.isfinite, numbers)) and abs(numbers[1]) <= 90:  # noqa: PLR2004 - the poles
            plain.append((index, *numbers))
            found.append(Target(place, name, *numbers, shown))
        else:
            problem = f"row {place} of {catalogue.path}: {longitude!r:.60} {latitude!r:.60} is no position"
            found.append(Target(place, name, math.nan, math.nan, shown, problem))
    if plain:
        indexes, longitudes, latitudes = (list(values) for values in zip(*plain, strict=True))
        placed = SkyCoord(longitudes, latitudes, unit="deg", frame=FRAMES[catalogue.frame]).icrs
        for index, ra, dec in zip(indexes, placed.ra.deg.tolist(), placed.dec.deg.tolist(), strict=True):
            one = found[index]
            found[index] = Target(one.row, one.name, ra, dec, one.columns)
    return tuple(found)


def _sexagesimal(catalogue: Catalogue, target: Target, longitude: str, latitude: str) -> Target:
    try:
        place = parse_position(longitude, latitude, catalogue.frame)
    except ZigguratError as error:
        problem = f"row {target.row} of {catalogue.path}: {error}"
        return Target(target.row, target.name, math.nan, math.nan, target.columns, problem)
    return Target(target.row, target.name, float(place.ra.deg), float(place.dec.deg), target.columns)
