"""The cutouts of a catalogue: planned once, made by workers, recorded in a ledger; the same command resumes."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

from astropy.coordinates import SkyCoord

from ziggurat import __version__
from ziggurat.convert.guard import Guard
from ziggurat.convert.job import ACCESS_CHECK
from ziggurat.convert.ledger.connection import is_blank
from ziggurat.convert.naming import Template, parse_template
from ziggurat.convert.options import differences
from ziggurat.convert.progress import Progress
from ziggurat.errors import JobChanged, TargetRefused, UsageError
from ziggurat.model import JSON
from ziggurat.sky.catalogue import Catalogue, Target
from ziggurat.sky.coordinator import Coordinator
from ziggurat.sky.footprints import Footprints, open_footprints
from ziggurat.sky.images import SkyImage
from ziggurat.sky.ledger import CutoutLedger, PlannedTarget
from ziggurat.sky.options import CutoutOptions
from ziggurat.sky.outputs import kind
from ziggurat.sky.plan import choose
from ziggurat.sky.records import Batch, Finished, Outcome
from ziggurat.sky.schema import State
from ziggurat.sky.worker import WorkerConfig, serve
from ziggurat.storage.destination import open_destination
from ziggurat.storage.names import check_key
from ziggurat.storage.network import NetworkOptions, configure
from ziggurat.storage.urls import absolute

WORKER_BASE: Final = 320 << 20
"""Resident bytes of a worker with astropy and reproject loaded and nothing in hand (measured 200 to 290 MiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoutRequest:
    """What ``ziggurat cutout --catalogue`` was asked for.

    Attributes:
        sources: one index of footprints, or folders, patterns, prefixes and files.
        catalogue: the targets.
        destination: folder or prefix.
        ledger: the job's file.
        options: what decides the cutouts.
        name: template of their names, or None.
        workers: processes.
        memory: bytes that one cutout may take.
        overwrite: whether cutouts that exist are replaced.
        retry_failed: whether failed targets are tried again.
        network: how stores are reached.
    """

    sources: tuple[str, ...]
    catalogue: Catalogue
    destination: str
    ledger: Path
    options: CutoutOptions
    name: str | None
    workers: int
    memory: int
    overwrite: bool
    retry_failed: bool
    network: NetworkOptions


class CutoutJob:
    """One job, open for work. Use as a context manager."""

    def __init__(
        self, request: CutoutRequest, progress: Progress, looked: Callable[[int], None] = lambda _: None
    ) -> None:
        """Makes the job, or resumes it.

        Args:
            request: what was asked for.
            progress: counts and shows.
            looked: called with the number of files whose headers were looked at.
        """
        configure(request.network)
        self.request = request
        self.progress = progress
        self._looked = looked
        self._scratch = request.ledger.with_name(request.ledger.name + ".scratch")
        self._destination = open_destination(request.destination, scratch=os.fspath(self._scratch))
        # Wrong credentials are one error now, not one for every target.
        self._destination.exists(ACCESS_CHECK)
        self._template = self._parsed_template()
        self.resumed = not is_blank(request.ledger)
        self.ledger = self._resume() if self.resumed else self._create()

    def _parsed_template(self) -> Template | None:
        known = {"row", "name", "ra", "dec", *self.request.catalogue.header}
        suffix = kind(self.request.options.kind).suffix
        return None if self.request.name is None else parse_template(self.request.name, suffix, known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.progress.display.close()
        self.ledger.close()
        if self._scratch.is_dir() and not any(self._scratch.iterdir()):
            self._scratch.rmdir()

    # -- planning ---------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, JSON]:
        request = self.request
        return {
            "version": __version__,
            "sources": [absolute(source) for source in request.sources],
            "destination": absolute(request.destination),
            "options": request.options.record() | {"name": request.name, "roles": dict(request.catalogue.roles)},
            "frame": request.catalogue.frame,
            "catalogue_sha256": request.catalogue.sha256,
        }

    def _create(self) -> CutoutLedger:
        self.request.ledger.parent.mkdir(parents=True, exist_ok=True)
        ledger = CutoutLedger.create(self.request.ledger, self._facts(), self.request.catalogue.header)
        try:
            self._plan(ledger)
        except BaseException:
            ledger.discard()
            raise
        return ledger

    def _plan(self, ledger: CutoutLedger) -> None:
        with open_footprints(self.request.sources, self._looked) as footprints, ledger.transaction():
            for targets in self.request.catalogue.targets():
                images: dict[int, SkyImage] = {}
                ledger.add(self._planned(targets, footprints, images), len(self.request.catalogue.header))
                ledger.add_images(images)
            ledger.finish_planning()
        if not ledger.counts():
            raise UsageError(f"the catalogue {self.request.catalogue.path} has no rows")

    def _planned(
        self, targets: tuple[Target, ...], footprints: Footprints, images: dict[int, SkyImage]
    ) -> Iterator[PlannedTarget]:
        located = [target for target in targets if target.problem is None]
        choices = {}
        if located:
            places = SkyCoord([t.ra for t in located], [t.dec for t in located], unit="deg")
            chosen = choose(footprints, places, self.request.options)
            choices = {target.row: choice for target, choice in zip(located, chosen, strict=True)}
        for target in targets:
            if target.problem is not None:
                yield target, None, State.REFUSED, {}, (UsageError.__name__, target.problem)
                continue
            choice = choices[target.row]
            if not choice.bands:
                reason = "; ".join(choice.problems) or "no image covers it"
                yield target, None, State.UNCOVERED, {}, ("NotCovered", reason)
                continue
            try:
                key = self._key(target)
            except TargetRefused as error:
                yield target, None, State.REFUSED, {}, (TargetRefused.__name__, str(error))
                continue
            for number in {number for numbers in choice.bands.values() for number in numbers} - images.keys():
                images[number] = footprints.image(number)[0]
            yield target, key, State.PLANNED, choice.bands, None

    def _key(self, target: Target) -> str:
        catalogue = self.request.catalogue
        if self._template is None:
            plain = re.sub(r"[^A-Za-z0-9.+-]+", "_", target.name).strip("_.")
            name = plain or f"{target.row:06d}_{target.ra:.5f}{target.dec:+.5f}"
            key = name + kind(self.request.options.kind).suffix
        else:
            fields = dict(zip(catalogue.header, target.columns, strict=True))
            numbers = {"row": str(target.row), "ra": f"{target.ra:.5f}", "dec": f"{target.dec:+.5f}"}
            key = self._template.name(fields | numbers | {"name": target.name})
        check_key(key)
        return key

    def _resume(self) -> CutoutLedger:
        ledger = CutoutLedger.open(self.request.ledger)
        try:
            facts = self._facts()
            compared = [key for key in facts if key != "version"]
            changed = differences({key: ledger.fact(key) for key in compared}, {key: facts[key] for key in compared})
            if changed:
                raise JobChanged(  # noqa: TRY301 - the ledger is closed here
                    f"{self.request.ledger} was planned otherwise: {'; '.join(changed)}. Cutouts of one job are never "
                    "mixed: use the same options and catalogue, or start another job with --job and another destination"
                )
            if ledger.fact("planned_at") is None:
                self._plan(ledger)
            token = ledger.fact("id")
            for row, key in ledger.interrupted():
                self._destination.cleanup(key, f"{token}-{row}")
            with ledger.transaction():
                again = (State.FAILED, State.QUARANTINED) if self.request.retry_failed else ()
                ledger.put_back((State.RUNNING, *again))
        except BaseException:
            ledger.close()
            raise
        return ledger

    # -- running ----------------------------------------------------------------------------------------------

    def coordinator(self) -> Coordinator:
        """What runs the open rows."""
        request = self.request
        config = WorkerConfig(
            options=request.options,
            destination=request.destination,
            scratch=os.fspath(self._scratch),
            job=str(self.ledger.fact("id")),
            overwrite=request.overwrite,
            network=request.network,
            memory=request.memory,
        )
        guard: Guard[Batch, Outcome | Finished] = Guard(
            request.workers, partial(serve, config=config), (Finished,), WORKER_BASE
        )
        return Coordinator(self.ledger, guard, self._destination, self.progress, 2 * request.memory)
