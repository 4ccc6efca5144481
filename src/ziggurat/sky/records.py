"""The values that pass between the coordinator of a catalogue's cutouts and its workers. Plain and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass

from ziggurat.sky.images import SkyImage


@dataclass(frozen=True, slots=True)
class Order:
    """One cutout to make.

    Attributes:
        row: of the ledger.
        name: of the target.
        ra: degrees, ICRS.
        dec: degrees, ICRS.
        key: of the cutout below the destination.
        bands: band to numbers of images, the best first.
        attempts: how often it was tried before.
    """

    row: int
    name: str
    ra: float
    dec: float
    key: str
    bands: Mapping[str, tuple[int, ...]]
    attempts: int

    def token(self, job: str) -> str:
        """Names the temporary file; the same for every attempt.

        Args:
            job: what tells the job from others.
        """
        return f"{job}-{self.row}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Cutouts that a worker makes one after the other; most of them lie in one image.

    Attributes:
        orders: in their order.
        images: those that they refer to, by number.
    """

    orders: tuple[Order, ...]
    images: Mapping[int, SkyImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one target.

    Attributes:
        row: of the ledger.
        state: done, uncovered, failed or quarantined (values of ``State``).
        images: how many it was made of.
        covered: share of its pixels that have a value, the mean over its bands.
        size: bytes of the cutout.
        sha256: its digest.
        pixels: of all bands.
        seconds: that it took.
        error_class: name of the error; None where it is done.
        error_message: what was wrong.
    """

    row: int
    state: str
    images: int | None = None
    covered: float | None = None
    size: int | None = None
    sha256: str | None = None
    pixels: int = 0
    seconds: float | None = None
    error_class: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a batch."""
