"""The page of an assessment: size against fidelity for every group, what all of it would come to, and what to do."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ziggurat.convert.assess import GOOD, Measured, Trial, as_options, best, file_name
from ziggurat.convert.report import svg
from ziggurat.convert.report.html import Lead, save_page
from ziggurat.convert.report.parts import Column, plot, section, table
from ziggurat.convert.text import MINUS, count, decibels, duration, escaped, percent, plural, reduction, score, size

PLUS_MINUS = "\u00b1"


@dataclass(frozen=True, slots=True)
class Assessed:
    """What was tried.

    Attributes:
        folder: with the jobs, and the page.
        sources: what was assessed, as it was given.
        columns: what its columns are, as it was given; "" for nothing.
        trials: one a setting.
        workers: processes with which the time is predicted.
    """

    folder: Path
    sources: tuple[str, ...]
    columns: str
    trials: tuple[Trial, ...]
    workers: int


def command(assessed: Assessed) -> str:
    """The conversion that is recommended."""
    words = ["ziggurat", "convert", *assessed.sources, "DEST", "--to", "jpeg", *as_options(best(assessed.trials).name)]
    return shlex.join([*words, *(("--columns", assessed.columns) if assessed.columns else ())])


def write_assessment(assessed: Assessed, path: Path) -> None:
    """Writes the page.

    Raises:
        WriteError: if it cannot be written.
    """
    chosen = best(assessed.trials)
    images = sum(group.images for group in chosen.groups)
    sampled = sum(group.done for group in chosen.groups)
    verdict = (
        f"{plural(images, 'image', 'images')}, of which {count(sampled)} were converted with every setting. "
        f"<b>{escaped(chosen.name)}</b> is the smallest with which every group keeps a SSIMULACRA2 of {GOOD:g}: "
        f"about {size(chosen.output_bytes)} instead of {size(chosen.source_bytes)}."
        if chosen.good
        else f"No setting keeps a SSIMULACRA2 of {GOOD:g} in every group; <b>{escaped(chosen.name)}</b> comes closest."
    )
    groups = "".join(_group(group.group, assessed.trials, at) for at, group in enumerate(chosen.groups))
    parts = {
        "whole": _whole(assessed, chosen),
        "groups": f'<div id="groups">{groups}</div>',
        "review": _review(assessed),
        "job": section("job", "What to do", f"<pre>{escaped(command(assessed), 1000)}</pre>"),
    }
    known = {"destination": str(assessed.folder)}
    save_page(Path(assessed.sources[0]), known, Lead("Assessment", verdict, ""), "", parts, path)


def _whole(assessed: Assessed, chosen: Trial) -> str:
    columns = [Column("Setting"), *(Column(head, "number") for head in ("Bytes", "", "Saved", "SSIMULACRA2", "Time"))]
    columns.append(Column("To be reviewed", "number"))
    rows = [
        [
            f"<b>{escaped(trial.name)}</b>" if trial is chosen else escaped(trial.name),
            size(trial.output_bytes),
            f"{PLUS_MINUS} {size(trial.uncertain)}" if trial.uncertain else "",
            reduction(trial.source_bytes, trial.output_bytes),
            score(trial.score),
            duration(trial.cpu / assessed.workers),
            percent(sum(group.doubtful for group in trial.groups), sum(group.done for group in trial.groups)),
        ]
        for trial in assessed.trials
    ]
    told = (
        "<p>What the whole collection would come to: means of the samples times the images of their groups, with the "
        "range in which 19 of 20 samples lie. SSIMULACRA2 is that of each image's worst tile: 90 cannot be told from "
        f"the original, 70 is high quality. Time is that of {plural(assessed.workers, 'worker', 'workers')} like this "
        f"machine's; {percent(chosen.verified, 1)} of it goes into verifying with {escaped(chosen.name)}.</p>"
    )
    return section("whole", "All of it", told, table("Settings", columns, rows))


def _group(name: str, trials: Sequence[Trial], at: int) -> str:
    measured = [trial.groups[at] for trial in trials]
    title = name or "All images"
    first = measured[0]
    heads = ("Bytes an image", "Saved", "SSIMULACRA2", "Lowest", "PSNR", "Seconds")
    columns = [Column("Setting"), *(Column(head, "number") for head in heads)]
    rows = [
        [
            escaped(trial.name),
            size(one.output_bytes),
            reduction(one.source_bytes, one.output_bytes),
            score(one.score),
            score(one.worst),
            decibels(one.decibels),
            f"{one.cpu:.2f}",
        ]
        for trial, one in zip(trials, measured, strict=True)
    ]
    told = f"{count(first.done)} of {plural(first.images, 'image', 'images')}"
    if first.failed:
        told += f"; {plural(first.failed, 'image', 'images')} of the sample could not be converted"
    return section(
        f"group-{at}", escaped(title), f"<p>{told}.</p>", _curve(title, trials, measured), table(told, columns, rows)
    )


def _curve(title: str, trials: Sequence[Trial], measured: Sequence[Measured]) -> str:
    points = sorted(
        (one.output_bytes, one.score, f"{trial.name}: {size(one.output_bytes)}, {score(one.score)}")
        for trial, one in zip(trials, measured, strict=True)
        if one.score is not None
    )
    if not points:
        return ""
    right = svg.nice(max(length for length, _, _ in points))
    low = min(80.0, 10 * (min(value for _, value, _ in points) // 10))
    words = svg.Words(f"{title}: SSIMULACRA2 against size", "; ".join(told for _, _, told in points))
    chart = svg.points([(x, value - low, told) for x, value, told in points], (right, 100 - low), words)
    return plot(
        "SSIMULACRA2 of the worst tile against bytes an image",
        chart,
        ["100", f"{(100 + low) / 2:g}", f"{low:g}".replace("-", MINUS)],
        ["0", size(right / 2), size(right)],
    )


def _review(assessed: Assessed) -> str:
    commands = "".join(
        f"<li><code>ziggurat serve {escaped(str(assessed.folder / file_name(trial.name)))}.zgj</code></li>"
        for trial in assessed.trials
    )
    told = "<p>Each setting is a job of its own. Compare its outputs with their sources, the worst of them first:</p>"
    return section("review", "Look at them", told, f"<ul>{commands}</ul>")
