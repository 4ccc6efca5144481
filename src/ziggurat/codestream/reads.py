"""How this package asks for bytes without reading any: generators that yield what they need and are sent it.

A function that needs bytes is a generator of type ``Reads[T]``: it yields the spans of the file that it wants next,
is sent their bytes in the same order (shorter where the file ends), and returns its result. Whoever has the file
drives it.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Bytes of the file from ``start`` up to and without ``end``."""

    start: int
    end: int


type Reads[T] = Generator[Sequence[Span], Sequence[bytes], T]


def one(start: int, end: int) -> Reads[bytes]:
    """Reads a single span; fewer bytes where the file ends."""
    data = yield [Span(start, end)]
    return data[0]


def together[T](several: Sequence[Reads[T]]) -> Reads[list[T]]:
    """Runs several at once, so that what they ask for at the same time is read in one go.

    Returns:
        Their results, in order.
    """
    results: dict[int, T] = {}
    asked: dict[int, Sequence[Span]] = {}
    for number, reads in enumerate(several):
        try:
            asked[number] = next(reads)
        except StopIteration as done:
            results[number] = done.value
    while asked:
        answers = iter((yield [span for spans in asked.values() for span in spans]))
        for number, spans in list(asked.items()):
            data = [next(answers) for _ in spans]
            try:
                asked[number] = several[number].send(data)
            except StopIteration as done:
                results[number] = done.value
                del asked[number]
    return [results[number] for number in range(len(several))]


def joined_spans(spans: Sequence[tuple[int, int]], *, gap: int) -> list[Span]:
    """Spans in ascending order, joined where they overlap or lie no more than ``gap`` bytes apart."""
    made: list[Span] = []
    for start, end in spans:
        if made and start - made[-1].end <= gap:
            made[-1] = Span(made[-1].start, max(made[-1].end, end))
        else:
            made.append(Span(start, end))
    return made
