"""The page: one file that needs nothing else, for a screen, a phone and paper."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ziggurat.convert.ledger.view import View
from ziggurat.convert.report import headline, lists, measures
from ziggurat.convert.report.contact import PIECE, Pictures, Sample, sheet
from ziggurat.convert.report.parts import section
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import Summary
from ziggurat.convert.text import TIMES, decibels, escaped, reduction, score, size
from ziggurat.errors import WriteError
from ziggurat.model import JSON

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Nothing is fetched and nothing runs, whatever a file name tried to smuggle in."""

TITLES = {
    "samples": "Before and after",
    "cutouts": "Cutouts",
    "uncovered": "Not covered",
    "whole": "All of it",
    "groups": "Groups",
    "targets": "Targets",
    "review": "Review",
    "fidelity": "Fidelity",
    "sizes": "Sizes",
    "throughput": "Throughput",
    "items": "Items",
    "failures": "Failures",
    "warnings": "Warnings",
    "job": "The job",
}
"""Anchors of the sections, in order."""


def write_page(view: View, summary: Summary, path: Path, *, samples: int) -> None:
    """Writes the report.

    Args:
        view: the open ledger.
        summary: its figures.
        path: of the page; replaced if it is there.
        samples: images on the contact sheet.

    Raises:
        WriteError: if the page cannot be written.
    """
    places, name = Places(summary.facts, path), str(view.path)
    parts = {
        "samples": contact_sheet(sheet(view, samples, places), places),
        "review": lists.review(summary, places),
        "fidelity": measures.fidelity(summary, places),
        "sizes": measures.sizes(summary),
        "throughput": measures.throughput(summary),
        "items": lists.items(summary),
        "failures": lists.failures(
            summary.problems, summary.failures, summary.unsuccessful, ("Images", "Source"), name
        ),
        "warnings": lists.warnings(summary),
        "job": lists.job(summary.facts, name),
    }
    lead = Lead("Conversion report", headline.verdict(summary), headline.figures(summary))
    save_page(view.path, summary.facts, lead, headline.states(summary.counts, "Images"), parts, path)


@dataclass(frozen=True, slots=True)
class Lead:
    """What a page says first: which kind of report it is, the job in a sentence, and in figures; as HTML."""

    kind: str
    verdict: str
    figures: str


def save_page(
    ledger: Path, known: Mapping[str, JSON], lead: Lead, states: str, parts: Mapping[str, str], path: Path
) -> None:
    """Writes a report.

    Args:
        ledger: of the job, or what else the page is made from.
        known: facts of the job.
        lead: what comes first.
        states: the bar of states.
        parts: the sections by their anchors, in order; empty ones are left out.
        path: of the page; replaced if it is there.

    Raises:
        WriteError: if the page cannot be written.
    """
    name = str(ledger)
    links = "".join(f'<li><a href="#{key}">{TITLES[key]}</a></li>' for key, part in parts.items() if part)
    title = escaped(ledger.stem, 100)
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    target = escaped(known.get("destination") or "")
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title} \u2013 {lead.kind.lower()}</title><style>{style}</style></head>\n"
        f'<body><div class="page"><header><p class="kicker">{lead.kind}</p><h1>{title}</h1>'
        f'<p class="lead">{lead.verdict}</p>'
        f'<p class="soft small">To <code>{target}</code></p></header>\n'
        f"<main>{lead.figures}{states}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        + "\n".join(parts.values())
        + f"</main>\n<footer>Made by Ziggurat from <code>{escaped(name)}</code>."
        " Sizes are in powers of 1000.</footer></div></body></html>\n"
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"the report {path} cannot be written: {error.strerror}") from error


def contact_sheet(samples: Iterable[Sample], places: Places) -> str:
    """The images before and after, side by side."""
    cards = "".join(_card(sample, places) for sample in samples)
    if not cards:
        return ""
    intro = (
        "<p>Some images with the lowest fidelity, some with the largest reduction, and some spread over the "
        f"collection. Below each, {PIECE} {TIMES} {PIECE} pixels of its middle as they are, to judge by eye.</p>"
    )
    return section("samples", TITLES["samples"], intro, f'<ul class="sheet">{cards}</ul>')


def _card(sample: Sample, places: Places) -> str:
    row = sample.row
    dimensions = "" if row.height is None else f"{row.width} {TIMES} {row.height} px"
    told = [dimensions, reduction(row.source_size or 0, row.output_size or 0), decibels(row.psnr)]
    if row.ssimulacra2 is not None:
        told.append(f"SSIMULACRA2 {score(row.ssimulacra2)}")
    before = _side("Before", row.source, row.source_size, sample.before)
    after = _side("After", row.target or "", row.output_size, sample.after)
    return (
        f'<li class="sample"><figure><div class="sides">{before}{after}</div>'
        f'<figcaption>{measures.image_link(row, places)} <span class="tag">{sample.reason}</span>'
        f'<span class="figures-line">{" · ".join(filter(None, told))}</span></figcaption></figure></li>'
    )


def _side(title: str, name: str, length: int | None, pictures: Pictures) -> str:
    head = f"<p>{title}, {size(length or 0)}</p>"
    if pictures.problem is not None or pictures.thumbnail is None or pictures.piece is None:
        return f'<div class="side">{head}<p>{escaped(pictures.problem or "nothing to show")}</p></div>'
    shown = escaped(name, 120)
    return (
        f'<div class="side">{head}<div class="thumb"><img src="{data_url(pictures.thumbnail)}"'
        f' alt="{title}: {shown}"></div>'
        f'<img class="piece" src="{data_url(pictures.piece)}"'
        f' alt="{title}: the middle of {shown}, pixel by pixel"></div>'
    )


def data_url(jpeg: bytes) -> str:
    """A picture as a part of the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
