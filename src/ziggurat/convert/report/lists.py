"""The sections of lists: items, failures, warnings, and what the job was told."""

import json
from collections.abc import Iterable, Mapping, Sequence

from ziggurat.convert.ledger.view import ImageRow
from ziggurat.convert.report.measures import image_link
from ziggurat.convert.report.parts import Column, facts, section, table
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import LISTED, Problem, Summary
from ziggurat.convert.text import count, escaped, moment, plural
from ziggurat.model import JSON

NUMBER = "number"
LONG = "long"

MESSAGE = 1000
"""Characters of a message that are shown."""


def items(summary: Summary) -> str:
    """What is complete, and what lacks images."""
    counted = summary.items
    if not counted.total:
        return ""
    left = counted.total - counted.complete
    told = f"<p>{plural(counted.complete, 'item is', 'items are')} complete, of {count(counted.total)}.</p>"
    if counted.hooks_failed:
        told += (
            f"<p>The command for complete items failed for {count(counted.hooks_failed)}; it runs again when the job "
            "is resumed.</p>"
        )
    if not left:
        return section("items", "Items", told)
    shown = summary.incomplete
    caption = "Items that lack images" + (
        f": the {len(shown)} nearest to completion of {count(left)}" if left > len(shown) else ""
    )
    rows = ((escaped(name), count(images), count(done), count(images - done)) for name, images, done in shown)
    columns = [Column("Item"), Column("Images", NUMBER), Column("Done", NUMBER), Column("Lacking", NUMBER)]
    return section("items", "Items", told, table(caption, columns, rows))


def failures(
    problems: Sequence[Problem], shown: Sequence[ImageRow], total: int, heads: tuple[str, str], job: str
) -> str:
    """Kinds of failure, then what failed.

    Args:
        problems: the kinds.
        shown: the first of the rows that failed.
        total: all of these.
        heads: of the columns: what rows are of, in the plural, and what tells one.
        job: the ledger.
    """
    if not problems:
        return ""
    kinds = table(
        "By kind",
        [Column("Error"), Column("State"), Column(heads[0], NUMBER), Column("One of the messages", LONG)],
        (
            (f"<code>{escaped(p.error_class or '?')}</code>", tag(p.state), count(p.images), escaped(p.example))
            for p in problems
        ),
    )
    if not shown:
        return section("failures", "Failures", kinds)
    rest = "" if total <= len(shown) else f"The first {LISTED} of {count(total)}; "
    command = f"<code>ziggurat report {escaped(job)} --failed FILE</code>"
    again = f"{rest}{command} writes all of them as a CSV that can be fed in again"
    rows = (
        (
            escaped(row.source or row.item or f"(row {row.id})"),
            f"<code>{escaped(row.error_class or '?')}</code>",
            tag(row.state),
            escaped(row.error_message or "", MESSAGE),
        )
        for row in shown
    )
    columns = [Column(heads[1]), Column("Error"), Column("State"), Column("Reason", LONG)]
    return section("failures", "Failures", kinds, f"<h3>The {heads[0].lower()}</h3>", table(again, columns, rows))


def tag(state: str) -> str:
    """A state."""
    return f'<span class="tag">{escaped(state)}</span>'


def warnings(summary: Summary) -> str:
    """What decoders complained of."""
    if not summary.warned:
        return ""
    told = f"<p>{plural(summary.warned, 'image was', 'images were')} decoded with complaints, and completely.</p>"
    columns = [Column("Complaint", LONG), Column("Images", NUMBER)]
    return section(
        "warnings",
        "Warnings of decoders",
        told,
        table("The most frequent", columns, ((escaped(text), count(n)) for text, n in summary.warnings)),
    )


def review(summary: Summary, places: Places) -> str:
    """What people said who compared outputs with their sources."""
    if not summary.reviewed:
        return ""
    told = (
        f"<p>{plural(summary.accepted, 'output was', 'outputs were')} accepted by eye, "
        f"{count(summary.rejected)} rejected.</p>"
    )
    rows = (
        (
            image_link(one.row, places),
            tag({"accept": "accepted", "reject": "rejected"}.get(one.review.verdict or "", "noted")),
            escaped(one.review.note, MESSAGE),
            escaped(one.review.reviewer),
            moment(one.review.at),
        )
        for one in summary.reviewed
    )
    columns = [Column("Output"), Column("Verdict"), Column("Note", LONG), Column("By"), Column("When")]
    return section("review", "Review", told, table("Rejected ones first", columns, rows))


def job(known: Mapping[str, JSON], path: str) -> str:
    """What the job was told, for whoever does it again."""
    version = escaped(known.get("version") or "?")
    pairs = [
        ("Ledger", f"<code>{escaped(path)}</code>"),
        ("Sources", "<br>".join(f"<code>{escaped(source)}</code>" for source in _listed(known.get("sources")))),
        ("Destination", f"<code>{escaped(known.get('destination') or '')}</code>"),
        ("Planned", moment(known.get("planned_at") or known.get("created_at"))),
        ("Version", f"Ziggurat {version}"),
        ("Job", f"<code>{escaped(known.get('id') or '')}</code>"),
    ]
    digests = {name: known.get(f"{name}_sha256") for name in ("manifest", "catalogue")}
    pairs += [(f"SHA-256 of the {name}", f"<code>{escaped(value)}</code>") for name, value in digests.items() if value]
    pairs += [(escaped(name), f"<code>{escaped(value)}</code>") for name, value in _flat(known.get("options"))]
    return section("job", "The job", facts(pairs))


def _listed(value: JSON) -> Iterable[JSON]:
    return value[:20] if isinstance(value, list) else []


def _flat(value: JSON, path: str = "") -> list[tuple[str, str]]:
    """Nested options as ``jpeg.quality`` and value; what is not set is left out."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _flat(part, f"{path}.{key}" if path else key)]
    return [] if value is None else [(path, value if isinstance(value, str) else json.dumps(value))]
