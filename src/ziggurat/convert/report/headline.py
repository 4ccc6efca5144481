"""What the page says first: the job in a sentence, in figures and in one bar."""

from collections.abc import Callable, Iterable, Mapping

from ziggurat.convert.ledger.schema import State
from ziggurat.convert.report import svg
from ziggurat.convert.report.parts import legend
from ziggurat.convert.report.summary import Fidelity, Summary
from ziggurat.convert.text import (
    NOTHING,
    amount,
    count,
    decibels,
    duration,
    percent,
    plural,
    reduction,
    score,
    size,
    span,
)

ORDER = (
    State.DONE,
    State.COMMITTING,
    State.RUNNING,
    State.FAILED,
    State.QUARANTINED,
    State.REFUSED,
    State.DEFERRED,
    State.SKIPPED,
    State.PLANNED,
)
"""Of the states in their bar: what is done, what will not be, and what is to come."""


def verdict(summary: Summary) -> str:
    """The report in a sentence or two."""
    p = summary.progressed
    done = f"{plural(p.done, 'image', 'images')} of {count(p.images)}"
    bad = summary.unsuccessful
    if p.images and p.done == p.images:
        whole = "The one image is" if p.images == 1 else f"All {count(p.images)} images are"
        return f"{whole} in place, each verified pixel by pixel against its source."
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
    begun = span(line.began, line.ended)
    if line.pauses:
        begun += f", {plural(len(line.pauses), 'pause', 'pauses')} left out"
    per = costs.cpu / (costs.cpu_pixels / 1e6) if costs.cpu_pixels else None
    found = [
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
        found.insert(1, ("Items complete", count(summary.items.complete), f"of {count(summary.items.total)}"))
    return cells(found)


def cells(found: Iterable[tuple[str, str, str]]) -> str:
    """Figures in a row: what each is, the figure, and a note; all HTML."""
    return (
        '<dl class="figures">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{value}</dd>" + (f'<dd class="note">{note}</dd>' if note else "") + "</div>"
            for name, value, note in found
        )
        + "</dl>"
    )


def _over(fidelity: Fidelity, shown: Callable[[float | None], str]) -> str:
    if not fidelity.measured:
        return "not measured"
    return f"lowest {shown(fidelity.minimum)}"


def states(found: Mapping[str, int], rows: str) -> str:
    """The bar of states with its legend.

    Args:
        found: number of rows by state.
        rows: what they are of, such as "Images".
    """
    counts = {str(state): found[state] for state in ORDER if state in found}
    # States that a conversion has not are shown too, behind those that it has.
    counts |= {state: number for state, number in found.items() if state not in counts}
    known = set(State)
    parts = [svg.Share(state if state in known else "skipped", state, number) for state, number in counts.items()]
    whole = sum(counts.values())
    told = ", ".join(f"{state} {count(number)}" for state, number in counts.items())
    return svg.shares(parts, svg.Words(f"{rows} by state", told)) + legend(
        parts, [f"{count(part.value)} · {percent(part.value, whole)}" for part in parts]
    )
