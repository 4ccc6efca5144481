"""``ziggurat report JOB``: what a job did, as a page and as tables."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.ledger.view import View
from ziggurat.convert.report.html import write_page
from ziggurat.convert.report.summary import summarise
from ziggurat.convert.report.tables import write_failed, write_images, write_json
from ziggurat.errors import UsageError


def report(
    job: Path,
    out: Path | None = None,
    *,
    csv: Path | None = None,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
    failed: Path | None = None,
    samples: int = 12,
    network: Network = NO_NETWORK,
) -> int:
    """Write a job's report: one HTML page, and CSV or JSON where asked for. Works while the job runs, too.

    Args:
        job: the job's file.
        out: the page; beside the job, with the suffix .html, unless given.
        csv: also write one line for every image here.
        json_: also write the figures and all images here.
        failed: also write the images without an output here, as a manifest to be fed in again.
        samples: images that the page shows before and after; 0 for none.
        network: how stores are reached.
    """  # fmt: skip
    if samples < 0:
        raise UsageError(f"--samples {samples}: 0 or more are needed")
    network.options()
    page = job.with_suffix(".html") if out is None else out
    wanted = [path.absolute() for path in (job, page, csv, json_, failed) if path is not None]
    if len(set(wanted)) < len(wanted):
        raise UsageError("the job and the files that are written need different names")
    with View(job) as view:
        summary = summarise(view)
        if csv is not None:
            print(f"images: {csv} ({write_images(view, csv)} lines)")
        if json_ is not None:
            print(f"json:   {json_} ({write_json(view, summary, json_)} images)")
        if failed is not None:
            print(f"failed: {failed} ({write_failed(view, summary.facts, failed)} lines)")
        write_page(view, summary, page, samples=samples)
    print(f"report: {page}")
    return EXIT_OK
