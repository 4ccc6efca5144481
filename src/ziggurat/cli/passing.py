"""How far a command is: a line that is written over on a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from ziggurat.convert.progress import FRAME_SECONDS, LINE_SECONDS
from ziggurat.convert.text import amount, count, duration, visible
from ziggurat.pyramid.blocks import Progress


@dataclass(slots=True)
class _Line:
    """One line that is told now and then."""

    out: TextIO
    terminal: bool = field(init=False)
    began: float = field(init=False)
    last: float = field(init=False)

    def __post_init__(self) -> None:
        self.terminal = self.out.isatty()
        self.began = self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to tell it; if so, it counts as told."""
        now = time.monotonic()
        if now - self.last < (FRAME_SECONDS if self.terminal else LINE_SECONDS):
            return False
        self.last = now
        return True

    def tell(self, text: str) -> None:
        """Writes it, on a terminal over the one before."""
        shown = f"\r\x1b[K{text}" if self.terminal else text
        print(shown, end="" if self.terminal else "\n", file=self.out, flush=True)

    def clear(self) -> None:
        """Leaves the terminal as it was."""
        if self.terminal and self.last > self.began:
            print("\r\x1b[K", end="", file=self.out, flush=True)


@contextmanager
def shown(name: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """A function to be called with what is done and what there is to do, in pixels; at the end the line is cleared.

    Args:
        name: of the image.
        stream: standard error unless given.
    """
    line = _Line(sys.stderr if stream is None else stream)

    def show(done: int, total: int) -> None:
        if line.due():
            rate = done / (line.last - line.began)
            left = duration((total - done) / rate)
            line.tell(f"{visible(name, 60)}: {done / total:.0%} read, {amount(rate / 1e6)} MP/s, about {left} left")

    try:
        yield show
    finally:
        line.clear()


@contextmanager
def counted(what: str, stream: TextIO | None = None) -> Iterator[Callable[[int], None]]:
    """A function to be called with how many there are so far; at the end the line is cleared.

    Args:
        what: is counted.
        stream: standard error unless given.
    """
    line = _Line(sys.stderr if stream is None else stream)

    def show(number: int) -> None:
        if line.due():
            line.tell(f"{count(number)} {what}")

    try:
        yield show
    finally:
        line.clear()
