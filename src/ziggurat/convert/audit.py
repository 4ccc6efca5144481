"""Reading a job's outputs again, months later if need be, and comparing them with the ledger."""

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

from ziggurat.convert.ledger.connection import open_reader
from ziggurat.convert.ledger.schema import CONVERSION, Schema
from ziggurat.errors import SourceNotFound, UsageError, ZigguratError
from ziggurat.storage.destination import Destination, open_destination

AT_ONCE = 4
"""Outputs that are read side by side; hashing leaves Python's lock."""

BATCH = 256
"""Rows whose outcome is told together, so that a million of them do not wait in memory."""


@dataclass(frozen=True, slots=True)
class Subset:
    """Every ``of``-th output, beginning with the ``part``-th: 1/5, 2/5 ... read the whole once in five goes."""

    part: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Subset":
        """Reads ``1/5``.

        Raises:
            UsageError: if it is not two numbers of which the first is from 1 to the second.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--subset {text!r} is not K/N with K from 1 to N, such as 1/5")
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one output.

    Attributes:
        row: what the ledger's rows are of, in the singular.
        number: of the row.
        target: key below the destination.
        problem: None if its bytes are those that the ledger records.
    """

    row: str
    number: int
    target: str
    problem: str | None


def audit(path: Path, subset: Subset, schemas: Sequence[Schema] = (CONVERSION,)) -> Iterator[Finding]:
    """Reads the outputs of a job again, in the ledger's order, and compares size and SHA-256.

    Args:
        path: of the ledger.
        subset: which of them.
        schemas: the kinds that it may be of.

    Raises:
        JobError: if the file is no ledger.
        UsageError: if its destination cannot be opened.
    """
    ledger, schema = open_reader(path, schemas)
    try:
        [(place,)] = ledger.execute("SELECT value FROM job WHERE key = 'destination'").fetchall()
        destination = open_destination(json.loads(str(place)), scratch=path.with_name(path.name + ".scratch"))
        rows = ledger.execute(
            "SELECT id, target, output_size, output_sha256 FROM images WHERE state = 'done' AND id % ? = ? ORDER BY id",
            (subset.of, subset.part % subset.of),
        )

        def check(row: tuple[object, ...]) -> Finding:
            number, target, size, sha256 = row
            return Finding(schema.row, int(str(number)), str(target), _problem(destination, str(target), size, sha256))

        with ThreadPoolExecutor(AT_ONCE) as threads:
            for batch in batched(rows, BATCH):
                yield from threads.map(check, batch)
    finally:
        ledger.close()


def _problem(destination: Destination, target: str, size: object, sha256: object) -> str | None:
    try:
        found, length = destination.digest(target)
    except SourceNotFound:
        return "it is gone"
    except ZigguratError as error:
        return str(error)
    if length != size:
        return f"it has {length} bytes, the ledger says {size}"
    if found != sha256:
        return f"its SHA-256 is {found}, the ledger says {sha256}"
    return None
