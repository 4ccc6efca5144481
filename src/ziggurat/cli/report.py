"""``ziggurat report JOB``: what a job did, as a page and as tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.ledger.view import View
from ziggurat.convert.report.html import write_page
from ziggurat.convert.report.summary import summarise
from ziggurat.convert.report.tables import write_failed, write_json, write_rows
from ziggurat.errors import UsageError
from ziggurat.sky.schema import CUTOUTS, LEDGERS


@Parameter(name="*")
@dataclass(frozen=True)
class Tables:
    """What is written besides the page.

    Attributes:
        csv: a file for one line for every image, or target.
        json_: a file for the figures and all images, or targets.
        failed: a file for the images without an output, or the targets that failed, to be fed in again.
    """

    csv: Path | None = None
    json_: Annotated[Path | None, Parameter(name="--json")] = None
    failed: Path | None = None

    def write(self, view: View, summary: object, failed: Callable[[Path], int]) -> None:
        """Writes those that were asked for, and says so.

        Args:
            view: the open ledger.
            summary: its figures.
            failed: writes the rows that failed, and tells how many they are.
        """
        if self.csv is not None:
            print(f"{view.schema.rows}: {self.csv} ({write_rows(view, self.csv)} lines)")
        if self.json_ is not None:
            print(f"json:   {self.json_} ({write_json(view, summary, self.json_)} {view.schema.rows})")
        if self.failed is not None:
            print(f"failed: {self.failed} ({failed(self.failed)} lines)")


NO_TABLES = Tables()
"""The page alone."""


def report(
    job: Path,
    out: Path | None = None,
    *,
    samples: int = 12,
    tables: Tables = NO_TABLES,
    network: Network = NO_NETWORK,
) -> int:
    """Write a job's report: one HTML page, and CSV or JSON where asked for. Works while the job runs, too.

    The job is a conversion, or the cutouts of a catalogue.

    Args:
        job: the job's file.
        out: the page; beside the job, with the suffix .html, unless given.
        samples: images that the page shows before and after, or cutouts that it shows; 0 for none.
        tables: what is written besides the page.
        network: how stores are reached.
    """  # fmt: skip
    if samples < 0:
        raise UsageError(f"--samples {samples}: 0 or more are needed")
    network.options()
    page = job.with_suffix(".html") if out is None else out
    wanted = [path.absolute() for path in (job, page, tables.csv, tables.json_, tables.failed) if path is not None]
    if len(set(wanted)) < len(wanted):
        raise UsageError("the job and the files that are written need different names")
    with View(job, LEDGERS) as view:
        if view.schema is CUTOUTS:
            _of_cutouts(view, page, tables, samples)
        else:
            summary = summarise(view)
            tables.write(view, summary, partial(write_failed, view, summary.facts))
            write_page(view, summary, page, samples=samples)
    print(f"report: {page}")
    return EXIT_OK


def _of_cutouts(view: View, page: Path, tables: Tables, samples: int) -> None:
    from ziggurat.sky.report import summarise, write_failed, write_page  # noqa: PLC0415 - astropy takes a second

    summary = summarise(view)
    tables.write(view, summary, partial(write_failed, view))
    write_page(view, summary, page, samples=samples)
