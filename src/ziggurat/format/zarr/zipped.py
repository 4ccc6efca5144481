"""A Zarr in one ZIP file (OME-Zarr RFC-9): members read where they lie."""

import zipfile
import zlib
from collections.abc import Sequence
from typing import Final

from ziggurat.errors import CorruptImage, SourceNotFound, UnsupportedFeature
from ziggurat.format.zarr.documents import LONGEST
from ziggurat.storage.file_view import FileView
from ziggurat.storage.folder import DOCUMENTS, check_inside
from ziggurat.storage.local import LocalSource
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.protocol import ByteSource, SourceVersion
from ziggurat.storage.ranges import ByteRange

HEADER: Final = 30
"""Bytes of a local file header before the name (APPNOTE.TXT 6.3.10, 4.3.7)."""

NAMES: Final = slice(26, 30)
"""Where it says how long its name and its extra field are."""

ENCRYPTED: Final = 1


class ZippedFolder:
    """The members of a ZIP file as files of a folder. Safe to use from several threads.

    The Zarr is at its top, or in the one folder that is there.

    Args:
        source: the file.

    Raises:
        CorruptImage: if it is no ZIP file, or is cut short.
        UnsupportedFeature: if it holds no Zarr.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        try:
            with FileView(source) as view, zipfile.ZipFile(view) as archive:
                self._members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise CorruptImage(f"{source.url} is no complete ZIP file: {error}") from error
        self._top = self._find_top()

    def _find_top(self) -> str:
        tops = {name.partition("/")[0] for name in self._members}
        only = f"{tops.pop()}/" if len(tops) == 1 else ""
        for top in ("", only):
            if any(f"{top}{name}" in self._members for name in DOCUMENTS):
                return top
        raise UnsupportedFeature(f"{self.url} is a ZIP file, and no Zarr: it holds none of {', '.join(DOCUMENTS)}")

    @property
    def url(self) -> str:
        """Of the file."""
        return self._source.url

    @property
    def near(self) -> bool:
        """Whether the file lies on this machine."""
        return isinstance(self._source, LocalSource | MemorySource)

    def open(self, key: str, *, whole: bool = True) -> ByteSource:
        """A member.

        Args:
            key: its path below the Zarr.
            whole: makes no difference.

        Raises:
            SourceNotFound: if there is none.
            CorruptImage: if it lies outside the file, or does not unpack.
            UnsupportedFeature: if it is encrypted or packed in an unusual way.
        """
        del whole
        check_inside(key, self.url)
        info = self._members.get(f"{self._top}{key}")
        if info is None:
            raise SourceNotFound(f"{self.url}: {key} is not in it")
        where = f"{self.url}: {key}"
        if info.flag_bits & ENCRYPTED or info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise UnsupportedFeature(f"{where} is encrypted, or neither stored nor deflated; pack it again without")
        part = self._part(info, where)
        if info.compress_type == zipfile.ZIP_STORED:
            return part
        return MemorySource(where, _inflated(part, info.file_size, where))

    def _part(self, info: zipfile.ZipInfo, where: str) -> "PartSource":
        end = info.header_offset + HEADER
        if end > self._source.size:
            raise CorruptImage(f"{where} begins behind the end of the file")
        header = self._source.read_ranges([ByteRange(info.header_offset, end)])[0]
        name, extra = (int.from_bytes(header[NAMES][at : at + 2], "little") for at in (0, 2))
        start = end + name + extra
        if not header.startswith(b"PK\3\4") or start + info.compress_size > self._source.size:
            raise CorruptImage(f"{where} does not lie at byte {info.header_offset}, or not all of it")
        return PartSource(self._source, ByteRange(start, start + info.compress_size), where)

    def names(self, key: str) -> Sequence[str] | None:
        """Names of the folders in one."""
        above = f"{self._top}{key}/" if key else self._top
        inside = (name[len(above) :] for name in self._members if name.startswith(above))
        return sorted({name.partition("/")[0] for name in inside if "/" in name})


class PartSource:
    """Some bytes of another source, which it does not own.

    Args:
        source: the other one.
        span: of its bytes.
        url: for messages.
    """

    def __init__(self, source: ByteSource, span: ByteRange, url: str) -> None:
        self._source = source
        self._span = span
        self._url = url

    @property
    def url(self) -> str:
        """The name given."""
        return self._url

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._span.length

    @property
    def version(self) -> SourceVersion:
        """The other one's tag."""
        return SourceVersion(self.size, self._source.version.tag)

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of all ranges, in the order given.

        Raises:
            CorruptImage: if a range leaves the part.
        """
        for item in ranges:
            if item.end > self.size:
                raise CorruptImage(f"{self._url} has {self.size} bytes; {item.start} to {item.end} were asked for")
        start = self._span.start
        return self._source.read_ranges([ByteRange(start + item.start, start + item.end) for item in ranges])

    def close(self) -> None:
        """Nothing is held."""


def _inflated(part: PartSource, size: int, where: str) -> bytes:
    """All of a deflated member, and no more than it says that it is."""
    if size > max(LONGEST, 64 * part.size):
        raise CorruptImage(f"{where}: {part.size} bytes are said to be {size}")
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = unpacking.decompress(part.read_ranges([ByteRange(0, part.size)])[0], max(1, size))
    except zlib.error as error:
        raise CorruptImage(f"{where} does not unpack: {error}") from error
    if len(data) != size:
        raise CorruptImage(f"{where} unpacks to {len(data)} bytes, {size} are said")
    return data
