"""``ziggurat verify JOB|PACK``: outputs or images read again and compared with what is recorded."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.audit import Subset, audit
from ziggurat.convert.text import visible
from ziggurat.model import JSON
from ziggurat.pack.audit import audit_pack, looks_like_pack
from ziggurat.sky.schema import LEDGERS


def verify(
    place: str,
    *,
    subset: str = "1/1",
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    network: Network = NO_NETWORK,
) -> int:
    """Read a job's outputs or a pack's images again and compare them with what is recorded; exit code 3 if one is not.

    Args:
        place: the .zgj file, or path or URL of a pack.
        subset: K/N reads every N-th output or image, beginning with the K-th: a collection can be checked in N goes.
        json_: print one JSON object a line for each.
        network: how stores are reached.
    """
    network.options()
    part = Subset.parse(subset)
    of_pack = looks_like_pack(place)
    checked = wrong = faults = 0
    for name, facts, problem in _images(place, part) if of_pack else _outputs(Path(place), part):
        if not name:
            faults += 1
        else:
            checked += 1
            wrong += problem is not None
        if json_:
            print(json.dumps(facts | {"problem": problem}))
        elif problem is not None:
            print(f"{visible(name or place)}: {visible(problem)}", file=sys.stderr)
    if not json_:
        print(f"{checked} {'images' if of_pack else 'outputs'} read, {checked - wrong} as recorded, {wrong} not")
        if faults:
            print(
                f"the pack itself is damaged: take what is as recorded with `ziggurat unpack {visible(place)} FOLDER`"
            )
    return EXIT_SOME_FAILED if wrong or faults else EXIT_OK


def _outputs(job: Path, subset: Subset) -> Iterator[tuple[str, dict[str, JSON], str | None]]:
    for finding in audit(job, subset, LEDGERS):
        facts: dict[str, JSON] = {"id": finding.number, "target": finding.target}
        yield f"{finding.row} {finding.number} {finding.target}", facts, finding.problem


def _images(pack: str, subset: Subset) -> Iterator[tuple[str, dict[str, JSON], str | None]]:
    for checked in audit_pack(pack, subset):
        yield checked.key or "", {"key": checked.key}, checked.problem
