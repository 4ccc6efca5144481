"""What the server's front and its workers say to each other over a socket: frames of a kind, a length and bytes.

Requests are pickled: workers trust the front. Answers are bytes and JSON alone: the front need not trust a worker that
has decoded a hostile file.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from ziggurat.geometry import Window
from ziggurat.serve.plan import Plan
from ziggurat.storage.network import NetworkOptions

HEAD: Final = struct.Struct(">BI")
"""Kind and length of what follows."""


END: Final = b"\0whole\xff\n"
"""Behind a chunk of a Zarr array on its way through the cache: nothing makes entries there survive a power cut."""

LAST: Final = 0x80
"""Added to the kind of an answer after which the worker ends, because it is worn."""


class Kind(IntEnum):
    """What an answer holds: what was asked for, an error, or a picture to look at until the right one can be made.

    What a file of this machine holds as it was asked for need not be kept a second time.
    """

    DONE = 0
    FAILED = 1
    SKETCHED = 2
    STORED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is told once.

    Attributes:
        memory: bytes that it may allocate beyond what it starts with.
        read: bytes of files and objects that it may read for one task; levels are made of all of a file.
        quality: of lossy pictures.
        cache: folder of encoded pictures, or None.
        cache_limit: bytes of that folder.
        network: how stores are reached.
        threads: that one reading may take.
        nice: how far behind others it steps.
    """

    memory: int
    read: int
    quality: int
    cache: Path | None
    cache_limit: int
    network: NetworkOptions
    threads: int
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Describe:
    """Asks for the ``Facts`` of an image."""

    url: str
    version: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """Asks for everything that the header of an image says, as ``details.details`` has it."""

    url: str
    version: tuple[int, str]


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks for the samples of one pixel of the full resolution, as JSON.

    Attributes:
        url: of the image.
        version: the file that is meant; another one there is ``SourceChanged``.
        y: row of the upright image.
        x: column.
    """

    url: str
    version: tuple[int, str]
    y: int
    x: int


@dataclass(frozen=True, slots=True)
class Locate:
    """Asks for the pixel of a place on the sky, as JSON.

    Attributes:
        url: of the image.
        version: the file that is meant; another one there is ``SourceChanged``.
        ra: right ascension in degrees, ICRS.
        dec: declination in degrees.
    """

    url: str
    version: tuple[int, str]
    ra: float
    dec: float


@dataclass(frozen=True, slots=True)
class Draw:
    """Asks for a picture.

    Attributes:
        url: of the image.
        version: the file that is meant; another one there is ``SourceChanged``.
        plan: the picture.
        key: under which it is kept.
    """

    url: str
    version: tuple[int, str]
    plan: Plan
    key: str


@dataclass(frozen=True, slots=True)
class Slab:
    """Asks for a chunk of a Zarr array.

    Attributes:
        url: of the image.
        version: the file that is meant.
        level: of the image.
        window: on its grid, as stored.
        bands: the first one, and the one behind the last.
        shape: of the chunk: bands, height, width.
        key: under which it is kept.
    """

    url: str
    version: tuple[int, str]
    level: int
    window: Window
    bands: tuple[int, int]
    shape: tuple[int, int, int]
    key: str


@dataclass(frozen=True, slots=True)
class Build:
    """Asks for the levels that an image lacks to be made and kept, however long it takes."""

    url: str
    version: tuple[int, str]


type Task = Describe | Detail | Probe | Locate | Draw | Slab | Build
