"""What a pyramidal TIFF is made like."""

from dataclasses import dataclass
from typing import Literal

from ziggurat.errors import UsageError

type Compression = Literal["jpeg", "deflate", "zstd", "lzw", "webp", "jpeg2000", "none"]
type Pyramid = Literal["pages", "subifd", "ome"]

LOSSY_QUALITY = 92
"""JPEG's and WebP's quality where none is asked for."""


@dataclass(frozen=True, slots=True)
class PtiffOptions:
    """Options of a pyramidal TIFF.

    Always a BigTIFF: one kind of file for a whole collection, whatever the size of its images.

    Attributes:
        compression: of the tiles. "jpeg" and "webp" are lossy, 8-bit; "jpeg2000" is lossless unless a PSNR
            is given, and few readers have it: libvips 8.14 takes its RGB for YCbCr; the others are lossless for
            samples of any type.
        quality: 1 to 100 for jpeg and webp (None: 92); of no meaning for the others.
        psnr: decibels that jpeg2000 should reach (None: lossless); only for that.
        subsampling: of JPEG's colour differences.
        tile: height and width of a tile, a multiple of 16.
        pyramid: where the coarser levels lie. "pages": directories that follow the first one, marked as
            reduced: the one layout that libvips, OpenSlide (and QuPath through it), large_image, GDAL,
            IIPImage and Cantaloupe all read, hence the default. "subifd": SubIFDs of the first directory, so
            that a reader of pages sees one image; libvips and Bio-Formats read them. "ome": SubIFDs and
            OME-XML, for QuPath, Bio-Formats and OMERO.

    Raises:
        UsageError: if a value is not one of these.
    """

    compression: Compression = "jpeg"
    quality: int | None = None
    psnr: float | None = None
    subsampling: Literal["444", "422", "420"] = "444"
    tile: int = 512
    pyramid: Pyramid = "pages"

    def __post_init__(self) -> None:
        if self.compression not in {"jpeg", "deflate", "zstd", "lzw", "webp", "jpeg2000", "none"}:
            raise UsageError(
                f"TIFF compression {self.compression!r} is none of jpeg, deflate, zstd, lzw, webp, jpeg2000, none"
            )
        if self.quality is not None and not 1 <= self.quality <= 100:  # noqa: PLR2004 - JPEG's scale
            raise UsageError(f"quality {self.quality} is not between 1 and 100")
        if self.psnr is not None and self.compression != "jpeg2000":
            raise UsageError(f"--psnr needs --compression jpeg2000; {self.compression} does not know it")
        if self.psnr is not None and not 0 < self.psnr <= 100:  # noqa: PLR2004 - beyond, rounding is all there is
            raise UsageError(f"--psnr {self.psnr:g} is not above 0 and up to 100 dB")
        if self.quality is not None and self.compression == "jpeg2000":
            raise UsageError("--quality is JPEG's and WebP's; what jpeg2000 tiles lose is said by --psnr")
        if self.subsampling not in {"444", "422", "420"}:
            raise UsageError(f"subsampling {self.subsampling!r} is none of 444, 422, 420")
        if self.pyramid not in {"pages", "subifd", "ome"}:
            raise UsageError(f"pyramid layout {self.pyramid!r} is none of pages, subifd, ome")
        # TIFF 6.0 section 15 wants multiples of 16; 16384 pixels a side are the most that WebP holds.
        if self.tile % 16 or not 16 <= self.tile <= 16368:  # noqa: PLR2004 - as said
            raise UsageError(f"a tile of {self.tile} pixels is not a multiple of 16 between 16 and 16368")
