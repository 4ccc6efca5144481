"""The meta box of image files (ISO/IEC 14496-12 8.11, 23008-12 6 and 9): items, where they lie, their properties."""

from dataclasses import dataclass, field

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.bmff import Box, boxes
from ziggurat.format.whole import Header

MAX_ITEMS = 5_000
"""Items looked at: a grid has one for every tile."""

MAX_EXTENTS = 64
"""Pieces of one item."""


@dataclass(slots=True)
class Item:
    """One item.

    Attributes:
        number: its identifier.
        kind: four characters: av01, grid, Exif, mime.
        content_type: of a mime item.
        extents: start and length of its pieces in the file; empty where they lie elsewhere.
        properties: kind and contents, in order.
    """

    number: int
    kind: bytes = b""
    content_type: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)

    def values(self, kind: bytes) -> list[bytes]:
        """Contents of its properties of a kind."""
        return [body for name, body in self.properties if name == kind]


@dataclass(frozen=True, slots=True)
class ItemGraph:
    """The items of a file.

    Attributes:
        primary: the one that is shown.
        items: all, by number.
        links: numbers that an item refers to, by the kind of reference and its own number.
    """

    primary: Item
    items: dict[int, Item]
    links: dict[tuple[bytes, int], list[int]]

    def references(self, kind: bytes, number: int) -> list[int]:
        """The numbers that an item refers to."""
        return self.links.get((kind, number), [])


class _Cursor:
    """Big-endian numbers one after another."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._at = 0
        self._name = name

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise CorruptImage(f"{self._name} ends after {len(self._data)} bytes, inside its contents")
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def text(self) -> bytes:
        """Up to a zero, or to the end."""
        end = self._data.find(b"\0", self._at)
        return self.take((end if end >= 0 else len(self._data)) - self._at) + self.take(min(1, self.left))


def parse_meta(header: Header, meta: Box) -> ItemGraph:
    """The items that a meta box describes.

    Raises:
        CorruptImage: if a box in it is malformed.
        UnsupportedFeature: if it has more items than are looked at.
    """
    inner = {box.kind: box for box in boxes(header, meta.start + 4, meta.end)}

    def cursor(kind: bytes) -> _Cursor:
        box = inner.get(kind)
        if box is None:
            raise CorruptImage(f"{header.url}: its meta box has no {kind.decode()} box")
        return _Cursor(header.read(box.start, box.end - box.start), f"{header.url}: the box {kind.decode()}")

    primary = cursor(b"pitm")
    number = primary.number(2 if primary.number(4) >> 24 == 0 else 4)
    if b"iinf" not in inner:
        raise CorruptImage(f"{header.url}: its meta box has no iinf box")
    items = _items(header, inner[b"iinf"])
    _locate(cursor(b"iloc"), items)
    if b"iprp" in inner:
        _assign_properties(header, inner[b"iprp"], items)
    links = _links(header, inner[b"iref"]) if b"iref" in inner else {}
    if number not in items:
        raise CorruptImage(f"{header.url}: its primary item {number} is not there")
    return ItemGraph(items[number], items, links)


def _items(header: Header, box: Box) -> dict[int, Item]:
    """Item information (14496-12 8.11.6)."""
    name = f"{header.url}: the box infe"
    skip = 4 + (2 if header.read(box.start, min(1, box.end - box.start)) == b"\0" else 4)
    items: dict[int, Item] = {}
    for entry in boxes(header, box.start + skip, box.end):
        if len(items) >= MAX_ITEMS:
            raise UnsupportedFeature(f"{header.url} has over {MAX_ITEMS} items")
        cursor = _Cursor(header.read(entry.start, entry.end - entry.start), name)
        version = cursor.number(4) >> 24
        if entry.kind != b"infe" or version < 2:  # noqa: PLR2004 - earlier ones know no item types
            continue
        item = Item(cursor.number(2 if version == 2 else 4))  # noqa: PLR2004 - version 3 has wide numbers
        cursor.take(2)  # protection
        item.kind = cursor.take(4)
        cursor.text()
        if item.kind == b"mime":
            item.content_type = cursor.text().rstrip(b"\0")
        items[item.number] = item
    return items


def _locate(cursor: _Cursor, items: dict[int, Item]) -> None:
    """Item locations (14496-12 8.11.3); only those in the file itself are kept."""
    version = cursor.number(4) >> 24
    sizes = cursor.number(2)
    offset_size, length_size, base_size = (sizes >> shift & 15 for shift in (12, 8, 4))
    index_size = sizes & 15 if version else 0
    wide = 2 if version < 2 else 4  # noqa: PLR2004 - version 2 has wide numbers
    for _ in range(min(cursor.number(wide), MAX_ITEMS)):
        number = cursor.number(wide)
        method = cursor.number(2) & 15 if version else 0
        elsewhere = cursor.number(2) or method
        base = cursor.number(base_size)
        count = cursor.number(2)
        if count > MAX_EXTENTS and number in items and items[number].kind in {b"Exif", b"mime"}:
            elsewhere = True
        for _ in range(count):
            cursor.take(index_size)
            start, length = base + cursor.number(offset_size), cursor.number(length_size)
            if number in items and not elsewhere:
                items[number].extents.append((start, length))


def _assign_properties(header: Header, iprp: Box, items: dict[int, Item]) -> None:
    """Item properties (23008-12 9.3): a list of all, and which item has which."""
    inner = list(boxes(header, iprp.start, iprp.end))
    properties = [
        (box.kind, header.read(box.start, box.end - box.start))
        for container in inner
        if container.kind == b"ipco"
        for box in boxes(header, container.start, container.end)
    ]
    for box in inner:
        if box.kind != b"ipma":
            continue
        cursor = _Cursor(header.read(box.start, box.end - box.start), f"{header.url}: the box ipma")
        flags = cursor.number(4)
        wide = 4 if flags >> 24 else 2
        for _ in range(cursor.number(4)):
            number = cursor.number(wide)
            for _ in range(cursor.number(1)):
                index = cursor.number(2) & 0x7FFF if flags & 1 else cursor.number(1) & 0x7F
                if number in items and 1 <= index <= len(properties):
                    items[number].properties.append(properties[index - 1])


def _links(header: Header, iref: Box) -> dict[tuple[bytes, int], list[int]]:
    """Item references (14496-12 8.11.12)."""
    links: dict[tuple[bytes, int], list[int]] = {}
    wide = 2 if header.read(iref.start, min(1, iref.end - iref.start)) == b"\0" else 4
    for box in boxes(header, iref.start + 4, iref.end):
        cursor = _Cursor(header.read(box.start, box.end - box.start), f"{header.url}: the box {box.kind!r}")
        source = cursor.number(wide)
        links.setdefault((box.kind, source), []).extend(cursor.number(wide) for _ in range(cursor.number(2)))
    return links
