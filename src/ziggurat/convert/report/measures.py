"""The sections of figures: sizes, fidelity, throughput."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ziggurat.convert.ledger.view import ImageRow
from ziggurat.convert.report import svg
from ziggurat.convert.report.parts import Column, facts, legend, link, plot, section, table
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import Decodings, Fidelity, Sizes, Summary
from ziggurat.convert.report.timeline import Timeline
from ziggurat.convert.text import (
    NOTHING,
    amount,
    count,
    decibels,
    duration,
    escaped,
    percent,
    plural,
    reduction,
    score,
    size,
)

NUMBER = "number"

PAUSES = 6
"""Pauses that are told; all are drawn."""


def sizes(summary: Summary) -> str:
    """Before and after, by format and by group."""
    heads = ("Images", "Megapixels", "Before", "After", "Change", "Bits a pixel")
    numbers = [Column(head, NUMBER) for head in heads]

    def cells(kind: Sizes) -> tuple[str, ...]:
        return (
            escaped(kind.name) or "(none)",
            count(kind.images),
            amount(kind.pixels / 1e6),
            size(kind.source_bytes),
            size(kind.output_bytes),
            reduction(kind.source_bytes, kind.output_bytes),
            amount(kind.output_bytes * 8 / kind.pixels) if kind.pixels else NOTHING,
        )

    p = summary.progressed
    total = cells(Sizes("Together", p.done, p.pixels_done, p.source_bytes_done, p.output_bytes))
    if not summary.formats:
        return ""
    tables = [table("By format", [Column("Source and target"), *numbers], map(cells, summary.formats), total)]
    if summary.groups and summary.group_column is not None:
        group = escaped(summary.group_column)
        columns = [Column(group), *numbers]
        tables.append(table(f"By {group}, the largest first", columns, map(cells, summary.groups), total))
    return section("sizes", "Sizes", *tables)


def fidelity(summary: Summary, places: Places) -> str:
    """Histograms, and the images that came out worst."""
    if not summary.psnr.measured:
        return ""
    intro = (
        "<p>Every output was decoded again, all of it, and compared with its source. PSNR is the mean error over all "
        "samples: 40 dB and more is hard to see. SSIMULACRA2 follows the eye, on sample tiles: 70 is high quality, 90 "
        "visually lossless.</p>"
    )
    if summary.decodings is not None:
        intro += _decodings(summary.decodings)
    plots = "".join(
        f"<div><h3>{name}</h3>{_histogram(name, measure, unit)}{_lowest(name, measure, places)}</div>"
        for name, measure, unit in (
            ("PSNR", summary.psnr, " dB"),
            ("SSIMULACRA2", summary.ssimulacra2, ""),
        )
        if measure.measured
    )
    return section("fidelity", "Fidelity", intro, f'<div class="pair">{plots}</div>')


def _decodings(found: Decodings) -> str:
    """How many images were decoded fast, and what that costs."""
    if not found.fast:
        return (
            f"<p>{plural(found.full, 'image was', 'images were')} decoded in full: samples lost more than is tolerated "
            "when what JPEG does not show was left out.</p>"
        )
    told = (
        f"Of {plural(found.fast, 'image', 'images')} what JPEG does not show was not decoded; figures are those of its "
        "sampled tiles against the full decode. On these no image lost more than "
        f"{found.psnr_lost or 0:.2f} dB and {found.ssimulacra2_lost or 0:.2f} points of SSIMULACRA2 by that."
    )
    if found.full:
        told += f" {plural(found.full, 'image', 'images')} would have lost too much, and had a full decode."
    return f"<p>{told}</p>"


def _histogram(name: str, measure: Fidelity, unit: str) -> str:
    bars = measure.bars
    same = ""
    if measure.identical:
        told = plural(measure.identical, "image has", "images have")
        same = f"{told} the very pixels of the source and no place in the chart. "
    if not bars:
        return f"<p>{same}</p>"
    top = max(bar.images for bar in bars)
    low, high = bars[0].low, bars[-1].high
    middle = (low + high) / 2
    told = f"{count(sum(bar.images for bar in bars))} images from {low:g} to {high:g}{unit}. {same}"
    if measure.median is not None and not math.isinf(measure.median):
        told += f"The median is {measure.median:.1f}{unit}."
    titles = [f"{bar.low:g} to {bar.high:g}{unit}: {count(bar.images)}" for bar in bars]
    chart = svg.histogram([bar.images for bar in bars], titles, svg.Words(f"Histogram of {name}", told))
    half = "" if top % 2 else count(top / 2)
    return plot(told, chart, [count(top), half, "0"], [f"{low:g}{unit}", f"{middle:.1f}", f"{high:g}{unit}"])


def _lowest(name: str, measure: Fidelity, places: Places) -> str:
    columns = [Column("Image"), Column(name, NUMBER), Column("Before", NUMBER), Column("After", NUMBER)]
    shown = decibels if name == "PSNR" else score
    rows = (
        (
            image_link(row, places),
            shown(row.psnr if name == "PSNR" else row.ssimulacra2),
            size(row.source_size or 0),
            size(row.output_size or 0),
        )
        for row in measure.lowest
    )
    return table("The lowest", columns, rows)


def image_link(row: ImageRow, places: Places) -> str:
    """An output's name, linked to its file where that is local."""
    return link(row.target or row.source, places.link(places.output(row.target)))


