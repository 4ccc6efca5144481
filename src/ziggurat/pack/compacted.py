"""What a pack that was written anew says of itself, and what it leaves behind."""

import re
from pathlib import Path

import apsw

from ziggurat.pack.connection import number
from ziggurat.pack.packed import BESIDE
from ziggurat.storage.stored import writing

_DIGEST = re.compile(r"[0-9a-f]{64}")


def listed(db: apsw.Connection) -> int:
    """Bytes of all that is not an image's: of a pack just compacted they lie in front of the images."""
    sql = "SELECT pageno FROM dbstat WHERE aggregate = 1 AND name = ?"
    trees = [name for (name,) in db.execute("SELECT name FROM sqlite_schema") if name not in {"coarse", "data"}]
    pages = sum(number(db, sql, (name,)) for name in trees)
    # Its own page and the roots of the two others come first, too.
    return (pages + 3) * number(db, "PRAGMA page_size")


def sweep(db: apsw.Connection, path: Path) -> None:
    """Removes the files beside a pack whose images are no longer in it.

    Raises:
        WriteError: if one cannot be removed.
    """
    folder = Path(f"{path}{BESIDE}")
    left = {file.name: file for file in folder.glob("*/*") if _DIGEST.fullmatch(file.name)}
    if left:
        for (digest,) in db.execute("SELECT sha256 FROM image"):
            left.pop(digest.hex(), None)
    for file in left.values():
        with writing(str(file)):
            file.unlink()
