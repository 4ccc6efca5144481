"""The sections of the page, each from the figures of a job."""

import json
import math
import time
from collections.abc import Iterable, Mapping

from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import ImageRow
from ziggurat.convert.progress import duration
from ziggurat.convert.report import svg
from ziggurat.convert.report.parts import Column, facts, legend, link, plot, section, table
from ziggurat.convert.report.places import Places
from ziggurat.convert.report.summary import LISTED, Fidelity, Sizes, Summary
from ziggurat.convert.report.text import NOTHING, amount, count, decibels, escaped, percent, reduction, score, size
from ziggurat.model import JSON

NUMBER = "number"
LONG = "long"


def moment(seconds: object) -> str:
    """A time of day in UTC."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < 253402300800:  # noqa: PLR2004 - the year 10000
        return NOTHING
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def plural(number: int, one: str, many: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count(number)} {one if number == 1 else many}"


def verdict(summary: Summary) -> str:
    """The report in a sentence or two."""
    p = summary.progressed
    done = f"{plural(p.done, 'image', 'images')} of {count(p.images)}"
    bad = summary.unsuccessful
    if p.images and p.done == p.images:
        return f"All {plural(p.images, 'image is', 'images are')} in place, each verified pixel by pixel against its source."
    parts = [f"{done} are in place, each verified pixel by pixel against its source."]
    if bad:
        parts.append(
            f'<a href="#failures">{plural(bad, "image has", "images have")} no output</a>; the reasons are below.'
        )
    if p.open:
        parts.append(f"{plural(p.open, 'image is', 'images are')} still to be done.")
    return " ".join(parts)


def figures(summary: Summary) -> str:
    """The headline row."""
    p, costs, line = summary.progressed, summary.costs, summary.timeline
    begun = "" if line.began is None else f"{moment(line.began)} to {moment(line.ended)}"
    if line.pauses:
        begun += f", {plural(len(line.pauses), 'pause', 'pauses')} left out"
    per = costs.cpu / (costs.cpu_pixels / 1e6) if costs.cpu_pixels else None
    cells = [
        ("Images done", count(p.done), f"of {count(p.images)}, {percent(p.done, p.images)}"),
        (
            "Bytes",
            reduction(p.source_bytes_done, p.output_bytes),
            f"{size(p.source_bytes_done)} became {size(p.output_bytes)}",
        ),
        (
            "Megapixels",
            amount(p.pixels_done / 1e6),
            f"{amount(p.output_bytes * 8 / p.pixels_done)} bits a pixel" if p.pixels_done else "",
        ),
        ("Working time", duration(line.worked) if line.worked else NOTHING, begun),
        (
            "CPU time a megapixel",
            NOTHING if per is None else f"{amount(per)} s",
            f"{duration(costs.cpu)} in all" if costs.cpu else "",
        ),
        ("Median PSNR", decibels(summary.psnr.median), _over(summary.psnr, decibels)),
        ("Median SSIMULACRA2", score(summary.ssimulacra2.median), _over(summary.ssimulacra2, score)),
    ]
    if summary.items.total:
        cells.insert(1, ("Items complete", count(summary.items.complete), f"of {count(summary.items.total)}"))
    return (
        '<dl class="figures">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{value}</dd>" + (f'<dd class="note">{note}</dd>' if note else "") + "</div>"
            for name, value, note in cells
        )
        + "</dl>"
    )


def _over(fidelity: Fidelity, shown: object) -> str:
    if not fidelity.measured:
        return "not measured"
    lowest = shown(fidelity.minimum) if callable(shown) else ""
    return f"lowest {lowest}"


def states(summary: Summary) -> str:
    """The bar of states with its legend."""
    counts = summary.counts
    known = set(State)
    parts = [
        svg.Share(state if state in known else "skipped", escaped(state), number) for state, number in counts.items()
    ]
    whole = sum(counts.values())
    told = ", ".join(f"{state} {count(number)}" for state, number in counts.items())
    return svg.shares(parts, svg.Words("Images by state", told)) + legend(
        parts, [f"{count(part.value)} · {percent(part.value, whole)}" for part in parts]
    )


def sizes(summary: Summary) -> str:
    """Before and after, by format and by group."""
    columns = [
        Column(""),
        *(Column(head, NUMBER) for head in ("Images", "Megapixels", "Before", "After", "Change", "Bits a pixel")),
    ]

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
    tables = [table("By the format of the source and the target", columns, map(cells, summary.formats), total)]
    if summary.groups and summary.group_column is not None:
        tables.append(
            table(f"By {escaped(summary.group_column)}, the largest first", columns, map(cells, summary.groups), total)
        )
    return section("sizes", "Sizes", *tables)


def fidelity(summary: Summary, places: Places) -> str:
    """Histograms, and the images that came out worst."""
    if not summary.psnr.measured:
        return ""
    intro = (
        "<p>Every output was decoded again, all of it, and compared with its source. PSNR is the mean error over all samples: "
        "40 dB and more is hard to see. SSIMULACRA2 follows the eye, on sample tiles: 70 is high quality, 90 visually lossless.</p>"
    )
    plots = "".join(
        f"<div><h3>{name}</h3>{_histogram(name, measure, unit)}{_lowest(name, measure, places)}</div>"
        for name, measure, unit in (
            ("PSNR", summary.psnr, " dB"),
            ("SSIMULACRA2", summary.ssimulacra2, ""),
        )
        if measure.measured
    )
    return section("fidelity", "Fidelity", intro, f'<div class="pair">{plots}</div>')


def _histogram(name: str, measure: Fidelity, unit: str) -> str:
    bars = measure.bars
    same = (
        f"{plural(measure.identical, 'image has', 'images have')} the very pixels of the source and no place in the chart. "
        if measure.identical
        else ""
    )
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
    half = "" if top == 1 else amount(top / 2)
    return plot(told, chart, [count(top), half, "0"], [f"{low:g}{unit}", f"{middle:g}", f"{high:g}{unit}"])


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
    line, costs = summary.timeline, summary.costs
    content = []
    if line.steps and any(step.pixels for step in line.steps):
        top = svg.nice(max(step.megapixels_a_minute for step in line.steps))
        mean = summary.progressed.pixels_done / 1e6 * 60 / line.worked if line.worked else 0.0
        told = f"Megapixels a minute over {duration(line.worked)} of work; {amount(mean)} on the average."
        if line.pauses:
            stopped = ", ".join(duration(seconds) for _, seconds in line.pauses[:6]) + (
                " and more" if len(line.pauses) > 6 else ""
            )  # noqa: PLR2004 - a line's worth
            told += f" Dashed: the job was stopped ({stopped}); that time is cut out."
        chart = svg.area(
            [(step.began, step.ended, step.megapixels_a_minute) for step in line.steps],
            [at for at, _ in line.pauses],
            (line.steps[-1].ended, top),
            svg.Words("Throughput over time", told),
        )
        content.append(
            plot(
                told,
                chart,
                [f"{amount(top)} MP", amount(top / 2), "0"],
                ["0", duration(line.worked / 2), duration(line.worked)],
            )
        )
    content.append(_stages(summary))
    more = []
    if costs.peak_memory:
        more.append(("Largest memory of an image", f"{amount(costs.peak_memory / (1 << 20))} MiB"))
    if costs.attempts_lost:
        more.append(("Attempts that ended badly", count(costs.attempts_lost)))
    if any(content):
        content.append(facts(more) if more else "")
    return section("throughput", "Throughput", *content)


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


def items(summary: Summary) -> str:
    """What is complete, and what lacks images."""
    counted = summary.items
    if not counted.total:
        return ""
    left = counted.total - counted.complete
    told = f"<p>{plural(counted.complete, 'item is', 'items are')} complete, of {count(counted.total)}.</p>"
    if counted.hooks_failed:
        told += f"<p>The command for complete items failed for {count(counted.hooks_failed)}; it runs again when the job is resumed.</p>"
    if not left:
        return section("items", "Items", told)
    shown = summary.incomplete
    caption = "Items that lack images" + (
        f": the {len(shown)} nearest to completion of {count(left)}" if left > len(shown) else ""
    )
    rows = ((escaped(name), count(images), count(done), count(images - done)) for name, images, done in shown)
    columns = [Column("Item"), Column("Images", NUMBER), Column("Done", NUMBER), Column("Lacking", NUMBER)]
    return section("items", "Items", told, table(caption, columns, rows))


def failures(summary: Summary, job: str) -> str:
    """Kinds of failure, then the images."""
    if not summary.problems:
        return ""
    kinds = table(
        "By kind",
        [Column("Error"), Column("State"), Column("Images", NUMBER), Column("One of the messages", LONG)],
        (
            (f"<code>{escaped(p.error_class or '?')}</code>", _tag(p.state), count(p.images), escaped(p.example))
            for p in summary.problems
        ),
    )
    total, shown = summary.unsuccessful, summary.failures
    if not shown:
        return section("failures", "Failures", kinds)
    rest = "" if total <= len(shown) else f"The first {LISTED} of {count(total)}; "
    again = f"{rest}<code>ziggurat report {escaped(job)} --failed FILE</code> writes all of them as a CSV that can be fed in again"
    rows = (
        (
            escaped(row.source) or "(no source)",
            f"<code>{escaped(row.error_class or '?')}</code>",
            _tag(row.state),
            escaped(row.error_message or "", 1000),
        )
        for row in shown
    )
    columns = [Column("Source"), Column("Error"), Column("State"), Column("Reason", LONG)]
    return section("failures", "Failures", kinds, "<h3>The images</h3>", table(again, columns, rows))


def _tag(state: str) -> str:
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


def job(summary: Summary, path: str) -> str:
    """What the job was told, for whoever does it again."""
    known = summary.facts
    version = escaped(known.get("version") or "?")
    pairs = [
        ("Ledger", f"<code>{escaped(path)}</code>"),
        ("Sources", "<br>".join(f"<code>{escaped(source)}</code>" for source in _listed(known.get("sources")))),
        ("Destination", f"<code>{escaped(known.get('destination') or '')}</code>"),
        ("Planned", moment(known.get("planned_at") or known.get("created_at"))),
        ("Version", f"Ziggurat {version}"),
        ("Job", f"<code>{escaped(known.get('id') or '')}</code>"),
    ]
    if known.get("manifest_sha256"):
        pairs.append(("SHA-256 of the manifest", f"<code>{escaped(known['manifest_sha256'])}</code>"))
    pairs += [(escaped(name), f"<code>{escaped(value)}</code>") for name, value in _flat(known.get("options"))]
    return section("job", "The job", facts(pairs))


def _listed(value: JSON) -> Iterable[JSON]:
    return value[:20] if isinstance(value, list) else []


def _flat(value: JSON, path: str = "") -> list[tuple[str, str]]:
    """Nested options as ``jpeg.quality`` and value; what is not set is left out."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _flat(part, f"{path}.{key}" if path else key)]
    return [] if value is None else [(path, value if isinstance(value, str) else json.dumps(value))]
