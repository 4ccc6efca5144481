"""The values that pass between the coordinator, its workers and the ledger. Plain and picklable."""

from dataclasses import dataclass
from typing import Literal

type Strategy = Literal["whole", "bands"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bytes that tasks may take.

    Attributes:
        total: for all tasks together.
        bands: what one task takes when it works in bands.
    """

    total: int
    bands: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the header of one source says about its conversion.

    Attributes:
        image: row of the ledger.
        verdict: planned, refused, deferred or skipped (values of ``State``).
        writer: the target's name; another than the job's where an oversized image goes elsewhere.
        shrink: integer reduction, 1 for none.
        error_class: name of the error, where the verdict is not planned.
    """

    image: int
    verdict: str
    source_size: int | None = None
    source_tag: str | None = None
    format: str | None = None
    height: int | None = None
    width: int | None = None
    bands: int | None = None
    bit_depth: int | None = None
    writer: str | None = None
    strategy: Strategy | None = None
    predicted_memory: int | None = None
    error_class: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One image to convert.

    Attributes:
        image: row of the ledger.
        target: key below the destination.
        token: names the temporary file, of every attempt another; empty until it begins.
        source_tag: version that was planned.
        expected_sha256: of the source, where the manifest states it.
        replaces: SHA-256 of an output of this same row that may be replaced, if there was one.
        memory: bytes that the task may plan with.
        cap: bytes at which it is stopped.
        samples: height x width x bands, for the time limit and the progress.
        pixels: height x width.
        attempt: counted from 1.
    """

    image: int
    source: str
    target: str
    token: str
    source_size: int
    source_tag: str
    expected_sha256: str | None
    replaces: str | None
    writer: str
    strategy: Strategy
    memory: int
    cap: int
    pixels: int
    samples: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How a source was decoded that might be decoded faster than in full, and what that costs.

    The losses are those of sampled tiles, whether they were found small enough or not; None where nothing could be
    left out, and where another was too large already.

    Attributes:
        fast: whether something was left out.
        psnr_lost: decibels by which their outputs are worse than those of a full decode, against the source.
        ssimulacra2_lost: points by which the worst of them is.
        growth: part by which they are larger.
    """

    fast: bool
    psnr_lost: float | None = None
    ssimulacra2_lost: float | None = None
    growth: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An output that lies in its temporary file and holds the source's pixels.

    Attributes:
        settings: what was chosen for this image, as JSON; None where all images of a job have the same.
    """

    image: int
    source_sha256: str
    output_size: int
    output_sha256: str
    read_seconds: float
    write_seconds: float
    verify_seconds: float
    psnr: float
    ssimulacra2: float | None
    warnings: tuple[str, ...]
    decoding: Decoding | None = None
    settings: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An output in its place."""

    image: int
    output_tag: str
    publish_seconds: float
    cpu_seconds: float
    peak_memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that ended without an output."""

    image: int
    error_class: str
    error_message: str
    peak_memory: int | None = None


def naming(source: str, message: str) -> str:
    """An error's message, with the source in front unless it says that already."""
    return message if source in message else f"{source}: {message}"
