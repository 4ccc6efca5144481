"""``ziggurat status JOB``: how far a job is, also while it runs."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli import EXIT_OK
from ziggurat.convert.ledger.schema import CONVERSION
from ziggurat.convert.ledger.view import ImageRow, View, is_worked_on
from ziggurat.convert.report.summary import Status
from ziggurat.convert.report.summary import status as measure
from ziggurat.convert.text import amount, count, duration, percent, plural, reduction, size, visible
from ziggurat.model import JSON
from ziggurat.sky.schema import LEDGERS, State

FAILURES = 10
"""The last ones, which are shown."""


def status(job: Path, *, json_: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Show how far a job is, a conversion or a catalogue's cutouts. Disturbs nothing: it works while the job runs.

    Args:
        job: the job's file.
        json_: print one JSON object instead of text.
    """
    working = is_worked_on(job)
    with View(job, LEDGERS) as view:
        found = measure(view, working=working, failures=FAILURES)
    print(json.dumps(record(found)) if json_ else "\n".join(lines(found)))
    return EXIT_OK


def record(found: Status) -> dict[str, JSON]:
    """The status as plain values; sizes in bytes and pixels, times in seconds."""
    p, rate = found.progressed, found.recent_seconds
    told: dict[str, JSON] = {
        "working": found.working,
        "states": dict(found.counts),
        f"{found.row}s": p.images,
        "done": p.done,
        "output_bytes": p.output_bytes,
        "seconds_left": found.seconds_left,
        "last_finished_at": p.latest,
        "last_failures": [
            {
                "id": row.id,
                **({"source": row.source} if of_images(found) else {"name": row.item}),
                "state": row.state,
                "error_class": row.error_class,
                "error": row.error_message,
                "finished_at": row.finished_at,
            }
            for row in found.failures
        ],
    }
    if not of_images(found):
        return told | {f"{found.row}s_per_second": found.recent.images / rate if rate else 0.0}
    return told | {
        "images_known": p.known,
        "pixels": p.pixels,
        "pixels_done": p.pixels_done,
        "source_bytes": p.source_bytes,
        "source_bytes_done": p.source_bytes_done,
        "pixels_per_second": found.recent.pixels / rate if rate else 0.0,
        "source_bytes_per_second": found.recent.source_bytes / rate if rate else 0.0,
        "items": found.items.total,
        "items_complete": found.items.complete,
    }


def of_images(found: Status) -> bool:
    """Whether the job has images of which each becomes one output, and not targets."""
    return found.row == CONVERSION.row


def lines(found: Status) -> list[str]:
    """The status for people."""
    p = found.progressed
    told = ["working now" if found.working else "no process works on it now"]
    if p.latest is not None:
        told.append(f"the last {found.row} was finished {duration(max(0.0, found.now - p.latest))} ago")
    states = ", ".join(f"{count(number)} {visible(state)}" for state, number in found.counts.items())
    shown = [
        "; ".join(told),
        f"{found.row}s:".ljust(9)
        + f"{count(p.done)} of {count(p.images)} done, {percent(p.done, p.images)} ({states})",
        *(_of_images(found) if of_images(found) else _of_targets(found)),
    ]
    if found.seconds_left is not None:
        shown.append(f"left:    about {duration(found.seconds_left)}")
    if found.items.total:
        shown.append(f"items:   {count(found.items.complete)} of {count(found.items.total)} complete")
    if found.failures:
        shown.append("last failures:")
        shown += [
            f"  {found.row} {row.id}{_name(row)} {row.state}: {row.error_class}: {visible(row.error_message or '')}"
            for row in found.failures
        ]
    return shown


def _name(row: ImageRow) -> str:
    """What a target is called; images are called by their sources, which errors name."""
    return "" if row.source or row.item is None else f" {visible(row.item)}"


def _of_images(found: Status) -> list[str]:
    p, rate = found.progressed, found.recent_seconds
    result = f"{size(p.output_bytes)} ({reduction(p.source_bytes_done, p.output_bytes)})"
    shown = [
        f"pixels:  {amount(p.pixels_done / 1e6)} of {amount(p.pixels / 1e6)} MP"
        + (f" ({count(p.images - p.known)} headers not read yet)" if p.known < p.images else ""),
        f"bytes:   {size(p.source_bytes_done)} of {size(p.source_bytes)} became {result}",
    ]
    if rate:
        pixels, read = found.recent.pixels / 1e6 / rate, found.recent.source_bytes / rate
        shown.append(f"rate:    {amount(pixels)} MP/s, {size(read)}/s over the last {duration(rate)}")
    return shown


def _of_targets(found: Status) -> list[str]:
    rate, shown = found.recent_seconds, [f"bytes:   {size(found.progressed.output_bytes)} of cutouts"]
    if uncovered := found.counts.get(State.UNCOVERED):
        shown.append(
            f"no image covers {plural(uncovered, 'target', 'targets')}; `ziggurat report` lists the first of them"
        )
    if rate:
        shown.append(f"rate:    {amount(found.recent.images / rate)} targets/s over the last {duration(rate)}")
    return shown
