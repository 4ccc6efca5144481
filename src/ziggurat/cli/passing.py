"""How far something is: a line that is written over on a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ziggurat.convert.progress import FRAME_SECONDS, LINE_SECONDS
from ziggurat.convert.text import amount, duration, visible
from ziggurat.pyramid.blocks import Progress


@contextmanager
def line(stream: TextIO | None = None) -> Iterator[Callable[[Callable[[], str]], None]]:
    """A function to be called with what makes the line, which it asks for when it is time; at the end it is cleared.

    Args:
        stream: standard error unless given.
    """
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    began = last = time.monotonic()

    def show(make: Callable[[], str]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (FRAME_SECONDS if terminal else LINE_SECONDS):
            return
        last = now
        print(f"\r\x1b[K{make()}" if terminal else make(), end="" if terminal else "\n", file=out, flush=True)

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
    began = time.monotonic()
    with line(stream) as show:

        def told(done: int, total: int) -> str:
            rate = done / (time.monotonic() - began)
            return (
                f"{visible(name, 60)}: {done / total:.0%} read, {amount(rate / 1e6)} MP/s, "
                f"about {duration((total - done) / rate)} left"
            )

        yield lambda done, total: show(lambda: told(done, total))
