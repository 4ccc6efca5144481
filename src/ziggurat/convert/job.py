"""A job as a whole: made or resumed, planned, run and summed up."""

import os
import signal
import stat
from collections.abc import Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, Self

from ziggurat import __version__
from ziggurat.convert import process
from ziggurat.convert.budgeting import budgeting
from ziggurat.convert.coordinator import Coordinator
from ziggurat.convert.engine.cluster import start_cluster
from ziggurat.convert.engine.local import Pool
from ziggurat.convert.engine.protocol import Engine
from ziggurat.convert.engine.station import Witness
from ziggurat.convert.hooks import ItemHooks, Notifier
from ziggurat.convert.ledger.connection import is_blank
from ziggurat.convert.ledger.ledger import Ledger
from ziggurat.convert.ledger.planning import PlannedRow
from ziggurat.convert.ledger.schema import UNSUCCESSFUL, State
from ziggurat.convert.manifest import (
    ROLES,
    Manifest,
    Row,
    listed_rows,
    manifest_rows,
    open_manifest,
    path_fields,
)
from ziggurat.convert.options import OutputOptions, RunOptions, differences
from ziggurat.convert.plan import plan_rows
from ziggurat.convert.progress import Progress
from ziggurat.convert.records import Published
from ziggurat.convert.worker import WorkerConfig
from ziggurat.errors import JobChanged, SourceNotFound, UsageError
from ziggurat.format.table import FORMATS
from ziggurat.model import JSON
from ziggurat.storage.destination import Destination, open_destination
from ziggurat.storage.folder import document_in
from ziggurat.storage.network import NetworkOptions, configure
from ziggurat.storage.urls import absolute, is_pack, local_path
from ziggurat.write.table import target

ACCESS_CHECK = "ziggurat-access-check"
"""A key that is looked for, and need not be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What ``ziggurat convert`` was asked for.

    Attributes:
        sources: folders, globs, prefixes and single files, or one manifest.
        destination: folder or prefix.
        ledger: the job's file.
        options: what decides the outputs.
        run: what decides only the running.
        network: how stores are reached.
    """

    sources: tuple[str, ...]
    destination: str
    ledger: Path
    options: OutputOptions
    run: RunOptions
    network: NetworkOptions


