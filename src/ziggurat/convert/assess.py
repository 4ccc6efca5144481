"""What a migration will come to, before it is made: some images of every group, converted with several settings."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from ziggurat.convert.job import JobRequest
from ziggurat.convert.ledger.schema import State
from ziggurat.convert.ledger.view import View
from ziggurat.convert.manifest import Row
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.wanted import parse_wanted
from ziggurat.errors import SourceNotFound, UsageError
from ziggurat.model import JSON
from ziggurat.write.jpeg import JpegOptions

SETTINGS = ("q92", "same-as=q92", "ssimulacra2=90", "ssimulacra2=85", "ssimulacra2=80")
"""What is tried unless told otherwise: the usual, what is as good, and three fidelities below."""

GOOD = 85.0
"""SSIMULACRA2 at which a distortion is not noticed by somebody who is shown both pictures in turn at one place."""

SAMPLE = "sample.csv"

_SURE = 1.96
"""Standard errors on either side that 95 % of all samples lie within."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows chosen from a collection, and how many each group has in all."""

    chosen: tuple[tuple[str, Row], ...]
    sizes: Mapping[str, int]


def sample(rows: Iterable[Row], count: int) -> Sampled:
    """The same rows of every group every time, in an order that has nothing to do with the manifest's.

    Args:
        rows: of a manifest or a listing.
        count: of every group, at most.

    Raises:
        SourceNotFound: if there is no row with a source.
    """
    sizes: dict[str, int] = {}
    kept: dict[str, list[tuple[int, int, Row]]] = {}
    for index, row in enumerate(rows):
        if row.problem is not None:
            continue
        group = row.fields.get("group", "")
        sizes[group] = sizes.get(group, 0) + 1
        best = kept.setdefault(group, [])
        # Knuth's multiplicative hash, as in the review of outputs.
        best.append((index * 2654435761 % (1 << 32), index, row))
        if len(best) > 2 * count:
            kept[group] = sorted(best, key=lambda one: one[:2])[:count]
    if not sizes:
        raise SourceNotFound("no row names a source: there is nothing to assess")
    chosen = [
        (group, row)
        for group in sizes
        for _, _, row in sorted(sorted(kept[group], key=lambda one: one[:2])[:count], key=lambda one: one[1])
    ]
    return Sampled(tuple(chosen), sizes)


def write_sample(sampled: Sampled, path: Path) -> None:
    """Writes the chosen rows as a manifest: source, group, and names that do not collide."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "group", "name"))
        for number, (group, row) in enumerate(sampled.chosen, 1):
            writer.writerow((row.source, group, f"{number:05d}"))


def settings(text: str) -> tuple[str, ...]:
    """Reads ``q92,ssimulacra2=85``.

    Raises:
        UsageError: if one of them is no setting, or one is there twice.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        options_of(name, OutputOptions(target="jpeg"))
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--settings {text!r} is not one or more different settings with commas between them")
    return names


def options_of(name: str, common: OutputOptions) -> OutputOptions:
    """What a setting means to a job.

    Args:
        name: ``q92``, or what ``--fidelity`` takes.
        common: everything else.

    Raises:
        UsageError: if it is no setting.
    """
    if name.startswith("q") and name[1:].isdecimal():
        return replace(common, jpeg=JpegOptions(quality=int(name[1:])))
    return replace(common, fidelity=parse_wanted(name, None))


def as_options(name: str) -> tuple[str, str]:
    """A setting as an option of ``ziggurat convert``, and its value."""
    return ("--quality", name[1:]) if name[0] == "q" else ("--fidelity", name)


def file_name(name: str) -> str:
    """A setting as a part of a file's name."""
    return name.replace("=", "-")


