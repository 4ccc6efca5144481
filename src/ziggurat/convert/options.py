"""Everything that a job is told, as values: what decides the output, and what only decides the running."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from ziggurat.convert.wanted import Wanted
from ziggurat.errors import UsageError
from ziggurat.model import JSON
from ziggurat.write.b2nd import B2ndOptions
from ziggurat.write.jp2 import Jp2Options
from ziggurat.write.jpeg import JpegOptions
from ziggurat.write.omezarr import OmeZarrOptions
from ziggurat.write.picture import PictureOptions
from ziggurat.write.ptiff import PtiffOptions

type Decode = Literal["full", "fast"]
type Oversize = Literal["refuse", "ptiff", "downscale", "skip"]
type EngineName = Literal["local", "dask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What decides the bytes of the outputs and their names. A job keeps it; it cannot change under way.

    Attributes:
        target: a name of ``ziggurat.write.table.TARGETS``.
        jpeg: of the JPEG writer.
        ptiff: of the pyramidal TIFF writer.
        jp2: of the writers of JPEG 2000 and HTJ2K.
        b2nd: of the writer of Blosc2 arrays.
        omezarr: of the OME-Zarr writer.
        picture: how pixels are prepared.
        name: template of the target names, or None for the source's own path.
        columns: role to manifest column.
        oversize: what to do with images that the target cannot hold.
        decode: fast leaves out of lossless JPEG 2000 sources what a JPEG cannot show, within a measured tolerance.
        fidelity: what every JPEG has to reach, instead of a quality for all.
    """

    target: str
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    ptiff: PtiffOptions = field(default_factory=PtiffOptions)
    jp2: Jp2Options = field(default_factory=Jp2Options)
    b2nd: B2ndOptions = field(default_factory=B2ndOptions)
    omezarr: OmeZarrOptions = field(default_factory=OmeZarrOptions)
    picture: PictureOptions = field(default_factory=PictureOptions)
    name: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    oversize: Oversize = "refuse"
    decode: Decode = "full"
    fidelity: Wanted | None = None

    def __post_init__(self) -> None:
        if self.fidelity is not None and self.target != "jpeg":
            raise UsageError(
                f"--fidelity: only --to jpeg knows that, not {self.target}; JPEG 2000 has --psnr and --rate"
            )
        if self.target == "htj2k":
            self.jp2.require_ht()
        if self.decode == "fast" and self.target not in {"jpeg", "ptiff"}:
            raise UsageError(f"--decode fast: only JPEG loses what it leaves out, not {self.target}")
        if self.decode == "fast" and self.fidelity is not None:
            raise UsageError(
                "--decode fast goes by a quality; --fidelity finds that by decoding in full: choose one of them"
            )

    def of(self, target: str) -> JpegOptions | PtiffOptions | Jp2Options | B2ndOptions | OmeZarrOptions:
        """The options of a target's writer."""
        match target:
            case "jpeg":
                return self.jpeg
            case "ptiff":
                return self.ptiff
            case "b2nd":
                return self.b2nd
            case "ome-zarr":
                return self.omezarr
        return self.jp2

    def record(self) -> dict[str, JSON]:
        """The options as plain values, for the ledger; those of other targets left out."""
        values = json.loads(json.dumps(asdict(self)))
        used = {"jp2" if self.target == "htj2k" else self.target.replace("-", "")}
        used |= {"ptiff"} if self.oversize == "ptiff" else set()
        own = {"jpeg", "ptiff", "jp2", "b2nd", "omezarr"}
        # Jobs that were made before there was a choice are resumed by one that makes none.
        left_out = own - used | ({"decode"} if self.decode == "full" else set())
        return {key: value for key, value in values.items() if key not in left_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What decides only how the job runs; may differ every time.

    Attributes:
        workers: processes.
        memory: bytes for all processes together.
        engine: what runs the work: processes of this machine, or a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster of processes on this machine.
        attempts: how often an image is tried before it is quarantined or failed.
        timeout: seconds for one image, or None to go by its pixels.
        overwrite: whether targets that exist are replaced.
        retry_failed: whether failed, quarantined and refused rows are tried again.
        replan: whether a changed manifest is taken over.
        headers: headers read before the first image is converted; the rest are read on the way.
        on_item_complete: command for every completed item.
        notify: URL that gets JSON on end, stall and failure rate.
        stall_minutes: minutes without a finished image that count as a stall.
        failure_limit: share of failed images that is notified.
    """

    workers: int
    memory: int
    engine: EngineName = "local"
    scheduler: str | None = None
    attempts: int = 3
    timeout: float | None = None
    overwrite: bool = False
    retry_failed: bool = False
    replan: bool = False
    headers: int = 20_000
    on_item_complete: str | None = None
    notify: str | None = None
    stall_minutes: float = 10.0
    failure_limit: float = 0.05

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers}: at least one is needed")
        if self.scheduler is not None and self.engine != "dask":
            raise UsageError(f"--scheduler {self.scheduler}: that is for --engine dask")
        if self.attempts < 1:
            raise UsageError(f"--attempts {self.attempts}: at least one is needed")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"--timeout {self.timeout}: more than 0 seconds are needed")
        if self.headers < 0:
            raise UsageError(f"--headers {self.headers}: 0 or more are needed")
        if not self.stall_minutes > 0:
            raise UsageError(f"--stall-minutes {self.stall_minutes}: more than 0 minutes are needed")
        if not 0 <= self.failure_limit <= 1:
            raise UsageError(f"--failure-limit {self.failure_limit} is no share from 0 to 1")


def differences(before: Mapping[str, JSON], now: Mapping[str, JSON], path: str = "") -> list[str]:
    """What changed between two records of options, as ``jpeg.quality was 92, is 85``."""
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append(f"{path}{key} was {json.dumps(old)}, is {json.dumps(new)}")
    return found
