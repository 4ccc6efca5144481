"""``ziggurat get PACK KEY [OUT]``: one image of a pack, as the file that it was."""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli.packs import PACK, Flag, Reading
from ziggurat.cli.parsing import publish
from ziggurat.errors import UsageError
from ziggurat.pack.pack import Pack
from ziggurat.pack.unpacking import checked
from ziggurat.storage.stored import writing


def get(
    pack: str,
    key: str,
    out: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    overwrite: Flag = False,
    reading: Reading = PACK,
) -> None:
    """Write one image of a pack, byte for byte; its SHA-256 is compared on the way.

    Args:
        pack: path or URL.
        key: of the image.
        out: a path or s3:, gs: or az: URL; "-", or nothing where that is no terminal, is standard output.
        overwrite: replace a file that exists.
        reading: how packs and databases are read.
    """
    if out is None and sys.stdout.isatty():
        raise UsageError("an image is no text for a terminal: give OUT, or send the output elsewhere")
    with reading.open(pack) as opened:
        if out is None or out == "-":
            _copy(opened, key, sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
        else:
            publish(lambda path: _write(opened, key, path), out, overwrite=overwrite)


def _write(pack: Pack, key: str, path: Path) -> None:
    with writing(str(path)), path.open("wb") as file:
        _copy(pack, key, file.write)


def _copy(pack: Pack, key: str, write: Callable[[bytes], object]) -> None:
    with closing(pack.source(key)) as source:
        for piece in checked(source, pack.entry(key).sha256):
            write(piece)