def request(common: JobRequest, name: str, folder: Path) -> JobRequest:
    """The job that tries one setting on the sample."""
    return replace(
        common,
        sources=(str(folder / SAMPLE),),
        destination=str(folder / file_name(name)),
        ledger=folder / f"{file_name(name)}.zgj",
        options=replace(options_of(name, common.options), name="{name}", columns={}),
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a setting made of the sample of one group.

    Attributes:
        group: its name.
        images: in the group.
        done: of the sample, with an output.
        failed: of the sample, without one.
        source_bytes: of an image, the mean.
        output_bytes: of an image, the mean.
        error: standard error of that mean.
        score: SSIMULACRA2 of an image's worst tile, the mean; None where it is not defined.
        worst: the lowest of them.
        decibels: PSNR, the mean of those that are not equal.
        cpu: seconds an image.
        verified: share of the time that reading, writing and verifying took which went into verifying.
        doubtful: images of the sample marked for review.
    """

    group: str
    images: int
    done: int
    failed: int
    source_bytes: float
    output_bytes: float
    error: float
    score: float | None
    worst: float | None
    decibels: float | None
    cpu: float
    verified: float
    doubtful: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What a setting made of the whole sample, and what the whole collection would come to."""

    name: str
    groups: tuple[Measured, ...]

    @property
    def output_bytes(self) -> float:
        """Of the whole collection."""
        return sum(group.images * group.output_bytes for group in self.groups)

    @property
    def source_bytes(self) -> float:
        """Of the whole collection."""
        return sum(group.images * group.source_bytes for group in self.groups)

    @property
    def uncertain(self) -> float:
        """Bytes by which the outputs of the whole collection may differ from the prediction, in 95 % of all samples."""
        return _SURE * math.sqrt(sum((group.images * group.error) ** 2 for group in self.groups))

    @property
    def cpu(self) -> float:
        """Seconds of one core for the whole collection."""
        return sum(group.images * group.cpu for group in self.groups)

    @property
    def verified(self) -> float:
        """Share of the time that goes into verifying."""
        return sum(group.images * group.cpu * group.verified for group in self.groups) / (self.cpu or 1.0)

    @property
    def good(self) -> bool:
        """Whether every group has the score that nobody notices, and nothing is marked for review."""
        return all(group.done and group.score is not None and group.score >= GOOD for group in self.groups) and not any(
            group.doubtful for group in self.groups
        )

    @property
    def score(self) -> float:
        """SSIMULACRA2 of the worst tiles, the mean over the collection."""
        scored = [(group.images, group.score) for group in self.groups if group.score is not None]
        return sum(images * value for images, value in scored) / sum(images for images, _ in scored) if scored else 0.0


def trial(name: str, view: View, sizes: Mapping[str, int]) -> Trial:
    """Reads what a job made of the sample."""
    found: dict[str, list[tuple[JSON, ...]]] = {group: [] for group in sizes}
    for group, *row in view.query(
        'SELECT m."group", i.state, i.source_size, i.output_size, i.ssimulacra2, i.psnr, i.cpu_seconds,'
        " i.verify_seconds, i.read_seconds + i.write_seconds + i.verify_seconds, i.warnings"
        " FROM images AS i JOIN manifest AS m ON m.images_id = i.id"
    ):
        found.setdefault(str(group), []).append(tuple(row))
    return Trial(name, tuple(_measured(group, sizes.get(group, 0), rows) for group, rows in found.items()))


def _measured(group: str, images: int, rows: Sequence[tuple[JSON, ...]]) -> Measured:
    done = [row for row in rows if row[0] == State.DONE]

    def column(index: int) -> list[float]:
        return [float(row[index]) for row in done if isinstance(row[index], int | float)]  # type: ignore[arg-type]

    outputs, scores = column(2), column(3)
    decibels = [value for value in column(4) if math.isfinite(value)]
    spent = sum(column(7))
    return Measured(
        group=group,
        images=images,
        done=len(done),
        failed=len(rows) - len(done),
        source_bytes=fmean(column(1)) if done else 0.0,
        output_bytes=fmean(outputs) if outputs else 0.0,
        error=stdev(outputs) / math.sqrt(len(outputs)) if 1 < len(outputs) < images else 0.0,
        score=fmean(scores) if scores else None,
        worst=min(scores, default=None),
        decibels=fmean(decibels) if decibels else None,
        cpu=fmean(column(5)) if done else 0.0,
        verified=sum(column(6)) / spent if spent else 0.0,
        doubtful=sum("to be reviewed" in str(row[8] or "") for row in done),
    )


def best(trials: Sequence[Trial]) -> Trial:
    """The smallest that is good enough; the most faithful where none is."""
    good = [one for one in trials if one.good]
    return min(good, key=lambda one: one.output_bytes) if good else max(trials, key=lambda one: one.score)