def throughput(summary: Summary) -> str:
    """The curve of the working time, and where the time went."""
    costs = summary.costs
    worked = summary.timeline.worked
    content = [
        curve(
            summary.timeline,
            [step.megapixels_a_minute for step in summary.timeline.steps],
            Unit("Megapixels", " MP", summary.progressed.pixels_done / 1e6 * 60 / worked if worked else 0.0),
        ),
        _stages(summary),
    ]
    more = []
    if costs.peak_memory:
        more.append(("Largest memory of an image", f"{amount(costs.peak_memory / (1 << 20))} MiB"))
    if costs.attempts_lost:
        more.append(("Attempts that ended badly", count(costs.attempts_lost)))
    if any(content) and more:
        content.append(facts(more))
    return section("throughput", "Throughput", *content)


@dataclass(frozen=True, slots=True)
class Unit:
    """What throughput is counted in: its name, what stands behind a figure, and how many a minute there were."""

    name: str
    sign: str
    mean: float


def curve(line: Timeline, rates: Sequence[float], unit: Unit) -> str:
    """The course of a job as a curve; nothing where nothing was done.

    Args:
        line: when it worked.
        rates: throughput a minute, a figure for every step of the line.
        unit: of the rates.
    """
    if not any(rates):
        return ""
    top = svg.nice(max(rates))
    told = f"{unit.name} a minute over {duration(line.worked)} of work; {amount(unit.mean)} on the average."
    if line.pauses:
        stopped = [duration(seconds) for _, seconds in line.pauses[:PAUSES]]
        more = " and more" if len(line.pauses) > PAUSES else ""
        told += f" Dashed: the job was stopped ({', '.join(stopped)}{more}); that time is cut out."
    chart = svg.area(
        [(step.began, step.ended, rate) for step, rate in zip(line.steps, rates, strict=True)],
        [at for at, _ in line.pauses],
        (line.steps[-1].ended, top),
        svg.Words("Throughput over time", told),
    )
    up = [f"{amount(top)}{unit.sign}", amount(top / 2), "0"]
    return plot(told, chart, up, ["0", duration(line.worked / 2), duration(line.worked)])


def _stages(summary: Summary) -> str:
    costs = summary.costs
    parts = [
        svg.Share("read", "reading and decoding", costs.read),
        svg.Share("write", "encoding", costs.write),
        svg.Share("verify", "verifying", costs.verify),
        svg.Share("publish", "putting in place", costs.publish),
    ]
    whole = sum(part.value for part in parts)
    if not whole:
        return ""
    words = [f"{percent(part.value, whole)}" for part in parts]
    told = ", ".join(f"{part.name} {word}" for part, word in zip(parts, words, strict=True))
    return (
        "<h3>Where the time of an image went</h3>"
        + svg.shares(parts, svg.Words("Time by stage", told))
        + legend(parts, words)
    )
