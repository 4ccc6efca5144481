"""What a Blosc2 array is made like."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ziggurat.codec.blosc2 import GROK, HTJ2K, HTJ2K_PLUGIN, J2K_PLUGIN, JPEG2K
from ziggurat.errors import UsageError
from ziggurat.format.blosc2.frame import ZSTD

type Codec = Literal["zstd", "jpeg2k", "htj2k", "grok", "blosc2_j2k", "blosc2_htj2k"]

CODECS: Mapping[Codec, int] = MappingProxyType(
    {
        "zstd": ZSTD,
        "jpeg2k": JPEG2K,
        "htj2k": HTJ2K,
        "grok": GROK,
        "blosc2_j2k": J2K_PLUGIN,
        "blosc2_htj2k": HTJ2K_PLUGIN,
    }
)
"""Identifiers that stand in the chunks."""


@dataclass(frozen=True, slots=True)
class B2ndOptions:
    """Options of a Blosc2 array.

    Attributes:
        codec: of the blocks. "zstd" holds everything and any Blosc2 reads it. The others are JPEG 2000, or HTJ2K where
            the name has it, encoded by OpenJPEG and OpenJPH whatever the name, for bytes and words of few bands:
            "jpeg2k" and "htj2k" are Ziggurat's numbers (200, 201), which a reader registers with imagecodecs in a
            few lines; "grok", "blosc2_j2k" and "blosc2_htj2k" are those of the plugins of that name, with which
            ``blosc2.open`` reads them.
        tile: height and width of a block, the unit that is read alone; a chunk has 2 x 2.
        rate: compression ratio that every block of JPEG 2000 reaches: 10 makes a tenth of the bytes.
        psnr: decibels that every block of JPEG 2000 reaches. With neither it is lossless.

    Raises:
        UsageError: if a value is not one of these.
    """

    codec: Codec = "zstd"
    tile: int = 512
    rate: float | None = None
    psnr: float | None = None

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise UsageError(f"the codec of a b2nd {self.codec!r} is none of {', '.join(CODECS)}")
        # 16384 pixels of four 16-bit bands stay below the 2 GiB of a chunk.
        if not 16 <= self.tile <= 8192:  # noqa: PLR2004 - as said
            raise UsageError(f"a tile of {self.tile} pixels is not between 16 and 8192")
        if self.rate is not None and self.psnr is not None:
            raise UsageError("--rate and --psnr are two ways to say how much may be lost: give one of them")
        if self.codec == "zstd" and not self.lossless:
            raise UsageError("zstd is lossless; --rate and --psnr need --codec jpeg2k, htj2k or a plugin's")
        if self.rate is not None and not self.rate > 1:
            raise UsageError(f"--rate {self.rate}: a compression ratio above 1 is needed")
        if self.psnr is not None and not 0 < self.psnr <= 100:  # noqa: PLR2004 - beyond, rounding is all there is
            raise UsageError(f"--psnr {self.psnr}: decibels up to 100 are needed")

    @property
    def number(self) -> int:
        """Identifier of the codec."""
        return CODECS[self.codec]

    @property
    def high_throughput(self) -> bool:
        """Whether JPEG 2000 is HTJ2K."""
        return self.number in {HTJ2K, HTJ2K_PLUGIN}

    @property
    def lossless(self) -> bool:
        """Whether every sample stays."""
        return self.rate is None and self.psnr is None
