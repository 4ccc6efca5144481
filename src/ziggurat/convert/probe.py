"""Reading the headers of sources for the plan. Runs in workers: headers are untrusted input too."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ziggurat.convert.ledger.schema import State
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import predict, set_up
from ziggurat.convert.records import Budget, Probe, naming
from ziggurat.errors import (
    OutOfMemory,
    SourceChanged,
    StoreUnavailable,
    TargetExists,
    TooManyPixels,
    UsageError,
    ZigguratError,
)
from ziggurat.image import open_image
from ziggurat.storage.destination import Destination
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.storage.resolve import open_source
from ziggurat.storage.urls import local_path

REMOTE_AT_ONCE = 16
"""Requests for headers that one worker has under way: the round trip is what takes time."""

MOST_SAMPLES = 1 << 50
"""Samples that an image may claim: a petabyte. The ledger's integers hold 63 bits."""


@dataclass(frozen=True, slots=True)
class Question:
    """One source whose header is wanted.

    Attributes:
        image: row of the ledger.
        source: URL or path.
        target: key of the target.
        replaces: SHA-256 of this row's earlier output, if it has one.
    """

    image: int
    source: str
    target: str
    replaces: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What verdicts depend on besides the headers.

    Attributes:
        options: of the job.
        destination: where the targets would go.
        overwrite: whether targets that exist are replaced.
        budget: memory of the job.
        share: bytes that one task may take without keeping the others from running.
    """

    options: OutputOptions
    destination: Destination
    overwrite: bool
    budget: Budget
    share: int


def probe_all(questions: Sequence[Question], terms: Terms) -> list[Probe]:
    """The verdicts on several sources, in order; remote ones are asked for side by side."""

    def ask(question: Question) -> Probe:
        return probe(question, terms)

    if isinstance(terms.destination, LocalDestination) and all(_is_near(question.source) for question in questions):
        return [ask(question) for question in questions]
    with ThreadPoolExecutor(REMOTE_AT_ONCE) as threads:
        return list(threads.map(ask, questions))


def _is_near(source: str) -> bool:
    """Whether a source needs no round trip to a server: a local file, or no place at all."""
    try:
        return local_path(source) is not None
    except UsageError:
        return True


def probe(question: Question, terms: Terms) -> Probe:
    """Reads one header and decides how, and whether, the image will be converted. Never raises for a source."""
    try:
        return _probe(question, terms)
    except ZigguratError as error:
        return _refusal(question, error, terms.options)
    except MemoryError:
        greedy = OutOfMemory(f"{question.source}: its header asks for more memory than a header may")
        return _refusal(question, greedy, terms.options)


def _probe(question: Question, terms: Terms) -> Probe:
    with open_image(open_source(question.source)) as image:
        info, version = image.info, image.source.version
        if info.size.pixels * info.bands > MOST_SAMPLES:
            raise TooManyPixels(
                f"{question.source} claims to be {info.size.height} x {info.size.width} x {info.bands}: its header "
                "is wrong"
            )
        facts = {
            "image": question.image,
            "source_size": version.size,
            "source_tag": version.tag,
            "format": info.format,
            "height": info.size.height,
            "width": info.size.width,
            "bands": info.bands,
            "bit_depth": info.bit_depth,
        }
        try:
            if question.replaces is None and not terms.overwrite:
                _must_be_free(question.target, terms.destination)
            conversion = set_up(image, terms.options)
            strategy, memory = predict(conversion, version.size, terms.budget, terms.share)
        except ZigguratError as error:
            refusal = _refusal(question, error, terms.options)
            facts |= {"error_class": refusal.error_class, "error_message": refusal.error_message}
            return Probe(verdict=refusal.verdict, **facts)  # type: ignore[arg-type]  # a record of mixed types
        return Probe(
            verdict=State.PLANNED,
            writer=conversion.name,
            strategy=strategy,
            predicted_memory=memory,
            **facts,  # type: ignore[arg-type]  # a record of mixed types
        )


def _must_be_free(target: str, destination: Destination) -> None:
    if destination.exists(target) is not None:
        raise TargetExists(
            f"{destination.url(target)} exists already; use --overwrite to replace what is there, or another "
            "destination"
        )


def _refusal(question: Question, error: ZigguratError, options: OutputOptions) -> Probe:
    verdict = State.REFUSED
    if isinstance(error, OutOfMemory):
        verdict = State.DEFERRED
    elif isinstance(error, TooManyPixels) and options.oversize == "skip":
        verdict = State.SKIPPED
    elif isinstance(error, StoreUnavailable | SourceChanged):
        # Not the image's fault: `--retry-failed` and a later run may find it.
        verdict = State.FAILED
    return Probe(
        image=question.image,
        verdict=verdict,
        error_class=type(error).__name__,
        error_message=naming(question.source, str(error)),
    )
