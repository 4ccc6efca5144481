"""What an OME-Zarr group is made like."""

from dataclasses import dataclass
from typing import Literal

from ziggurat.errors import UsageError

type Codec = Literal["zstd", "jpeg2k", "htj2k"]
type Levels = Literal["stored", "source", "virtual"]


@dataclass(frozen=True, slots=True)
class OmeZarrOptions:
    """Options of an OME-Zarr group.

    Attributes:
        codec: of the chunks. "zstd" holds samples of any type, and every reader of Zarr has it; "jpeg2k" and "htj2k"
            are smaller, hold integers of up to 16 bits, and are read with imagecodecs-zarr.
        psnr: of jpeg2k and htj2k, decibels that the chunks should reach, which htj2k meets about; None is lossless.
        levels: "stored": every level is an array, each the means of 2 x 2 pixels of the finer one. "source": the same,
            but for levels that the source has itself, each half as large as the finer one (rounded up): those are
            copied. "virtual": only the finest level is stored, by jpeg2k or htj2k; the coarser ones are references to
            the first bytes of its chunks.
        tile: height and width of a chunk, a multiple of 16; of virtual levels a power of two. 512 unless given, 1024
            of virtual levels, which it is halved for.

    Raises:
        UsageError: if a value is not one of these, or they contradict each other.
    """

    codec: Codec = "zstd"
    psnr: float | None = None
    levels: Levels = "stored"
    tile: int | None = None

    def __post_init__(self) -> None:
        if self.codec not in {"zstd", "jpeg2k", "htj2k"}:
            raise UsageError(f"OME-Zarr codec {self.codec!r} is none of zstd, jpeg2k, htj2k")
        if self.levels not in {"stored", "source", "virtual"}:
            raise UsageError(f"OME-Zarr levels {self.levels!r} are none of stored, source, virtual")
        if self.levels == "virtual" and self.codec == "zstd":
            raise UsageError("only chunks of JPEG 2000 have virtual levels in them: choose --codec htj2k or jpeg2k")
        if self.psnr is not None and self.codec == "zstd":
            raise UsageError("zstd is lossless; --psnr needs --codec jpeg2k or htj2k")
        if self.psnr is not None and not 0 < self.psnr <= 100:  # noqa: PLR2004 - beyond, rounding is all there is
            raise UsageError(f"--psnr {self.psnr:g} is not above 0 and up to 100 dB")
        if self.side % 16 or not 16 <= self.side <= 16368:  # noqa: PLR2004 - as of TIFF's tiles
            raise UsageError(f"a tile of {self.side} pixels is not a multiple of 16 between 16 and 16368")
        if self.levels == "virtual" and self.side & (self.side - 1):
            raise UsageError(f"a tile of {self.side} pixels cannot be halved all the way; choose 256, 512 or 1024")

    @property
    def side(self) -> int:
        """Pixels a side of a chunk."""
        if self.tile is not None:
            return self.tile
        return 1024 if self.levels == "virtual" else 512
