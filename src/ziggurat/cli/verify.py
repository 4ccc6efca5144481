"""``ziggurat verify JOB``: outputs read again and compared with the ledger."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.audit import Subset, audit
from ziggurat.convert.text import visible


def verify(
    job: Path,
    *,
    subset: str = "1/1",
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    network: Network = NO_NETWORK,
) -> int:
    """Read a job's outputs again and compare them with its ledger; exit code 3 if one is not what it was.

    Args:
        job: the .zgj file.
        subset: K/N reads every N-th output, beginning with the K-th: a collection can be checked in N goes.
        json_: print one JSON object a line for every output.
        network: how stores are reached.
    """
    network.options()
    checked = wrong = 0
    for finding in audit(job, Subset.parse(subset)):
        checked += 1
        wrong += finding.problem is not None
        if json_:
            print(json.dumps({"id": finding.image, "target": finding.target, "problem": finding.problem}))
        elif finding.problem is not None:
            print(f"image {finding.image} {visible(finding.target)}: {visible(finding.problem)}", file=sys.stderr)
    if not json_:
        print(f"{checked} outputs read, {checked - wrong} as recorded, {wrong} not")
    return EXIT_SOME_FAILED if wrong else EXIT_OK
