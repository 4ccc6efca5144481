"""What became of a catalogue: the report of its cutouts, by the figures and on the page that conversions have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ziggurat.convert.ledger.file import quoted
from ziggurat.convert.ledger.schema import UNSUCCESSFUL
from ziggurat.convert.ledger.view import ImageRow, Progressed, Value, View
from ziggurat.convert.report import headline, lists, measures
from ziggurat.convert.report.html import TITLES, Lead, data_url, save_page
from ziggurat.convert.report.parts import Column, link, section, table
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import LISTED, Problem, problems
from ziggurat.convert.report.tables import ERRORS, free, write_csv
from ziggurat.convert.report.timeline import Timeline, timeline
from ziggurat.convert.text import NOTHING, count, duration, escaped, percent, plural, size, span
from ziggurat.model import JSON
from ziggurat.sky.schema import State
from ziggurat.sky.thumbnails import Shown, shown

PLACE: Final = ("name", "ra", "dec")
"""What the list of failed targets says first of each: the position in degrees, ICRS, whatever the catalogue's frame."""

_TARGET: Final = (
    "SELECT id, name, ra, dec, target, state, images, covered, output_size, error_message FROM main.targets"
)


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target as lists show it.

    Attributes:
        ra: degrees, ICRS; None where the catalogue has no position.
        target: key of its cutout below the destination.
        images: how many the cutout was made of.
        covered: share of its pixels that have a value.
    """

    id: int
    name: str
    ra: float | None
    dec: float | None
    target: str | None
    state: str
    images: int | None
    covered: float | None
    output_size: int | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the report says, but for the pictures.

    Attributes:
        whole: cutouts of which every pixel has a value.
        joined: cutouts that have a band of more than one image.
        used: images that targets refer to.
        uncovered: the first of the targets that no image covers.
        targets: the first of all.
    """

    facts: Mapping[str, JSON]
    counts: Mapping[str, int]
    progressed: Progressed
    timeline: Timeline
    whole: int
    joined: int
    used: int
    problems: tuple[Problem, ...]
    failures: tuple[ImageRow, ...]
    uncovered: tuple[TargetRow, ...]
    targets: tuple[TargetRow, ...]

    @property
    def unsuccessful(self) -> int:
        """Targets that have no cutout for a reason that could be otherwise."""
        return sum(self.counts.get(state, 0) for state in UNSUCCESSFUL)


def summarise(view: View) -> Summary:
    """All figures of a report: some passes over the table."""
    progressed, _ = view.progressed(float("inf"))
    ((whole, joined, used),) = view.query(
        "SELECT count(*) FILTER (WHERE covered = 1), "
        " count(*) FILTER (WHERE images > (SELECT count(*) FROM json_each(bands))),"
        " (SELECT count(*) FROM main.images) FROM main.targets WHERE state = 'done'"
    )
    return Summary(
        facts=view.facts(),
        counts=view.counts(),
        progressed=progressed,
        timeline=timeline(view),
        whole=int(whole or 0),
        joined=int(joined or 0),
        used=int(used or 0),
        problems=problems(view),
        failures=tuple(view.failures(LISTED)),
        uncovered=_targets(view, f"WHERE state = '{State.UNCOVERED}'"),
        targets=_targets(view, ""),
    )


def _targets(view: View, where: str) -> tuple[TargetRow, ...]:
    rows = view.query(f"{_TARGET} {where} ORDER BY id LIMIT ?", (LISTED,))
    return tuple(TargetRow(*row) for row in rows)  # type: ignore[arg-type]  # by the table's types


def write_failed(view: View, path: Path) -> int:
    """Writes the targets that failed so that ``ziggurat cutout`` takes the file as a catalogue; returns how many.

    Their positions are in degrees, ICRS; the catalogue's own columns follow, with ``_`` behind names that are taken.

    Raises:
        WriteError: if the file cannot be written.
    """
    own = view.manifest_columns()
    header = (*PLACE, *free(own, PLACE))
    columns = "".join(f", m.{quoted(name)}" for name in own)
    marks = ", ".join(f"'{state}'" for state in UNSUCCESSFUL)
    rows = view.stream(
        f"SELECT t.name, t.ra, t.dec{columns}, t.error_class, t.error_message, t.state FROM main.targets AS t"  # noqa: S608 - quoted identifiers
        f" LEFT JOIN manifest AS m ON m.images_id = t.id WHERE t.state IN ({marks}) ORDER BY t.id"
    )
    return write_csv(path, (*header, *free(ERRORS, header)), rows)


# -- the page ---------------------------------------------------------------------------------------------------------


def write_page(view: View, summary: Summary, path: Path, *, samples: int) -> None:
    """Writes the report.

    Args:
        view: the open ledger.
        summary: its figures.
        path: of the page; replaced if it is there.
        samples: cutouts that it shows.

    Raises:
        WriteError: if the page cannot be written.
    """
    places, name, line = Places(summary.facts, path), str(view.path), summary.timeline
    mean = summary.progressed.done * 60 / line.worked if line.worked else 0.0
    curve = measures.curve(line, [step.rows_a_minute for step in line.steps], measures.Unit("Cutouts", "", mean))
    parts = {
        "cutouts": _sheet(shown(view, samples, places), places),
        "throughput": section("throughput", TITLES["throughput"], curve),
        "uncovered": _uncovered(summary, name),
        "failures": lists.failures(
            summary.problems, summary.failures, summary.unsuccessful, ("Targets", "Target"), name
        ),
        "targets": _all(summary, places, name),
        "job": lists.job(summary.facts, name),
    }
    lead = Lead("Cutout report", _verdict(summary), _figures(summary))
    save_page(view.path, summary.facts, lead, headline.states(summary.counts, "Targets"), parts, path)


