"""The metadata documents of a Zarr: found, read and checked before anything believes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, cast

from ziggurat.errors import CorruptImage, SourceNotFound, UnsupportedFeature
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

LONGEST: Final = 1 << 24
"""Bytes of a document: 16 MiB. The consolidated ones of large plates have a few."""

CODECS: Final = frozenset({
    "bytes", "endian", "transpose", "sharding_indexed", "blosc", "gzip", "zstd", "zlib", "bz2", "lzma", "lz4", "crc32c",
    "crc32", "adler32", "fletcher32", "jenkins_lookup3", "shuffle", "delta", "fixedscaleoffset", "scale_offset",
    "cast_value", "quantize", "packbits", "astype", "bitround", "pcodec", "zfpy",
})  # fmt: skip
"""Codecs that make numbers of bytes and do nothing else: some that libraries register run what they unpack."""

OURS: Final = "imagecodecs_"
"""How the names of the codecs begin that imagecodecs registers: all of them decode pictures and numbers."""

DEEPEST: Final = 4
"""Codecs within codecs."""

type Fields = Mapping[str, Any]
"""A JSON object. What it holds is checked where it is used."""


class Folder(Protocol):
    """Where the files of a Zarr lie."""

    @property
    def url(self) -> str:
        """For messages."""
        ...

    @property
    def near(self) -> bool:
        """Whether they lie on this machine, and are read without waiting."""
        ...

    def open(self, key: str, *, whole: bool = True) -> ByteSource:
        """A file by its path below the folder.

        Raises:
            SourceNotFound: if there is none.
        """
        ...

    def names(self, key: str) -> Sequence[str] | None:
        """Names of the folders in one; None where they cannot be listed."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """An array or a group.

    Attributes:
        kind: which of both.
        version: of the Zarr format.
        path: below the folder; "" is the folder itself.
        fields: what the document says; of version 2 that of ``.zarray`` or ``.zgroup``.
        attributes: what users and OME-Zarr say.
    """

    kind: Literal["array", "group"]
    version: Literal[2, 3]
    path: str
    fields: Fields
    attributes: Fields


def node_at(folder: Folder, path: str) -> Node | None:
    """What lies at a path; None if neither array nor group does.

    Raises:
        CorruptImage: if its document is none.
        UnsupportedFeature: if it is of a version that is not known.
    """
    fields = _document(folder, _joined(path, "zarr.json"))
    if fields is not None:
        if fields.get("zarr_format") != 3:  # noqa: PLR2004 - the version
            raise UnsupportedFeature(
                f"{folder.url}: {_joined(path, 'zarr.json')} is of Zarr {fields.get('zarr_format')!r:.20}"
            )
        kind = fields.get("node_type")
        if kind not in {"array", "group"}:
            raise CorruptImage(f"{folder.url}: {_joined(path, 'zarr.json')} is neither of an array nor of a group")
        return Node(cast("Literal['array', 'group']", kind), 3, path, fields, mapping(fields.get("attributes")))
    fields = _document(folder, _joined(path, ".zarray"))
    attributes = _document(folder, _joined(path, ".zattrs"))
    if fields is not None:
        return Node("array", 2, path, fields, attributes or {})
    fields = _document(folder, _joined(path, ".zgroup"))
    if fields is None and attributes is None:
        return None
    return Node("group", 2, path, fields or {}, attributes or {})


def arrays_within(folder: Folder, group: Node) -> list[str]:
    """Names that arrays of a group may have: told by its consolidated metadata, listed, or else guessed to be "0"."""
    if group.version == 3:  # noqa: PLR2004 - the version
        told: Fields | None = group.fields.get("consolidated_metadata")
        members = mapping(mapping(told).get("metadata"))
        names = [name for name, fields in members.items() if mapping(fields).get("node_type") == "array"]
    else:
        told = _document(folder, _joined(group.path, ".zmetadata"))
        keys = mapping(mapping(told).get("metadata"))
        names = [key.removesuffix("/.zarray") for key in keys if key.endswith("/.zarray")]
    if told is None:
        listed = folder.names(group.path)
        names = ["0"] if listed is None else list(listed)
    return sorted(
        (name for name in names if name and "/" not in name and not name.startswith(".")),
        key=lambda name: (not name.isdecimal(), len(name) if name.isdecimal() else 0, name),
    )


def check_codecs(where: str, array: Node) -> list[str]:
    """The names of an array's codecs, if all of them only decode.

    Raises:
        UnsupportedFeature: if one is not known to.
        CorruptImage: if they are no codecs at all.
    """
    names = list(_codecs(array.fields, where))
    for name in names:
        if name.removeprefix("numcodecs.") not in CODECS and not name.startswith(OURS):
            raise UnsupportedFeature(f"{where}: its codec {name[:100]!a} is none that is used for images")
    return names


def _codecs(fields: Fields, where: str, deep: int = 0) -> Iterator[str]:
    """Names of all codecs, those within others included."""
    found: list[object] = []
    for key in ("codecs", "index_codecs", "filters"):
        value = fields.get(key)
        if value is not None and not isinstance(value, list):
            raise CorruptImage(f"{where}: its {key} are no list")
        found += value or []
    if fields.get("compressor") is not None:
        found.append(fields["compressor"])
    if deep > DEEPEST:
        raise UnsupportedFeature(f"{where}: its codecs lie more than {DEEPEST} deep in each other")
    for codec in found:
        said = {"name": codec} if isinstance(codec, str) else mapping(codec)
        name = said.get("name", said.get("id"))
        if not isinstance(name, str):
            raise CorruptImage(f"{where}: one of its codecs has no name")
        yield name
        yield from _codecs(mapping(said.get("configuration")), where, deep + 1)


def mapping(value: object) -> Fields:
    """A JSON object, or an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Fields]:
    """The objects of a JSON array; none for everything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _document(folder: Folder, key: str) -> Fields | None:
    """A JSON object; None where there is no such file."""
    try:
        source = folder.open(key)
    except SourceNotFound:
        return None
    with closing(source):
        if source.size > LONGEST:
            raise CorruptImage(
                f"{folder.url}: {key} has {source.size} bytes; no such document is longer than {LONGEST}"
            )
        data = source.read_ranges([ByteRange(0, source.size)])[0]
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptImage(f"{folder.url}: {key} is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CorruptImage(f"{folder.url}: {key} is no JSON object")
    return fields
