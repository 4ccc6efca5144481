"""The values that describe an image: what every format says of itself and every consumer reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from ziggurat.geometry import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

type Samples = NDArray[Any]
"""Pixels, axes (y, x, band). The type of the samples is known only when a file is open, hence ``Any``."""

type JSON = bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None

type Alpha = Literal["straight", "premultiplied"]

type SampleKind = Literal["unsigned", "signed", "float"]


class ColourSpace(StrEnum):
    """What the colour bands of ``Image.read`` mean, as far as the header says.

    A format's own encodings (palette, YCbCr, subsampling) are undone by its reader; an ICC profile, where
    there is one, refines this word.
    """

    GREY = "grey"
    GREY_INVERTED = "grey-inverted"
    RGB = "RGB"
    SRGB = "sRGB"
    ESRGB = "e-sRGB"
    CMYK = "CMYK"
    LAB = "CIELab"
    UNKNOWN = "unknown"

    @property
    def bands(self) -> int | None:
        """Number of colour bands without alpha, or None where the word does not say."""
        match self:
            case ColourSpace.GREY | ColourSpace.GREY_INVERTED:
                return 1
            case ColourSpace.RGB | ColourSpace.SRGB | ColourSpace.ESRGB | ColourSpace.LAB:
                return 3
            case ColourSpace.CMYK:
                return 4
            case ColourSpace.UNKNOWN:
                return None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Pixels per metre, vertical and horizontal."""

    y: float
    x: float


@dataclass(frozen=True, slots=True)
class Metadata:
    r"""Blocks that travel with the pixels, each as its own standard lays it out, without wrappers.

    Attributes:
        exif: a TIFF structure ("II*\0" or "MM\0*" first), without the "Exif\0\0" of JPEG.
        xmp: an XMP packet in UTF-8.
        iptc: IPTC-IIM records (first byte 0x1C).
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image.

    Attributes:
        shape: height and width in pixels.
        tile: height and width of the unit that the file stores and that can be read alone, or None where that is the
            whole level. A strip is a tile as wide as the level; of a JPEG 2000 image in a single tile it is a
            precinct, or the pixels that code-blocks of the finest subbands cover.
        made: not stored in the file: made from the next finer level, each pixel the mean of 2 x 2.
    """

    shape: Size
    tile: Size | None = None
    made: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """Axes along which images of one kind lie one behind the other; the depth runs faster than time.

    Attributes:
        times: points in time (t); None where that is no axis.
        depth: planes of a volume, or whatever else the file counts (z); None where that is no axis.
    """

    times: int | None = None
    depth: int | None = None

    @property
    def planes(self) -> int:
        """How many images there are."""
        return (1 if self.times is None else self.times) * (1 if self.depth is None else self.depth)


SINGLE: Final = Stack()
"""The axes of a single image: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What an image's header says, without a pixel decoded.

    Attributes:
        format: the format's name in the table: jp2, j2k, tiff, jpeg, png, webp, avif, jxl, ...
        levels: finest first; at least one.
        bands: sample planes that ``read`` returns, alpha included.
        dtype: numpy's name of what ``read`` returns, such as "uint8".
        bit_depth: significant bits of a sample, the largest over the bands; at most the dtype's.
        kind: how the samples are to be understood.
        colour_space: what the colour bands mean.
        alpha: whether the last band is opacity, and how the colour bands relate to it.
        icc: the embedded ICC profile.
        orientation: EXIF's 1 to 8 (TIFF 6.0 tag 274); ``read`` returns pixels as stored.
        resolution: pixels per metre, where the file says so.
        metadata: EXIF, XMP and IPTC blocks.
        details: what only this format has, in plain JSON values.
    """

    format: str
    levels: tuple[Level, ...]
    bands: int
    dtype: str
    bit_depth: int
    kind: SampleKind = "unsigned"
    colour_space: ColourSpace = ColourSpace.UNKNOWN
    alpha: Alpha | None = None
    icc: bytes | None = None
    orientation: int = 1
    resolution: Resolution | None = None
    metadata: Metadata = field(default_factory=Metadata)
    details: Mapping[str, JSON] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def size(self) -> Size:
        """Height and width of the finest level."""
        return self.levels[0].shape

    @property
    def colour_bands(self) -> int:
        """Bands that are not opacity."""
        return self.bands - (self.alpha is not None)
