"""``ziggurat convert SOURCE... DEST``: a whole collection, converted, verified, stored and recorded."""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from cyclopts import Parameter

from ziggurat.cli import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import NO_NETWORK, Network, parse_integers
from ziggurat.convert.collection import publish_collection
from ziggurat.convert.forecast import forecast
from ziggurat.convert.job import Job, JobRequest, default_memory, default_workers, signals
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.manifest import parse_columns
from ziggurat.convert.options import Decode, EngineName, OutputOptions, Oversize, RunOptions
from ziggurat.convert.progress import LogFormat, default_display
from ziggurat.convert.text import duration, size
from ziggurat.convert.wanted import Wanted, parse_wanted
from ziggurat.errors import UsageError, WriteError
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.urls import ICECHUNK, is_pack, local_path
from ziggurat.write.b2nd import B2ndOptions
from ziggurat.write.b2nd.options import Codec
from ziggurat.write.jp2 import Jp2Options
from ziggurat.write.jpeg import JpegOptions
from ziggurat.write.omezarr import OmeZarrOptions
from ziggurat.write.picture import PictureOptions
from ziggurat.write.ptiff import PtiffOptions
from ziggurat.write.table import target

Flag = Annotated[bool, Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """What the outputs are.

    Attributes:
        to: the target.
        quality: of jpeg, webp and jp2, 1 to 100; 92 unless given. JPEG 2000 is lossless unless rate, psnr or, for jp2
            and htj2k, quality is given.
        subsampling: of JPEG's chroma.
        fidelity: instead of quality and subsampling, what every JPEG has to reach with as few bytes as can be:
            ssimulacra2=85, psnr=45, or same-as=q92 for what quality 92 gives.
        floor: SSIMULACRA2 of an image's worst tile below which --fidelity marks it for review; 70 unless given.
        compression: of a ptiff's tiles; lossy ones take the quality.
        tile: pixels a side of a ptiff's tiles, a b2nd's blocks and an ome-zarr's chunks; 512 unless given, 1024 of
            virtual levels.
        levels: an ome-zarr's: stored; source, which copies those that the source has itself; or virtual, of which only
            the finest is stored.
        pyramid: where a ptiff's levels lie: pages (most readers), subifd, or ome for QuPath and Bio-Formats.
        profile: how jp2 and htj2k files are laid out: cloud, or for jp2 bodleian, ndnp or kb-dk.
        codec: of an ome-zarr's chunks or a b2nd's blocks: zstd, or jpeg2k or htj2k, lossless unless told otherwise; of
            a b2nd's also grok, blosc2_j2k and blosc2_htj2k, for readers with these plugins. zstd unless given, htj2k of
            virtual levels.
        rate: compression ratio of JPEG 2000: 8 makes an eighth of the uncompressed bytes.
        psnr: decibels that JPEG 2000 should reach, in files, tiles of a ptiff, chunks and blocks alike.
        srgb: convert colours to sRGB instead of keeping the ICC profile.
        background: R,G,B under transparent pixels where the target has no transparency.
        sample_range: LO,HI of the samples that become black and white, for floating point and scientific images.
        bands: the source's bands to take, such as 0,1,2.
        oversize: what to do with images that the target cannot hold: refuse, ptiff, downscale or skip.
        decode: full, or fast: leave out of lossless JPEG 2000 the noise that a JPEG discards, if samples lose little.
        name: template of the target names, such as "{group}/{item}/{name}.jpg".
        columns: what a manifest's columns are: ROLE=COLUMN,...; roles are source, item, name, group, checksum.
    """

    to: Literal["jpeg", "ptiff", "jp2", "htj2k", "ome-zarr", "b2nd"]
    quality: int | None = None
    subsampling: Literal["444", "422", "420"] = "444"
    fidelity: str | None = None
    floor: float | None = None
    compression: Literal["jpeg", "deflate", "zstd", "lzw", "webp", "jpeg2000", "none"] = "jpeg"
    tile: int | None = None
    levels: Literal["stored", "source", "virtual"] = "stored"
    pyramid: Literal["pages", "subifd", "ome"] = "pages"
    profile: str | None = None
    codec: Codec | None = None
    rate: float | None = None
    psnr: float | None = None
    srgb: Flag = False
    background: str = "255,255,255"
    sample_range: str | None = None
    bands: str | None = None
    oversize: Oversize = "refuse"
    decode: Decode = "full"
    name: str | None = None
    columns: str = ""

    def options(self) -> OutputOptions:
        """The options of the job."""
        if self.quality is not None and self.to in {"ome-zarr", "b2nd"}:
            raise UsageError(f"--quality: {self.to} does not know that; what JPEG 2000 loses is said by --psnr")
        if self.psnr is not None and self.to == "jpeg":
            raise UsageError("--psnr is JPEG 2000's; jpeg has --quality")
        if self.rate is not None and self.to not in {"jp2", "htj2k", "b2nd"}:
            raise UsageError(f"--rate: only --to jp2, htj2k and b2nd know that, not {self.to}")
        ptiff = PtiffOptions(
            compression=self.compression,
            # Of another target's oversized images only what both understand holds.
            quality=self.quality if self.to == "ptiff" or self.compression != "jpeg2000" else None,
            psnr=self.psnr if self.to == "ptiff" else None,
            subsampling=self.subsampling,
            tile=512 if self.tile is None else self.tile,
            pyramid=self.pyramid,
        )
        return OutputOptions(
            target=self.to,
            jpeg=JpegOptions(quality=92 if self.quality is None else self.quality, subsampling=self.subsampling),
            ptiff=ptiff,
            jp2=self._jp2(),
            b2nd=self._b2nd(),
            omezarr=self._omezarr(),
            picture=self._picture(),
            name=self.name,
            columns=parse_columns(self.columns),
            oversize=self.oversize,
            decode=self.decode,
            fidelity=self._fidelity(),
        )

    def _fidelity(self) -> Wanted | None:
        if self.fidelity is None:
            if self.floor is not None:
                raise UsageError("--floor belongs to --fidelity")
            return None
        if self.quality is not None or self.subsampling != "444":
            raise UsageError("--fidelity chooses quality and subsampling; leave --quality and --subsampling out")
        return parse_wanted(self.fidelity, self.floor)

    def _jp2(self) -> Jp2Options:
        if self.to in {"jp2", "htj2k"}:
            return Jp2Options(self.profile or "cloud", self.rate, self.psnr, self.quality)
        if self.profile is not None:
            raise UsageError(f"--profile: only --to jp2 and htj2k know that, not {self.to}")
        return Jp2Options()

    def _b2nd(self) -> B2ndOptions:
        if self.to == "b2nd":
            tile = 512 if self.tile is None else self.tile
            return B2ndOptions(codec=self.codec or "zstd", tile=tile, rate=self.rate, psnr=self.psnr)
        return B2ndOptions()

    def _omezarr(self) -> OmeZarrOptions:
        if self.to != "ome-zarr":
            if self.levels != "stored":
                raise UsageError(f"--levels: only --to ome-zarr knows that, not {self.to}")
            if self.codec is not None and self.to != "b2nd":
                raise UsageError(f"--codec: only --to ome-zarr and b2nd know that, not {self.to}")
            return OmeZarrOptions()
        match self.codec or ("htj2k" if self.levels == "virtual" else "zstd"):
            case "zstd" | "jpeg2k" | "htj2k" as codec:
                return OmeZarrOptions(codec=codec, psnr=self.psnr, levels=self.levels, tile=self.tile)
        raise UsageError(f"--codec {self.codec}: Zarr's readers do not know that; choose zstd, jpeg2k or htj2k")

    def _picture(self) -> PictureOptions:
        red, green, blue = parse_integers(self.background, 3, "--background")
        chosen = None
        if self.bands is not None:
            chosen = parse_integers(self.bands, self.bands.count(",") + 1, "--bands")
        return PictureOptions(srgb=self.srgb, background=(red, green, blue), sample_range=self._range(), bands=chosen)

    def _range(self) -> tuple[float, float] | None:
        if self.sample_range is None:
            return None
        try:
            low, high = (float(part) for part in self.sample_range.split(","))
        except ValueError:
            raise UsageError(f"--sample-range {self.sample_range!r} is not LO,HI") from None
        return low, high


@Parameter(name="*")
@dataclass(frozen=True)
class Running:
    """How the job runs; may differ every time.

    Attributes:
        job: the job's file; beside the destination unless given.
        workers: processes; one per core unless given.
        memory: for all processes together, such as 8G; 70 % of the machine's or cgroup's unless given.
        engine: local, processes of this machine; or dask.
        scheduler: of a Dask cluster, such as tcp://host:8786, whose workers and memory are used; unless given, --engine
            dask starts a cluster of --workers processes on this machine.
        attempts: how often an image is tried whose decoder crashes, hangs or eats memory.
        timeout: seconds for one image; by its pixels unless given.
        headers: headers that are read before the first image is converted.
        dry_run: print the plan and change nothing.
        overwrite: replace targets that exist.
        retry_failed: try failed, quarantined and refused images again.
        replan: take over a manifest that has changed.
        on_item_complete: command for every item whose images are all done; {item} in it is replaced.
        notify: URL that gets JSON at the end, on stall and on a failure rate over the limit.
        stall_minutes: minutes without a finished image that count as a stall.
        failure_limit: share of failed images that is notified.
        log_format: text, or json for one JSON object a line, on standard error.
    """

    job: Path | None = None
    workers: int | None = None
    memory: str | None = None
    engine: EngineName = "local"
    scheduler: str | None = None
    attempts: int = 3
    timeout: float | None = None
    headers: int = 20_000
    dry_run: Flag = False
    overwrite: Flag = False
    retry_failed: Flag = False
    replan: Flag = False
    on_item_complete: str | None = None
    notify: str | None = None
    stall_minutes: float = 10.0
    failure_limit: float = 0.05
    log_format: LogFormat = "text"

    def options(self) -> RunOptions:
        """The options of this run."""
        if self.notify is not None and not self.notify.startswith(("http://", "https://")):
            raise UsageError(f"--notify {self.notify!r} is not an http or https URL")
        if self.scheduler is not None and (self.workers, self.memory) != (None, None):
            raise UsageError("--workers and --memory are those of the cluster where --scheduler is given")
        return RunOptions(
            workers=default_workers() if self.workers is None else self.workers,
            memory=default_memory() if self.memory is None else parse_bytes(self.memory),
            engine=self.engine,
            scheduler=self.scheduler,
            attempts=self.attempts,
            timeout=self.timeout,
            overwrite=self.overwrite,
            retry_failed=self.retry_failed,
            replan=self.replan,
            headers=self.headers,
            on_item_complete=self.on_item_complete,
            notify=self.notify,
            stall_minutes=self.stall_minutes,
            failure_limit=self.failure_limit,
        )


NORMALLY = Running()
"""A run that was told nothing."""


def convert(*places: str, output: Output, running: Running = NORMALLY, network: Network = NO_NETWORK) -> int:
    """Convert a collection: every image verified, every step in a ledger. The same command again resumes.

    Args:
        places: SOURCE... DEST: folders, globs, s3:// and other prefixes, single files, or one CSV manifest; then the
            folder or prefix for the outputs.
        output: what the outputs are.
        running: how the job runs.
        network: how stores are reached.
    """
    if len(places) < 2:  # noqa: PLR2004 - a source and a destination
        raise UsageError("give at least one source, and the destination last")
    *sources, destination = places

    if target(output.to).folder and is_pack(destination):
        raise UsageError(f"an {output.to} output is a folder of files, which no pack holds; give a folder or a store")
    if destination.startswith(ICECHUNK) and (output.to != "ome-zarr" or output.levels == "virtual"):
        raise UsageError(
            "an Icechunk repository holds --to ome-zarr with --levels stored or source: other outputs are no arrays, "
            "and what it stores cannot be referred to from another level"
        )
    request = JobRequest(
        sources=tuple(sources),
        destination=destination,
        ledger=running.job or default_job(destination),
        options=output.options(),
        run=running.options(),
        network=network.options(),
    )
    if running.dry_run:
        return _dry_run(request, running.log_format)
    with Job(request, default_display(running.log_format)) as job:
        print(f"job {request.ledger}" + (" (resumed)" if job.resumed else ""), flush=True)
        for note in job.notes:
            print(note)
        coordinator = job.coordinator()
        with signals(coordinator) as received:
            coordinator.read_headers(request.run.headers)
            workers = request.run.workers if request.run.scheduler is None else coordinator.engine.size
            print(forecast(job.ledger, workers), flush=True)
            coordinator.run()
        coordinator.notifier.tell("end", job.progress.summary() | {"interrupted": bool(received)})
        if coordinator.full is not None:
            raise WriteError(f"the job stopped, nothing is lost: {coordinator.full}")
        if target(request.options.target).folder and not received:
            listed = publish_collection(request.ledger, job.destination, f"{job.ledger.fact('id')}-collection")
            print(f"listed:  {listed} images in {job.destination.url('zarr.json')}")
        return _conclude(job, request, received)


def default_job(destination: str) -> Path:
    """Where a job's file lies unless told: beside a local destination, or in the current folder."""
    place = local_path(destination.removeprefix(ICECHUNK))
    if place is None:
        name = destination.rstrip("/").rpartition("/")[2] or "job"
        return Path(f"{name}.zgj")
    place = Path(os.path.abspath(place))  # noqa: PTH100 - resolve() would follow a linked destination away
    return place.with_name(place.name + ".zgj")


def _dry_run(request: JobRequest, log_format: LogFormat) -> int:
    with TemporaryDirectory(prefix="ziggurat-plan-") as folder:
        # A plan is for looking at: no cluster is started for it.
        here = replace(request.run, engine="local", scheduler=None)
        pretended = replace(request, ledger=Path(folder) / "plan.zgj", run=here)
        with Job(pretended, default_display(log_format)) as job:
            coordinator = job.coordinator()
            with signals(coordinator) as received:
                coordinator.read_headers(request.run.headers)
            if received:
                return EXIT_INTERRUPTED
            print(forecast(job.ledger, request.run.workers))
            refused = sum(job.summary().get(state, 0) for state in UNSUCCESSFUL)
            return EXIT_SOME_FAILED if refused else EXIT_OK


def _conclude(job: Job, request: JobRequest, received: list[int]) -> int:
    counts = job.summary()
    sizes = job.ledger.sizes()
    done = counts.get(State.DONE, 0)
    parts = [f"{done} done"] + [
        f"{counts[state]} {state}" for state in State if state in counts and state != State.DONE
    ]
    print(f"{', '.join(parts)}; {size(sizes.source)} became {size(sizes.output)}")
    if sizes.seconds:
        print(f"{sizes.megapixels:.0f} MP in {duration(sizes.seconds)}")
    print(f"outputs: {request.destination}\njob:     {request.ledger}")
    print(f"report:  ziggurat report {request.ledger}")
    if received:
        print("interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED if received[0] in {signal.SIGINT, signal.SIGTERM} else EXIT_ERROR
    unsuccessful = sum(counts.get(state, 0) for state in UNSUCCESSFUL)
    return EXIT_SOME_FAILED if unsuccessful else EXIT_OK
