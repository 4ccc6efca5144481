"""``ziggurat report JOB``: what a job did, as a page and as tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.ledger.view import View
from ziggurat.convert.report.html import write_page
from ziggurat.convert.report.summary import Summary, summarise
from ziggurat.convert.report.tables import write_failed, write_images, write_json
from ziggurat.errors import UsageError


@Parameter(name="*")
@dataclass(frozen=True)
class Tables:
    """What is written besides the page.

    Attributes:
        csv: a file for one line for every image.
        json_: a file for the figures and all images.
        failed: a file for the images without an output, as a manifest to be fed in again.
    """

    csv: Path | None = None
    json_: Annotated[Path | None, Parameter(name="--json")] = None
    failed: Path | None = None

    def write(self, view: View, summary: Summary) -> None:
        """Writes those that were asked for, and says so."""
        if self.csv is not None:
            print(f"images: {self.csv} ({write_images(view, self.csv)} lines)")
        if self.json_ is not None:
            print(f"json:   {self.json_} ({write_json(view, summary, self.json_)} images)")
        if self.failed is not None:
            print(f"failed: {self.failed} ({write_failed(view, summary.facts, self.failed)} lines)")


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

    Args:
        job: the job's file.
        out: the page; beside the job, with the suffix .html, unless given.
        samples: images that the page shows before and after; 0 for none.
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
    with View(job) as view:
        summary = summarise(view)
        tables.write(view, summary)
        write_page(view, summary, page, samples=samples)
    print(f"report: {page}")
    return EXIT_OK
