"""``ziggurat export PACK OUT --to webdataset|folder|parquet-index``: a pack for others."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK
from ziggurat.cli.packs import PACK, TOLD, Flag, Reading, Telling, rated
from ziggurat.cli.parsing import publish
from ziggurat.convert.text import plural
from ziggurat.pack.exporting import Shards, export_webdataset, write_attributes, write_index
from ziggurat.pack.numbered import Numbered
from ziggurat.pack.unpacking import unpack_images
from ziggurat.storage.amounts import parse_bytes


@Parameter(name="*")
@dataclass(frozen=True)
class Choice:
    """Which images are written, and how.

    Attributes:
        where: only images that this SQL expression is true of.
        max_size: of a tar file, such as 1G, which it is unless given; a larger image has one of its own.
        overwrite: replace files that exist.
    """

    where: str | None = None
    max_size: str = "1G"
    overwrite: Flag = False


ALL: Final = Choice()
"""Every image; nothing is replaced."""


def export(
    pack: str,
    out: str,
    /,
    *,
    to: Literal["webdataset", "folder", "parquet-index"],
    choice: Choice = ALL,
    reading: Reading = PACK,
    telling: Telling = TOLD,
) -> int:
    """Write a pack for others to read.

    webdataset: tar files, OUT-000000.tar and so on, in the order of the images; attributes are a .json beside each.
    folder: the images as files, and their attributes in OUT.csv. parquet-index: one row an image, without its bytes.

    Args:
        pack: path or URL.
        out: path or s3:, gs: or az: URL. "train-{0000}.tar" says where the number of a tar file goes.
        to: what to write.
        choice: which images, and how much at a time.
        reading: how packs and databases are read.
        telling: how the command says what it does.
    """
    began = time.monotonic()
    with reading.open(pack) as opened, telling.progress() as tell:
        if to == "parquet-index":
            rows = _published(partial(write_index, opened), out, choice)
            print(f"{out}: {plural(rows, 'row', 'rows')}")
            return EXIT_OK
        if to == "folder":
            outcome = unpack_images(opened, out, where=choice.where, overwrite=choice.overwrite, progress=tell)
            if opened.columns:
                _published(partial(write_attributes, opened), f"{out.rstrip('/')}.csv", choice)
        else:
            put = partial(publish, overwrite=choice.overwrite)
            shards = Shards(Numbered(out, ".tar", digits=6), put, parse_bytes(choice.max_size), choice.where)
            outcome = export_webdataset(opened, shards, tell)
    code = telling.conclude(outcome)
    print(rated(outcome, time.monotonic() - began))
    return code


def _published(write: Callable[[Path, str | None], int], out: str, choice: Choice) -> int:
    rows = 0

    def written(path: Path) -> None:
        nonlocal rows
        rows = write(path, choice.where)

    publish(written, out, overwrite=choice.overwrite)
    return rows
