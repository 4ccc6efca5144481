"""``ziggurat ls PACK``: what is in a pack."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import batched
from typing import Annotated, Final

from cyclopts import Parameter

from ziggurat.cli.packs import PACK, Flag, Reading
from ziggurat.convert.text import amount, size, visible
from ziggurat.model import JSON
from ziggurat.pack.entry import Entry, Kind
from ziggurat.pack.pack import Pack
from ziggurat.storage.names import LONGEST_KEY

AT_ONCE: Final = 1000
"""Lines that are written together."""

_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=bytes.hex)
"""Bytes of somebody's table are shown as hexadecimal."""


def ls(
    pack: str,
    /,
    *,
    where: str | None = None,
    long: Flag = False,
    count: Flag = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    reading: Reading = PACK,
) -> None:
    """List the images of a pack by their keys.

    Args:
        pack: path or URL.
        where: only images that this SQL expression is true of, such as "width > 2000 AND object LIKE 'NGC%'": of
            attributes, key, length, format, height, width, bands and dtype.
        long: show size, form and attributes.
        count: show only how many there are.
        json_: print one JSON object a line.
        reading: how packs and databases are read.
    """
    with reading.open(pack) as opened:
        if count:
            print(len(opened) if where is None else sum(1 for _ in opened.entries(where)))
            return
        for lines in batched(_lines(opened, where, long=long, as_json=json_), AT_ONCE):
            print("\n".join(lines))


def _lines(pack: Pack, where: str | None, *, long: bool, as_json: bool) -> Iterator[str]:
    if as_json:
        return (_JSON.encode(record(entry)) for entry in pack.entries(where))
    if long:
        return map(_long, pack.entries(where))
    if where is not None:
        return (_shown(entry.key) for entry in pack.entries(where))
    return map(_shown, pack.listing())


def _shown(key: str) -> str:
    # Most are, and a million of them are to be there at once.
    return key if key.isprintable() else visible(key, LONGEST_KEY)


def record(entry: Entry) -> dict[str, JSON]:
    """What is known of an image, as plain values."""
    return {
        "key": entry.key,
        "length": entry.length,
        "sha256": entry.sha256.hex() or None,
        "format": entry.kind.format,
        "height": entry.kind.height,
        "width": entry.kind.width,
        "bands": entry.kind.bands,
        "dtype": entry.kind.dtype,
        "attributes": dict(entry.attributes),
    }


def _long(entry: Entry) -> str:
    told = "".join(
        f"  {name}={amount(value) if isinstance(value, float) else _shown(str(value))}"
        for name, value in entry.attributes.items()
        if value is not None
    )
    return f"{size(entry.length):>9}  {_form(entry.kind)} {_shown(entry.key)}{told}"


@lru_cache
def _form(kind: Kind) -> str:
    form = f"{kind.height} x {kind.width} x {kind.bands} {kind.dtype}" if kind.height is not None else "-"
    return f"{kind.format or '-':<6} {form:<26}"