class Job:
    """One job, open for work. Use as a context manager."""

    def __init__(self, request: JobRequest, progress: Progress) -> None:
        configure(request.network)
        self.request = request
        self.progress = progress
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._engine: Engine | None = None
        self._scratch = request.ledger.with_name(request.ledger.name + ".scratch")
        self.destination: Destination = open_destination(request.destination, scratch=os.fspath(self._scratch))
        # Wrong credentials are one error now, not one for every image.
        self.destination.exists(ACCESS_CHECK)
        self._manifest = self._find_manifest()
        self._settings = budgeting(request.run.workers, request.run.memory)
        self.resumed = not is_blank(request.ledger)
        self.ledger = self._resume() if self.resumed else self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._engine is not None:
            # Whatever ended the job: workers that outlive it would keep this process from ending.
            self._engine.close()
        self._clear_witness(self.ledger)
        self.progress.display.close()
        self.ledger.close()
        if self._scratch.is_dir() and not any(self._scratch.iterdir()):
            self._scratch.rmdir()

    # -- planning ---------------------------------------------------------------------------------------------

    def _find_manifest(self) -> Manifest | None:
        sources = self.request.sources
        manifests = [source for source in sources if source.lower().endswith(".csv")]
        if not manifests:
            return None
        path = local_path(manifests[0])
        if len(sources) > 1 or path is None:
            raise UsageError("a manifest is one local CSV file; give it alone, its rows name the sources")
        return open_manifest(path, self.request.options.columns)

    def _facts(self) -> dict[str, JSON]:
        manifest = self._manifest
        return {
            "version": __version__,
            "sources": [absolute(source) for source in self.request.sources],
            "destination": absolute(self.request.destination),
            "options": self.request.options.record(),
            "manifest_sha256": None if manifest is None else manifest.sha256,
        }

    def _create(self) -> Ledger:
        self.request.ledger.parent.mkdir(parents=True, exist_ok=True)
        ledger = Ledger.create(
            self.request.ledger, self._facts(), () if self._manifest is None else self._manifest.header
        )
        try:
            self._plan_all(ledger)
        except BaseException:
            ledger.discard()
            raise
        return ledger

    def _plan_all(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.add_rows(self._planned(self._rows()))
            ledger.finish_planning()
        if not ledger.counts():
            raise SourceNotFound(
                f"no image was found in {', '.join(self.request.sources)}"
                + (f" ({len(self.skipped)} files have no image's suffix)" if self.skipped else "")
            )

    def _rows(self, known: Container[str] = frozenset()) -> Iterator[Row]:
        if self._manifest is not None:
            return manifest_rows(self._manifest)
        suffixes = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
        return listed_rows(self.request.sources, suffixes, self.skipped, known)

    def _planned(self, rows: Iterator[Row], taken: Container[str] = ()) -> Iterator[PlannedRow]:
        options = self.request.options
        fields = [*path_fields("a/b.c"), *ROLES]
        if self._manifest is not None:
            fields = [*path_fields("a/b.c"), *self._manifest.header, *self._manifest.roles]
        return plan_rows(rows, options.name, target(options.target).suffixes[0], fields, taken)

    # -- resuming ---------------------------------------------------------------------------------------------

    def _resume(self) -> Ledger:
        ledger = Ledger.open(self.request.ledger)
        try:
            if ledger.fact("planned_at") is None:
                self._plan_all(ledger)
            self._compare(ledger)
            self._settle_interrupted(ledger)
            self._reopen_changed(ledger)
            with ledger.transaction():
                again = (State.DEFERRED, *((*UNSUCCESSFUL,) if self.request.run.retry_failed else ()))
                retried = ledger.retry(again)
            if retried:
                self.notes.append(f"{retried} images that were not done are planned again")
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _compare(self, ledger: Ledger) -> None:
        """Refuses another job's options, and takes over what is new in the sources."""
        facts = self._facts()
        before: dict[str, JSON] = {key: ledger.fact(key) for key in facts}
        changed = differences(
            {key: before[key] for key in ("sources", "destination", "options")},
            {key: facts[key] for key in ("sources", "destination", "options")},
        )
        if changed:
            raise JobChanged(
                f"{self.request.ledger} was planned otherwise: {'; '.join(changed)}. Outputs of one job are never "
                "mixed: use the same options, or start another job with --job and another destination"
            )
        if self._manifest is None:
            self._take_new_files(ledger)
        elif before["manifest_sha256"] != facts["manifest_sha256"]:
            if not self.request.run.replan:
                raise JobChanged(
                    f"the manifest {self._manifest.path} has changed since {self.request.ledger} was planned; "
                    "use --replan to take over its new rows and withdraw those that are gone"
                )
            if ledger.fact("manifest_columns") != list(self._manifest.header):
                raise JobChanged(
                    f"the manifest {self._manifest.path} has other columns than the job; start another job"
                )
            self._take_over_manifest(ledger, self._manifest)

    def _take_new_files(self, ledger: Ledger) -> None:
        """Adds files that a listing has and the ledger has not; what is done keeps its name."""
        known = ledger.known()
        taken = {name for _, name in known if name is not None}
        # Outputs that lie below a source folder are not sources.
        place = absolute(self.request.destination).rstrip("/")
        ours = {source for source, _ in known} | {f"{place}/{name}" for name in taken}
        new = list(self._planned(self._rows(ours), taken))
        if new:
            self._append(ledger, new)
            self.notes.append(f"{len(new)} images are new")

    def _take_over_manifest(self, ledger: Ledger, manifest: Manifest) -> None:
        """Adds the rows that a changed manifest has anew, and withdraws those that it has no longer."""
        known = ledger.known()
        planned = list(self._planned(self._rows()))
        gone = known - {(row.source, name) for row, name, _, _ in planned}
        new = [item for item in planned if (item[0].source, item[1]) not in known]
        self._append(ledger, new, gone)
        with ledger.transaction():
            ledger.set_fact("manifest_sha256", manifest.sha256)
        self.notes.append(f"{len(new)} images are new, {len(gone)} withdrawn")

    def _append(self, ledger: Ledger, new: list[PlannedRow], gone: Collection[tuple[str, str | None]] = ()) -> None:
        with ledger.transaction():
            ledger.withdraw(gone)
            ledger.add_rows(ledger.free_of_collisions(new))
            ledger.count_items()

    def _settle_interrupted(self, ledger: Ledger) -> None:
        """Finds out what a killed run did with the images it had in hand, and clears its temporary files."""
        self._clear_witness(ledger)
        settled: list[Published] = []
        undone: list[int] = []
        interrupted = ledger.interrupted()
        self.destination.settle([token for *_, state, _, token in interrupted if state == State.COMMITTING])
        for image, name, state, sha256, token in interrupted:
            self.destination.cleanup(name, token)
            stored = self.destination.exists(name) if state == State.COMMITTING and sha256 else None
            if stored is not None and self.destination.holds(name, sha256 or ""):
                settled.append(
                    Published(
                        image=image,
                        output_tag=stored.tag,
                        publish_seconds=0.0,
                        cpu_seconds=0.0,
                        peak_memory=0,
                    )
                )
            else:
                undone.append(image)
        with ledger.transaction():
            ledger.published(settled)
            ledger.release(undone)
        if settled or undone:
            self.notes.append(f"{len(settled) + len(undone)} images were in hand when the job stopped")

    def _reopen_changed(self, ledger: Ledger) -> None:
        """Plans images again whose local sources have changed since they were done."""
        changed: list[int] = []
        for image, source, size, tag in ledger.finished_sources():
            if "://" in source:
                continue
            try:
                status = os.stat(source)  # noqa: PTH116 - a million of them
                if stat.S_ISDIR(status.st_mode):
                    status = os.stat(document_in(source) or source)  # noqa: PTH116 - as above
            except OSError:
                continue
            if status.st_size != size or f"mtime:{status.st_mtime_ns}" != tag:
                changed.append(image)
        if changed:
            with ledger.transaction():
                ledger.reopen(changed)
                ledger.count_items()
            self.notes.append(f"{len(changed)} sources have changed since they were converted; they are done again")

    # -- running ----------------------------------------------------------------------------------------------

    def coordinator(self) -> Coordinator:
        """The coordinator of this job's open rows."""
        run, path = self.request.run, os.fspath(self.request.ledger)
        config = WorkerConfig(
            options=self.request.options,
            destination=self.request.destination,
            scratch=os.fspath(self._scratch),
            overwrite=run.overwrite,
            network=self.request.network,
            budget=self._settings.budget,
            share=self._settings.share,
        )
        if run.engine == "dask":
            self._engine = start_cluster(run, config, self._witnesses())
        else:
            self._engine = Pool(self._settings.workers, config)
        return Coordinator(
            ledger=self.ledger,
            engine=self._engine,
            destination=self.destination,
            options=self.request.options,
            run_options=run,
            progress=self.progress,
            hooks=ItemHooks(run.on_item_complete, path),
            notifier=Notifier(run.notify, path, run.stall_minutes * 60, run.failure_limit),
        )

    def _clear_witness(self, ledger: Ledger) -> None:
        """Removes what workers of a cluster had to find in the destination, if that can hold such a file at all."""
        if local_path(self.request.destination) is not None:
            self.destination.cleanup(ACCESS_CHECK, _witness_token(ledger))

    def _witnesses(self) -> tuple[Witness, ...]:
        """What every worker of a cluster must find where it is here: local sources, and a file in the destination."""
        sources = [path for source in self.ledger.edges() if (path := local_path(source)) and path.exists()]
        found = [Witness(os.fspath(path), None, path.stat().st_size) for path in sources]
        if self.destination.gathers:
            raise UsageError(
                f"{self.request.destination} is a repository, to which the workers of a cluster cannot commit; "
                "convert into it without --engine dask"
            )
        place = local_path(self.request.destination)
        if place is not None:
            if is_pack(self.request.destination) and self.request.run.scheduler is not None:
                raise UsageError(
                    f"{self.request.destination} is a pack, which the workers of a cluster cannot write together; "
                    "convert into a folder or a store and pack that"
                )
            token = _witness_token(self.ledger)
            path = self.destination.temporary(ACCESS_CHECK, token)
            path.write_text(token, encoding="utf-8")
            found.append(Witness(absolute(os.fspath(path)), token))
        return tuple(found)

    def summary(self) -> Mapping[State, int]:
        """Rows by state."""
        return self.ledger.counts()


def _witness_token(ledger: Ledger) -> str:
    return f"{ledger.fact('id')}-witness"


class Stoppable(Protocol):
    """Work that can be asked to stop."""

    def drain(self) -> None:
        """Begins nothing more."""
        ...

    def abort(self) -> None:
        """Ends at once."""
        ...


@contextmanager
def signals(work: Stoppable) -> Iterator[list[int]]:
    """SIGINT and SIGTERM drain the work; a second one aborts it. Yields the signals that came."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            work.drain()
        else:
            work.abort()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def default_workers() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory() -> int:
    """70 % of what the machine or its cgroup has."""
    return process.available_memory() * 7 // 10