def _verdict(summary: Summary) -> str:
    p, lost = summary.progressed, summary.counts.get(State.UNCOVERED, 0)
    told = [f"{plural(p.done, 'cutout', 'cutouts')} of {plural(p.images, 'target', 'targets')} are in place."]
    if p.done == p.images:
        told = [f"All {plural(p.images, 'cutout', 'cutouts')} are in place."]
    if lost:
        told.append(f'<a href="#uncovered">{plural(lost, "target lies", "targets lie")} on no image</a>.')
    if summary.unsuccessful:
        said = plural(summary.unsuccessful, "target has", "targets have")
        told.append(f'<a href="#failures">{said} no cutout for another reason</a>.')
    if p.open:
        told.append(f"{plural(p.open, 'target is', 'targets are')} still to be done.")
    return " ".join(told)


def _figures(summary: Summary) -> str:
    p, line = summary.progressed, summary.timeline
    lost = summary.counts.get(State.UNCOVERED, 0)
    each = f"{size(p.output_bytes / p.done)} each" if p.done else ""
    return headline.cells([
        ("Cutouts", count(p.done), f"of {plural(p.images, 'target', 'targets')}, {percent(p.done, p.images)}"),
        ("On no image", count(lost), percent(lost, p.images)),
        ("Failed", count(summary.unsuccessful), percent(summary.unsuccessful, p.images)),
        ("Covered wholly", count(summary.whole), percent(summary.whole, p.done)),
        ("Images", count(summary.used), f"{plural(summary.joined, 'cutout', 'cutouts')} joined of several"),
        ("Bytes", size(p.output_bytes), each),
        ("Working time", duration(line.worked) if line.worked else NOTHING, span(line.began, line.ended)),
    ])  # fmt: skip


def _sheet(cutouts: Iterator[Shown], places: Places) -> str:
    cards = "".join(_card(one, places) for one in cutouts)
    intro = "<p>Some of the cutouts, spread over the catalogue; as their pixels lie.</p>"
    return section("cutouts", TITLES["cutouts"], intro, f'<ul class="sheet dense">{cards}</ul>') if cards else ""


def _card(one: Shown, places: Places) -> str:
    name = measures.image_link(one.row, places)
    if one.picture is None:
        inner = f"<p>{escaped(one.problem or 'nothing to show')}</p>"
    else:
        inner = (
            f'<div class="thumb"><img src="{data_url(one.picture)}" alt="{escaped(one.row.target or "", 120)}"></div>'
        )
    told = size(one.row.output_size or 0)
    return (
        f'<li class="sample"><figure><div class="side">{inner}</div>'
        f'<figcaption>{name}<span class="figures-line">{told}</span></figcaption></figure></li>'
    )


def _uncovered(summary: Summary, job: str) -> str:
    total = summary.counts.get(State.UNCOVERED, 0)
    if not total:
        return ""
    rows = (
        (_name(row), _degrees(row.ra), _degrees(row.dec), escaped(row.error_message or "", lists.MESSAGE))
        for row in summary.uncovered
    )
    columns = [Column("Target"), *_POSITION, Column("Reason", lists.LONG)]
    told = "<p>That no image covers a target is no failure of the job.</p>"
    return section("uncovered", TITLES["uncovered"], told, table(_caption(total, job), columns, rows))


def _all(summary: Summary, places: Places, job: str) -> str:
    rows = (
        (
            link(
                row.name or row.target or f"(row {row.id})",
                places.link(places.output(row.target)) if _done(row) else None,
            ),
            _degrees(row.ra),
            _degrees(row.dec),
            lists.tag(row.state),
            NOTHING if row.images is None else count(row.images),
            NOTHING if row.covered is None else percent(row.covered, 1),
            NOTHING if row.output_size is None else size(row.output_size),
        )
        for row in summary.targets
    )
    numbers = [Column(head, lists.NUMBER) for head in ("Images", "Covered", "Bytes")]
    columns = [Column("Target"), *_POSITION, Column("State"), *numbers]
    return section("targets", TITLES["targets"], table(_caption(summary.progressed.images, job), columns, rows))


_POSITION: Final = (Column("RA, degrees", lists.NUMBER), Column("Dec, degrees", lists.NUMBER))


def _caption(total: int, job: str) -> str:
    rest = f"The first {LISTED} of {count(total)}; " if total > LISTED else ""
    return f"{rest}<code>ziggurat report {escaped(job)} --csv FILE</code> writes all that is known of all targets"


def _name(row: TargetRow) -> str:
    return escaped(row.name) or f"(row {row.id})"


def _done(row: TargetRow) -> bool:
    return row.state == State.DONE


def _degrees(value: Value) -> str:
    return f"{value:.5f}" if isinstance(value, float) else NOTHING
