"""``ziggurat assess SOURCE... FOLDER``: settings tried on a sample, before a collection is converted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ziggurat.cli import EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert import assess as assessing
from ziggurat.convert.assess import SAMPLE, SETTINGS, Trial, best, request, sample, trial, write_sample
from ziggurat.convert.job import Job, JobRequest, default_memory, default_workers, signals
from ziggurat.convert.ledger.view import View
from ziggurat.convert.manifest import Row, listed_rows, manifest_rows, open_manifest, parse_columns
from ziggurat.convert.options import OutputOptions, RunOptions
from ziggurat.convert.progress import default_display
from ziggurat.convert.report.assessment import Assessed, command, write_assessment
from ziggurat.convert.text import duration, reduction, score, size
from ziggurat.errors import UsageError
from ziggurat.format.table import FORMATS
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.urls import local_path


def assess(
    *places: str,
    samples: int = 20,
    settings: str = ",".join(SETTINGS),
    columns: str = "",
    workers: int | None = None,
    memory: str | None = None,
    network: Network = NO_NETWORK,
) -> int:
    """Convert a sample of a collection to JPEG with several settings, and say what all of it would come to.

    The folder gets a page with size against fidelity for every group, and a job for every setting, whose outputs
    `serve` shows beside their sources. The same command again goes on.

    Args:
        places: SOURCE... FOLDER: what `convert` takes, and a local folder for what comes of it.
        samples: images of every group of the manifest, or of every folder.
        settings: what is tried: q92 for a quality, and whatever --fidelity of `convert` takes.
        columns: what a manifest's columns are: ROLE=COLUMN,...; group is the one that samples are taken of.
        workers: processes; one per core unless given.
        memory: for all processes together, such as 8G; 70 % of the machine's or cgroup's unless given.
        network: how stores are reached.
    """
    if len(places) < 2:  # noqa: PLR2004 - a source and a folder
        raise UsageError("give at least one source, and the folder last")
    if samples < 1:
        raise UsageError(f"--samples {samples}: at least one is needed")
    *sources, last = places
    folder = local_path(last)
    if folder is None:
        raise UsageError(f"{last} is no local folder; the sample is kept on this machine")
    names = assessing.settings(settings)
    common = JobRequest(
        sources=tuple(sources),
        destination=str(folder),
        ledger=folder / "any.zgj",
        options=OutputOptions(target="jpeg", oversize="downscale"),
        run=RunOptions(
            workers=default_workers() if workers is None else workers,
            memory=default_memory() if memory is None else parse_bytes(memory),
        ),
        network=network.options(),
    )
    sampled = sample(_rows(sources, columns), samples)
    folder.mkdir(parents=True, exist_ok=True)
    write_sample(sampled, folder / SAMPLE)
    trials = [_tried(name, common, folder, sampled.sizes) for name in names]
    assessed = Assessed(folder, tuple(sources), columns, tuple(trials), common.run.workers)
    page = folder / "index.html"
    write_assessment(assessed, page)
    for one in trials:
        print(_line(one, common.run.workers))
    print(f"page:    {page}\nuse:     {command(assessed)}")
    return EXIT_SOME_FAILED if any(group.failed for group in best(trials).groups) else EXIT_OK


def _rows(sources: Sequence[str], columns: str) -> Iterator[Row]:
    if sources[0].lower().endswith(".csv"):
        path = local_path(sources[0])
        if len(sources) > 1 or path is None:
            raise UsageError("a manifest is one local CSV file; give it alone, its rows name the sources")
        return manifest_rows(open_manifest(path, parse_columns(columns)))
    suffixes = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
    return listed_rows(sources, suffixes, [])


def _tried(name: str, common: JobRequest, folder: Path, sizes: Mapping[str, int]) -> Trial:
    asked = request(common, name, folder)
    print(f"{name}: {asked.ledger}", flush=True)
    with Job(asked, default_display("text")) as job:
        coordinator = job.coordinator()
        with signals(coordinator) as received:
            coordinator.read_headers(asked.run.headers)
            coordinator.run()
    if received:
        raise KeyboardInterrupt
    with View(asked.ledger) as view:
        return trial(name, view, sizes)


def _line(one: Trial, workers: int) -> str:
    return (
        f"{one.name + ':':16} {size(one.output_bytes):>9} +- {size(one.uncertain):<9} "
        f"{reduction(one.source_bytes, one.output_bytes):>8}  SSIMULACRA2 {score(one.score)}  "
        f"about {duration(one.cpu / workers)}"
    )
