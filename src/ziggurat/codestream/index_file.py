"""The stored form of an index: a ``.zgi`` file, small enough to travel with the image or to be kept in a cache.

Layout, numbers big-endian: the bytes ``ZGI`` and a version; the length of a JSON object in four bytes; the object; the
tiles, each deflated. The object says of which bytes the index is: ``size`` and ``tag`` of the file, ``sha256`` of the
main header, ``span`` of the codestream, and ``tiles``: number, offset behind the object and length of each.

A tile is a JSON object of the same kind, with ``parts`` (tile, part, parts, offset, end, body, bytes of its own header
without PLT and PPT) and ``columns``, followed by these headers and by the columns: ``gap`` and ``length`` of every
packet, and where the packet headers have been read ``header``, ``records``, ``block``, ``passes``, ``bytes`` and
``planes``. Columns of several bytes a number are stored byte by byte: the first bytes of all numbers, then the second.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.codestream.markers import Marker, Segment, TilePart, scan_segments
from ziggurat.codestream.packets import Records, column
from ziggurat.codestream.parts import PartHeader
from ziggurat.codestream.tile_index import Columns, TileIndex
from ziggurat.errors import CorruptImage

MAGIC = b"ZGI"
VERSION = 1
_HEAD = 8
_SOT = 12
_LEFT_OUT = {Marker.PLT, Marker.PPT}
_LONGEST = 1 << 30
"""Bytes that a tile may inflate to: the index of 100 million code-blocks."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an index is of.

    Attributes:
        size: bytes of the file.
        tag: its version: a store's ETag, or a local file's time of modification.
        digest: SHA-256 of the main header.
        span: start and end of the codestream in the file.
    """

    size: int
    tag: str
    digest: str
    span: tuple[int, int]


def identity(size: int, tag: str, head: bytes, span: tuple[int, int]) -> Identity:
    """The identity of a codestream with this main header."""
    return Identity(size, tag, sha256(head).hexdigest(), span)


def dump(of: Identity, tiles: Mapping[int, bytes]) -> bytes:
    """Joins stored tiles into an index.

    Args:
        of: what it is the index of.
        tiles: by number, as ``dump_tile`` makes them.
    """
    listed, at = [], 0
    for number, blob in tiles.items():
        listed.append([number, at, len(blob)])
        at += len(blob)
    said = {"size": of.size, "tag": of.tag, "sha256": of.digest, "span": list(of.span), "tiles": listed}
    text = json.dumps(said).encode()
    return b"".join((MAGIC, bytes([VERSION]), len(text).to_bytes(4), text, *tiles.values()))


def load(data: bytes, of: Identity) -> Mapping[int, bytes]:
    """The stored tiles, by number, still deflated.

    Args:
        data: a ``.zgi`` file.
        of: what it must be the index of.

    Raises:
        CorruptImage: if it is damaged, of another version, or of other bytes.
    """
    if data[:3] != MAGIC or len(data) < _HEAD:
        raise CorruptImage("this is no index: it does not begin with ZGI")
    if data[3] != VERSION:
        raise CorruptImage(f"the index is of version {data[3]}, this program reads version {VERSION}; make it anew")
    start = _HEAD + int.from_bytes(data[4:_HEAD])
    said = _json(data[_HEAD:start])
    found = Identity(said["size"], said["tag"], said["sha256"], tuple(said["span"]))
    if found != of:
        raise CorruptImage(f"the index is of {found.size} bytes of version {found.tag}, not of this file; make it anew")
    return {number: data[start + at : start + at + length] for number, at, length in said["tiles"]}


def _json(text: bytes) -> Any:  # noqa: ANN401 - checked by use
    try:
        return json.loads(text)
    except ValueError as error:
        raise CorruptImage(f"the index is damaged: {error}") from error


def dump_tile(tile: TileIndex) -> bytes:
    """Stores the index of a tile, as far as it is known."""
    columns: dict[str, NDArray[Any]] = _packet_columns(tile.columns)
    headers = [_own_header(header) for header in tile.headers]
    parts = [
        [item.part.tile, item.part.part, item.parts, item.part.offset, item.part.end, item.body, len(own)]
        for item, own in zip(tile.headers, headers, strict=True)
    ]
    said = {
        "parts": parts,
        "apart": tile.packed_apart,
        "columns": [[name, column.dtype.str, len(column)] for name, column in columns.items()],
    }
    text = json.dumps(said).encode()
    stored = [len(text).to_bytes(4), text, *headers, *(_shuffled(column) for column in columns.values())]
    return zlib.compress(b"".join(stored), 1)


def _own_header(header: PartHeader) -> bytes:
    kept = [header.data[item.offset : item.end] for item in header.segments if item.marker not in _LEFT_OUT]
    return b"".join((header.data[:_SOT], *kept, Marker.SOD.to_bytes(2)))


def _packet_columns(columns: Columns) -> dict[str, NDArray[Any]]:
    packets, known = columns.packets, columns.known
    offset, length = (np.asarray(item)[:known] for item in (packets.offset, packets.length))
    before = np.concatenate([np.zeros(1, np.int64), (offset + length)[:-1]])[:known]
    found: dict[str, NDArray[Any]] = {"gap": offset - before, "length": length}
    rows = columns.rows
    if rows is None:
        return found
    record = np.asarray(packets.record)[: known + 1]
    count = int(record[-1]) if len(record) else 0
    block = np.asarray(rows.block)[:count].astype(np.int64)
    return found | {
        "header": np.asarray(packets.header)[:known],
        "records": np.diff(record).astype(np.uint32),
        "block": np.diff(block, prepend=0).astype(np.int32),
        "passes": np.asarray(rows.passes)[:count],
        "bytes": np.asarray(rows.length)[:count],
        "planes": np.asarray(columns.planes),
    }


def _shuffled(column: NDArray[Any]) -> bytes:
    plain = np.ascontiguousarray(column.astype(column.dtype.newbyteorder(">")))
    return plain.view(np.uint8).reshape(len(column), -1).T.tobytes() if len(column) else b""


def fill(tile: TileIndex, columns: Mapping[str, NDArray[Any]]) -> None:
    """Puts stored columns into an index that nothing has been read for.

    Raises:
        CorruptImage: if they do not fit the tile.
    """
    target = tile.columns
    packets = target.packets
    known = len(columns["length"])
    if known > len(packets.length) or len(columns["gap"]) != known:
        raise CorruptImage(f"the index is damaged: tile {tile.number} has {len(packets.length)} packets, not {known}")
    length = columns["length"].astype(np.int64)
    np.asarray(packets.length)[:known] = length
    np.asarray(packets.offset)[:known] = np.cumsum(columns["gap"] + length) - length
    if "records" in columns:
        np.asarray(packets.header)[:known] = columns["header"]
        np.asarray(packets.record)[1 : known + 1] = np.cumsum(columns["records"], dtype=np.int64)
        block = np.cumsum(columns["block"], dtype=np.int64).astype(np.uint32)
        if len(block) and int(block.max()) >= len(columns["planes"]):
            raise CorruptImage(f"the index is damaged: tile {tile.number} has no code-block {int(block.max())}")
        lengths = {int(packets.record[known]), len(block), len(columns["passes"]), len(columns["bytes"])}
        if len(lengths) > 1 or len(columns["planes"]) != int(tile.shape.tables.block_first[-1]):
            raise CorruptImage(f"the index is damaged: what it says of the packets of tile {tile.number} is incomplete")
        target.loaded = Records(column(block, "u4"), column(columns["passes"], "u1"), column(columns["bytes"], "u4"))
        target.planes = column(columns["planes"], "u1")
    target.known = known
    target.listed = "records" not in columns


@dataclass(frozen=True, slots=True)
class StoredTile:
    """A tile as it was stored: its tile-part headers, and the columns for ``fill``."""

    headers: tuple[PartHeader, ...]
    apart: bool
    columns: Mapping[str, NDArray[Any]]


def load_tile(blob: bytes) -> StoredTile:
    """Reads a stored tile.

    Raises:
        CorruptImage: if it is damaged.
    """
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(blob, _LONGEST)
        start = 4 + int.from_bytes(data[:4])
        said = _json(data[4:start])
        headers, at = [], start
        for tile, part, parts, offset, end, body, length in said["parts"]:
            headers.append(_header(TilePart(tile, part, parts, offset, end), data[at : at + length], body))
            at += length
        columns = {}
        for name, kind, count in said["columns"]:
            dtype = np.dtype(kind)
            size = dtype.itemsize * count
            raw = np.array(memoryview(data)[at : at + size], np.uint8).reshape(dtype.itemsize, count)
            columns[name] = np.ascontiguousarray(raw.T).view(dtype.newbyteorder(">")).ravel().astype(dtype)
            at += size
        return StoredTile(tuple(headers), bool(said["apart"]), columns)
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptImage(f"the index is damaged: {error}") from error


def _header(part: TilePart, data: bytes, body: int) -> PartHeader:
    found, _ = scan_segments(data, _SOT, until=Marker.SOD, base=part.offset)
    return PartHeader(part, data, tuple(Segment(item.marker, item.offset, item.end) for item in found), body)
