"""``ziggurat cutout SOURCE... --ra --dec --size``: pixels around positions on the sky."""

import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ziggurat.cli import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.convert import default_job
from ziggurat.cli.parsing import NO_NETWORK, Network, publish
from ziggurat.cli.passing import counted
from ziggurat.codec.lupton import Curve
from ziggurat.convert.job import default_workers, signals
from ziggurat.convert.manifest import parse_columns
from ziggurat.convert.progress import LogFormat, default_display
from ziggurat.convert.text import percent, visible
from ziggurat.errors import UsageError, WriteError
from ziggurat.sky.angles import parse_angle, parse_extent, parse_position
from ziggurat.sky.bands import parse_bands
from ziggurat.sky.colour import ColourOptions
from ziggurat.sky.options import CutoutOptions, Fields, Method, Quantity
from ziggurat.sky.schema import UNSUCCESSFUL, State
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.urls import is_pack

if TYPE_CHECKING:
    from ziggurat.sky.job import CutoutJob, CutoutRequest

Flag = Annotated[bool, Parameter(negative="")]

PROBLEMS = 5
"""Targets without a cutout, which are told of at the end."""


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """The targets.

    Attributes:
        ra: right ascension: degrees, or sexagesimal hours; the first coordinate of other frames, in degrees.
        dec: declination: degrees, or sexagesimal degrees; the second coordinate of other frames.
        frame: of the positions: icrs, fk5, fk4, galactic, supergalactic or ecliptic.
        catalogue: a CSV or FITS table of targets instead.
        columns: what its columns are: ROLE=COLUMN,...; roles are ra, dec and name.
        name: template of the cutouts' names, such as "{name}/{row}"; fields are row, name, ra, dec and all columns.
    """

    ra: str | None = None
    dec: str | None = None
    frame: str = "icrs"
    catalogue: Path | None = None
    columns: str = ""
    name: str | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """What cutouts hold.

    Attributes:
        size: of a side, or HEIGHT,WIDTH, with a unit: deg, arcmin, arcsec, mas or px.
        bands: bands to take, in their order: g,r,i, or g=G.1234,r=R.1234 where FILTER says it so; all unless given.
        band_pattern: of file names, with {band} in it, where headers do not name the band: "frame-{band}-*.fits".
        fields: images of a band: best (one), all that overlap, or auto: all only where no single one covers the cutout.
        pixel_scale: of a new grid with north up, such as 0.4arcsec.
        project: of a new grid: TAN, SIN, ZEA, CAR and others that need no parameters.
        method: of bringing pixels onto another grid: exact, adaptive, or interp (fast).
        quantity: what pixels hold: flux, which is divided among pixels, or brightness, which is not.
        match_background: take out constant differences between images that overlap.
        weights: name of weight maps beside images, such as "{stem}.weight.fits".
    """

    size: str
    bands: str | None = None
    band_pattern: str | None = None
    fields: Fields = "auto"
    pixel_scale: str | None = None
    project: str | None = None
    method: Method = "exact"
    quantity: Quantity = "flux"
    match_background: Flag = False
    weights: str | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class Shown:
    """How pictures show their bands (Lupton et al. 2004).

    Attributes:
        curve: asinh, linear or log.
        minimum: value that is black; every band's own sky unless given.
        stretch: of asinh, Lupton's stretch; of others, the range from black to white; by the pixels unless given.
        q: Lupton's Q; by the pixels unless given.
        band_scales: factors of the bands, such as 1.0,0.8,0.7.
        rgb: the bands that become red, green and blue, such as i,r,g; all, spread from blue to red, unless given.
        quality: of lossy pictures, 1 to 100.
    """

    curve: Curve = "asinh"
    minimum: float | None = None
    stretch: float | None = None
    q: float | None = None
    band_scales: str | None = None
    rgb: str | None = None
    quality: int = 92

    def options(self) -> ColourOptions:
        """The options of pictures."""
        try:
            scales = () if self.band_scales is None else tuple(float(part) for part in self.band_scales.split(","))
        except ValueError:
            raise UsageError(f"--band-scales {self.band_scales!r} is not numbers with commas between them") from None
        return ColourOptions(
            curve=self.curve,
            minimum=self.minimum,
            stretch=self.stretch,
            q=self.q,
            scales=scales,
            rgb=() if self.rgb is None else tuple(part.strip() for part in self.rgb.split(",")),
            quality=self.quality,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Running:
    """Where cutouts go, and how the work runs.

    Attributes:
        out: what cutouts are: fits, png, jpg, webp or avif; pack is fits, and the destination a pack.
        dest: the file, or with a catalogue the folder, prefix or pack (.zpk); unless given, a file in this folder.
        job: with a catalogue, the ledger's file; beside the destination unless given.
        workers: with a catalogue, processes; one per core unless given.
        memory: that one cutout may take, such as 2G.
        overwrite: replace cutouts that exist.
        retry_failed: try failed targets of a catalogue again.
        dry_run: of a catalogue, tell what would be cut and change nothing.
        log_format: text, or json for one JSON object a line, on standard error.
    """

    out: Literal["fits", "png", "jpg", "webp", "avif", "pack"] = "fits"
    dest: str | None = None
    job: Path | None = None
    workers: int | None = None
    memory: str = "2G"
    overwrite: Flag = False
    retry_failed: Flag = False
    dry_run: Flag = False
    log_format: LogFormat = "text"


EVERYWHERE = Where()
AS_USUAL = Shown()
NORMALLY = Running()


def cutout(
    *sources: str,
    what: What,
    where: Where = EVERYWHERE,
    shown: Shown = AS_USUAL,
    running: Running = NORMALLY,
    network: Network = NO_NETWORK,
) -> int:
    """Cut positions on the sky out of FITS images: only the bytes of the cutouts are read.

    Without --pixel-scale and --project, pixels are those of the image that covers most; images are joined where one
    alone does not cover the cutout. With a catalogue, the same command again resumes.

    Args:
        sources: an index that `ziggurat footprints` made, or folders, globs, prefixes and files.
        what: what cutouts hold.
        where: the targets.
        shown: how pictures show their bands.
        running: where cutouts go, and how the work runs.
        network: how stores are reached.
    """
    if not sources:
        raise UsageError("give an index of footprints, or folders or files with FITS images")
    single = where.ra is not None and where.dec is not None
    if single == (where.catalogue is not None) or (where.ra is None) != (where.dec is None):
        raise UsageError("give --ra and --dec for one target, or --catalogue for many")
    if running.out == "pack" and (single or not is_pack(running.dest or "")):
        raise UsageError("--out pack is for a catalogue's FITS cutouts; give the pack with --dest NAME.zpk")
    options = CutoutOptions(
        kind="fits" if running.out == "pack" else running.out,
        extent=parse_extent(what.size),
        bands=parse_bands(what.bands, what.band_pattern),
        fields=what.fields,
        projection=None if what.project is None else what.project.upper(),
        scale=None if what.pixel_scale is None else parse_angle(what.pixel_scale, "--pixel-scale"),
        method=what.method,
        quantity=what.quantity,
        match_background=what.match_background,
        weights=what.weights,
        colour=shown.options(),
    )
    network.options()
    if single:
        return _one(sources, where, options, running)
    return _many(sources, where, options, running, network)


def _one(sources: tuple[str, ...], where: Where, options: CutoutOptions, running: Running) -> int:
    from ziggurat.sky.one import cut_one  # noqa: PLC0415 - astropy takes a second to import

    place = parse_position(where.ra or "", where.dec or "", where.frame)
    with counted("files looked at") as looked:
        made = cut_one(sources, place, options, memory=parse_bytes(running.memory), looked=looked)
    name = running.dest or f"{place.ra.deg:.5f}{place.dec.deg:+.5f}{made.suffix}"
    print(f"{publish(lambda path: path.write_bytes(made.data), name, overwrite=running.overwrite)}: {made.summary}")
    for line in made.sources:
        print(f"  {visible(line)}")
    return EXIT_OK


def _many(sources: tuple[str, ...], where: Where, options: CutoutOptions, running: Running, network: Network) -> int:
    from ziggurat.sky.catalogue import ROLES, open_catalogue  # noqa: PLC0415 - astropy takes a second to import
    from ziggurat.sky.job import CutoutJob, CutoutRequest  # noqa: PLC0415 - as above

    if where.catalogue is None or running.dest is None:
        raise UsageError("a catalogue's cutouts need a folder, a prefix or a pack; give it with --dest")
    if running.workers is not None and running.workers < 1:
        raise UsageError(f"--workers {running.workers}: at least one is needed")
    request = CutoutRequest(
        sources=sources,
        catalogue=open_catalogue(where.catalogue, parse_columns(where.columns, ROLES), where.frame),
        destination=running.dest,
        ledger=running.job or default_job(running.dest),
        options=options,
        name=where.name,
        workers=running.workers or default_workers(),
        memory=parse_bytes(running.memory),
        overwrite=running.overwrite,
        retry_failed=running.retry_failed,
        network=network.options(),
    )
    if running.dry_run:
        return _dry_run(request, running.log_format)
    with counted("files looked at") as looked:
        job = CutoutJob(request, default_display(running.log_format), looked)
    with job:
        print(f"job {request.ledger}" + (" (resumed)" if job.resumed else ""), flush=True)
        coordinator = job.coordinator()
        with signals(coordinator) as received:
            coordinator.run()
        if coordinator.full is not None:
            raise WriteError(f"the job stopped, nothing is lost: {coordinator.full}")
        return _conclude(job, received)


def _dry_run(request: "CutoutRequest", log_format: LogFormat) -> int:
    from ziggurat.sky.job import CutoutJob  # noqa: PLC0415 - as above

    with TemporaryDirectory(prefix="ziggurat-plan-") as folder, counted("files looked at") as looked:
        pretended = replace(request, ledger=Path(folder) / "plan.zgj")
        with CutoutJob(pretended, default_display(log_format), looked) as job:
            return _told(job)


def _told(job: "CutoutJob") -> int:
    """Says where the targets stand; returns the exit code."""
    counts = job.ledger.counts()
    total = sum(counts.values())
    parts = [f"{counts[state]} {state}" for state in State if state in counts]
    print(f"{total} targets: {', '.join(parts)} ({percent(counts.get(State.DONE, 0), total)} done)")
    for row, name, state, reason in job.ledger.problems(PROBLEMS):
        print(f"  {row} {visible(name)} {state}: {visible(reason or '')}")
    return EXIT_SOME_FAILED if any(counts.get(state) for state in UNSUCCESSFUL) else EXIT_OK


def _conclude(job: "CutoutJob", received: list[int]) -> int:
    code = _told(job)
    print(f"cutouts: {job.request.destination}\njob:     {job.request.ledger}")
    if received:
        print("interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED if received[0] in {signal.SIGINT, signal.SIGTERM} else EXIT_ERROR
    return code
