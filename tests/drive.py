"""Runs what asks for bytes (``codestream.reads``) over bytes in memory, and counts."""

from dataclasses import dataclass, field

from ziggurat.codestream.reads import Reads, Span


@dataclass
class Drive:
    data: bytes
    trips: int = 0
    spans: list[Span] = field(default_factory=list)

    def __call__[T](self, reads: Reads[T]) -> T:
        try:
            wanted = next(reads)
            while True:
                self.trips += 1
                self.spans += wanted
                wanted = reads.send([self.data[span.start : span.end] for span in wanted])
        except StopIteration as done:
            return done.value

    @property
    def bytes_read(self) -> int:
        return sum(span.end - span.start for span in self.spans)
