"""What a JPEG 2000 file is made like."""

from dataclasses import dataclass

from ziggurat.errors import UsageError
from ziggurat.write.jp2.profiles import Profile, profile

_LEAST_DB, _DB_PER_QUALITY = 24.0, 0.2
"""From a quality of 1 to 100 to decibels: about what JPEG of that quality measures on photographs and scans."""

_FINEST_DB = 100.0
_COARSEST_RATIO = 1000.0


@dataclass(frozen=True, slots=True)
class Jp2Options:
    """Options of JPEG 2000 and of HTJ2K. Lossless, unless the profile or one of the three says otherwise.

    Attributes:
        profile: a name of ``ziggurat.write.jp2.profiles.PROFILES``.
        rate: compression ratio: 8 makes an eighth of the uncompressed bytes. For every tile by itself; not HTJ2K.
        psnr: decibels that the picture should reach.
        quality: 1 to 100, which asks for a PSNR of 24 + quality / 5 dB.

    Raises:
        UsageError: if a value does not exist, or the profile does not allow it.
    """

    profile: str = "cloud"
    rate: float | None = None
    psnr: float | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        chosen = self.layout
        given = [name for name in ("rate", "psnr", "quality") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"--{' and --'.join(given)} contradict each other: choose one")
        if self.rate is not None and not 1 < self.rate <= _COARSEST_RATIO:
            raise UsageError(f"--rate {self.rate:g} is no compression ratio above 1, up to {_COARSEST_RATIO:g}")
        if self.psnr is not None and not 0 < self.psnr <= _FINEST_DB:
            raise UsageError(f"--psnr {self.psnr:g} is not above 0 and up to {_FINEST_DB:g} dB")
        if self.quality is not None and not 1 <= self.quality <= 100:  # noqa: PLR2004 - JPEG's scale
            raise UsageError(f"quality {self.quality} is not between 1 and 100")
        if given and chosen.reversible:
            raise UsageError(f"profile {self.profile} is lossless: leave --{given[0]} out, or choose another profile")
        if chosen.ratio is not None and (self.decibels is not None or (self.rate or chosen.ratio) < chosen.ratio):
            raise UsageError(
                f"profile {self.profile} compresses by at least {chosen.ratio:g}: choose --rate {chosen.ratio:g} "
                "or more"
            )

    @property
    def layout(self) -> Profile:
        """What the profile prescribes."""
        return profile(self.profile)

    @property
    def decibels(self) -> float | None:
        """The PSNR that is asked for."""
        if self.quality is not None:
            return _LEAST_DB + _DB_PER_QUALITY * self.quality
        return self.psnr

    @property
    def ratio(self) -> float | None:
        """The compression ratio that is asked for."""
        if self.rate is None and self.decibels is None:
            return self.layout.ratio
        return self.rate

    @property
    def lossless(self) -> bool:
        """Whether every sample is kept."""
        return self.ratio is None and self.decibels is None

    def require_ht(self) -> None:
        """Refuses what HTJ2K cannot do.

        Raises:
            UsageError: if a compression ratio or a profile with layers is asked for.
        """
        if self.rate is not None:
            raise UsageError("htj2k cannot be cut to a size: choose --psnr or --quality, or --to jp2")
        if self.profile != "cloud":
            raise UsageError(f"profile {self.profile} is one of JPEG 2000 part 1: choose --to jp2, or profile cloud")
