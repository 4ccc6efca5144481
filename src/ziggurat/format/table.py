"""Which formats there are, how their first bytes look, and which module reads them.

The table is an immutable value: a program that knows a further format passes ``FORMATS | {...}`` on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ziggurat.errors import UnknownFormat
from ziggurat.storage.folder import SUFFIX

FOLDER = "zarr"
"""The format of images that are folders."""

HEAD = 64
"""Bytes of a file that recognition looks at."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Fixed bytes at a fixed place."""

    offset: int
    magic: bytes

    def matches(self, head: bytes) -> bool:
        """Whether the head of a file has these bytes there."""
        return head.startswith(self.magic, self.offset)


@dataclass(frozen=True, slots=True)
class Format:
    """One line of the table.

    Attributes:
        signatures: any one of them recognises the format; none those of a folder.
        reader: dotted path of an ``OpenReader``, imported when first used.
        suffixes: file name endings by which a folder's files are taken for images, in lower case.
    """

    signatures: tuple[Signature, ...]
    reader: str
    suffixes: tuple[str, ...]

    def recognises(self, head: bytes) -> bool:
        """Whether these first bytes are this format's."""
        return any(signature.matches(head) for signature in self.signatures)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "jp2": Format(
            # The second line is what remains of the signature box where only its check bytes are damaged.
            (
                Signature(0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
                Signature(0, b"\x00\x00\x00\x0cjP"),
            ),
            "ziggurat.format.jpeg2000:open_reader",
            (".jp2", ".jpf", ".jpx", ".jpm", ".jph"),
        ),
        "j2k": Format(
            (Signature(0, b"\xff\x4f\xff\x51"),),
            "ziggurat.format.jpeg2000:open_reader",
            (".j2k", ".j2c", ".jpc", ".jhc", ".jpt"),
        ),
        "tiff": Format(
            tuple(Signature(0, m) for m in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
            "ziggurat.format.tiff:open_reader",
            (".tif", ".tiff", ".btf", ".tf8", ".tf2", ".svs", ".ndpi", ".scn"),
        ),
        "jpeg": Format(
            (Signature(0, b"\xff\xd8\xff"),),
            "ziggurat.format.jpeg:open_reader",
            (".jpg", ".jpeg", ".jpe", ".jfif"),
        ),
        "png": Format((Signature(0, b"\x89PNG\r\n\x1a\n"),), "ziggurat.format.png:open_reader", (".png",)),
        "webp": Format((Signature(8, b"WEBP"),), "ziggurat.format.webp:open_reader", (".webp",)),
        "avif": Format(
            (Signature(4, b"ftypavif"), Signature(4, b"ftypavis"), Signature(4, b"ftypmif1")),
            "ziggurat.format.avif:open_reader",
            (".avif",),
        ),
        "jxl": Format(
            (Signature(0, b"\x00\x00\x00\x0cJXL \r\n\x87\n"), Signature(0, b"\xff\x0a")),
            "ziggurat.format.jpegxl:open_reader",
            (".jxl",),
        ),
        "fits": Format(
            (Signature(0, b"SIMPLE  ="),),
            "ziggurat.format.fits:open_reader",
            (".fits", ".fit", ".fts", ".fz"),
        ),
        # What a mosaic of the sky says of itself; files that begin so are none: no file names others to be read.
        "mosaic": Format((Signature(0, b"ZIGGURAT MOSAIC\n"),), "ziggurat.sky.opening:open_reader", ()),
        # A folder has no first bytes: the source says that it is one.
        FOLDER: Format((), "ziggurat.format.zarr:open_reader", (SUFFIX,)),
        "ozx": Format((Signature(0, b"PK\x03\x04"),), "ziggurat.format.zarr:open_reader", (".ozx", ".zarr.zip")),
        "b2nd": Format((Signature(2, b"b2frame\0"),), "ziggurat.format.blosc2:open_reader", (".b2nd",)),
    }
)


def recognise(head: bytes, formats: Mapping[str, Format], *, url: str) -> tuple[str, Format]:
    """The format of a file by its first bytes.

    Raises:
        UnknownFormat: if no line of the table fits.
    """
    for name, entry in formats.items():
        if entry.recognises(head):
            return name, entry
    if not head:
        raise UnknownFormat(f"{url} is empty")
    raise UnknownFormat(f"{url} begins with {head[:8].hex(' ')}, which is none of {', '.join(formats)}")
