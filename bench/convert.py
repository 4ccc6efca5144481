"""Converts the same files with Ziggurat and with the pipelines that people use, and compares speed and fidelity.

``make bench`` runs it. The peers and the encoder are Debian's: ``apt install parallel imagemagick libvips-tools
libopenjp2-tools``.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import ziggurat
from corpora import Group, make
from fidelity import Outcome, outcomes
from pipelines import NAMES, OURS, MissingToolError, Name, Run, run, versions
from tables import machine, table, write_section
from ziggurat.errors import ZigguratError

REPOSITORY = Path(__file__).resolve().parent.parent

SHOWN = {
    "ziggurat": "Ziggurat",
    "fast": "Ziggurat, decode fast",
    "vips": "parallel + vips",
    "ImageMagick": "parallel + ImageMagick",
}

HEADER = ("", "images/s", "MP/s", "CPU s/MP", "output MB", "PSNR mean (lowest)", "SSIMULACRA2", "failed")


@dataclass(frozen=True, slots=True)
class Result:
    """A group, converted by every pipeline.

    Attributes:
        title: of the group.
        images: in it.
        megapixels: of all of them.
        size: their bytes.
        runs: of every pipeline.
        outcomes: of the last run of every pipeline.
    """

    title: str
    images: int
    megapixels: float
    size: int
    runs: dict[Name, list[Run]]
    outcomes: dict[str, Outcome]

    def wall(self, name: Name) -> float:
        """Median seconds of a run."""
        return median(run.wall for run in self.runs[name])

    def cpu(self, name: Name) -> float:
        """Median processor seconds of a run."""
        return median(run.cpu for run in self.runs[name])


def measure(group: Group, outputs: Path, repetitions: int, workers: int) -> Result:
    """Runs all pipelines over a group in turns, each turn beginning with another one, and compares what they made."""
    runs: dict[Name, list[Run]] = {name: [] for name in NAMES}
    for turn in range(repetitions):
        first = turn % len(NAMES)
        for name in NAMES[first:] + NAMES[:first]:
            runs[name].append(run(name, group.folder, outputs / f"{group.name}-{name}", workers, group.subsampling))
    sources = group.sources()
    pixels = 0
    for source in sources:
        with ziggurat.open(str(source)) as image:
            pixels += image.info.size.pixels
    return Result(
        title=group.title,
        images=len(sources),
        megapixels=pixels / 1e6,
        size=sum(source.stat().st_size for source in sources),
        runs=runs,
        outcomes=outcomes(group, {name: outputs / f"{group.name}-{name}" for name in NAMES}),
    )


def rows(result: Result) -> list[list[str]]:
    """A row of the table for every pipeline."""
    return [
        [
            SHOWN[name],
            f"{result.images / result.wall(name):.2f}",
            f"{result.megapixels / result.wall(name):.1f}",
            f"{result.cpu(name) / result.megapixels:.3f}",
            f"{outcome.size / 1e6:.1f}",
            f"{outcome.psnr:.2f} ({outcome.lowest:.2f})",
            f"{outcome.ssimulacra2:.1f}",
            str(len(outcome.failed)),
        ]
        for name in NAMES
        for outcome in [result.outcomes[name]]
    ]


def ratios(results: Sequence[Result]) -> str:
    """How many times as fast Ziggurat is, and what part of the processor time it takes."""
    peers = [name for name in NAMES if name not in OURS]
    header = ["", "decode", *(f"{what}, {peer}" for what in ("speed", "CPU") for peer in peers)]
    lines = [
        [
            result.title,
            "full" if ours == "ziggurat" else "fast",
            *(f"{result.wall(peer) / result.wall(ours):.2f}" for peer in peers),
            *(f"{result.cpu(ours) / result.cpu(peer):.2f}" for peer in peers),
        ]
        for result in results
        for ours in OURS
    ]
    return table(header, lines)


def asked(given: argparse.Namespace) -> str:
    """The command that measures the same again."""
    options = [f"--{name} {value}" for name in ("groups", "images", "repetitions") if (value := getattr(given, name))]
    if given.section != "convert":
        options.append(f"--section {given.section}")
    return f".venv/bin/python bench/convert.py {' '.join(options)}" if options else "make bench"


def report(results: Sequence[Result], given: argparse.Namespace, repetitions: int) -> str:
    """The section for the document."""
    workers = given.workers
    parts = [
        f"## {given.section.capitalize()}",
        f"`{asked(given)}` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {versions()}.",
        (
            "JPEG at quality 92, without chroma subsampling unless said, the same files for all, "
            f"{workers} jobs at once. Medians of {repetitions} runs, the pipelines taking turns; whole commands, from "
            "start to exit. CPU is user and system time of all their processes."
        ),
        (
            "Ziggurat's figures include what the others do not do: every output is decoded again and compared with its "
            "source in every pixel, SSIMULACRA2 is taken, source and output get their SHA-256, outputs and ledger are "
            "flushed to the disk (fsync), and the starting of workers that would serve for hundreds of thousands of "
            "images. The others verify nothing."
        ),
        (
            "Decode fast is --decode fast: bit-planes that the JPEG does not show are left out, image by image, where "
            "sampled tiles lose at most 0.3 dB, one point of SSIMULACRA2 and 2 % of size by it (docs/decoding.md)."
        ),
        (
            "PSNR and SSIMULACRA2 (two busiest tiles of every image) are against the decoded source, outside of the "
            "measured time, with one decoder for all. The scans are crops of photographs and maps with noise "
            "(standard deviation 1.5), for without it lossless files are smaller than "
            f"scans are. Every image is in its group {'once' if given.images else 'three times'}."
        ),
        "Ziggurat against each of them, above 1 is faster, and below 1 takes less processor time:",
        ratios(results),
    ]
    for result in results:
        title = f"### {result.title}"
        parts += [
            title,
            f"{result.images} images, {result.megapixels:.0f} MP, {result.size / 1e6:.0f} MB.",
            table(HEADER, rows(result)),
        ]
        parts += [
            f"{SHOWN[name]} did not convert {', '.join(outcome.failed)}."
            for name in NAMES
            for outcome in [result.outcomes[name]]
            if outcome.failed
        ]
    return "\n\n".join(parts)


def data_folder(named: Path | None) -> Path:
    """Where pictures are taken from: as told, by ZIGGURAT_TEST_DATA, beside the repository, or its samples."""
    chosen = named or os.environ.get("ZIGGURAT_TEST_DATA")
    if chosen is not None:
        return Path(chosen)
    beside = REPOSITORY.parent / "shared" / "data"
    if beside.is_dir():
        return beside
    print(f"no {beside} and no --data: the few images of {REPOSITORY / 'samples'} are used", file=sys.stderr)
    return REPOSITORY / "samples"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few small images, once; nothing is written")
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="where a work folder is made")
    parser.add_argument("--output", type=Path, help="document whose section is written (docs/benchmarks.md)")
    parser.add_argument("--images", type=int, help="crops, each once (12, each three times)")
    parser.add_argument("--section", default="convert", help="section of the document that is written")
    parser.add_argument("--repetitions", type=int, default=None, help="of every run (2, quick 1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="jobs at once (one per core)")
    parser.add_argument("--groups", help="names of groups, with commas: lossless,halved,tiled,access,real,tiff")
    return parser.parse_args(words)


def main() -> int:
    """Makes the corpora, measures, prints and writes."""
    given = arguments()
    repetitions = given.repetitions or (1 if given.quick else 2)
    work = given.work / "ziggurat-bench"
    try:
        versions()
        groups = make(work, data_folder(given.data), quick=given.quick, images=given.images)
        outputs = work / "outputs"
        outputs.mkdir()
        chosen = given.groups.split(",") if given.groups else [group.name for group in groups]
        results = []
        for group in groups:
            if group.name in chosen and group.sources():
                print(f"{group.title} ...", file=sys.stderr, flush=True)
                results.append(measure(group, outputs, repetitions, given.workers))
        text = report(results, given, repetitions)
    except (MissingToolError, FileNotFoundError, ZigguratError) as error:
        print(error, file=sys.stderr)
        return 1
    print(text)
    output = given.output or (None if given.quick else REPOSITORY / "docs" / "benchmarks.md")
    if output is not None:
        write_section(output, given.section, text)
    if any(outcome.failed for result in results for outcome in result.outcomes.values()):
        print(f"what the pipelines said about their failures is in {outputs}", file=sys.stderr)
    else:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
