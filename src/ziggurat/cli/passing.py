"""How far something is: a line that is written over on a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ziggurat.convert.progress import FRAME_SECONDS, LINE_SECONDS
from ziggurat.convert.text import amount, count, duration, visible
from ziggurat.pyramid.blocks import Progress


@contextmanager
def line(stream: TextIO | None = None) -> Iterator[Callable[[Callable[[float], str]], None]]:
    """A function to be called with what makes the line of the seconds that have passed; at the end it is cleared.

    The line is asked for when it is time.

    Args:
        stream: standard error unless given.
    """
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    began = last = time.monotonic()

    def show(make: Callable[[float], str]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (FRAME_SECONDS if terminal else LINE_SECONDS):
            return
        last = now
        text = make(now - began)
        print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=out, flush=True)

    try:
        yield show
    finally:
        if terminal and last > began:
            print("\r\x1b[K", end="", file=out, flush=True)


@contextmanager
def shown(name: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """A function to be called with what is done and what there is to do, in pixels.

    Args:
        name: of the image.
        stream: standard error unless given.
    """
    with line(stream) as show:

        def told(done: int, total: int, seconds: float) -> str:
            rate = done / seconds
            return (
                f"{visible(name, 60)}: {done / total:.0%} read, {amount(rate / 1e6)} MP/s, "
                f"about {duration((total - done) / rate)} left"
            )

        yield lambda done, total: show(lambda seconds: told(done, total, seconds))


@contextmanager
def counted(what: str, stream: TextIO | None = None) -> Iterator[Callable[[int], None]]:
    """A function to be called with how many there are so far.

    Args:
        what: is counted.
        stream: standard error unless given.
    """
    with line(stream) as show:
        yield lambda number: show(lambda _: f"{count(number)} {what}")
