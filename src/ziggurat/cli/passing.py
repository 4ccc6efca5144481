"""How far a pass over one image is: a line that is written over on a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ziggurat.convert.progress import FRAME_SECONDS, LINE_SECONDS
from ziggurat.convert.text import amount, duration, visible
from ziggurat.pyramid.blocks import Progress


@contextmanager
def shown(name: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """A function to be called with what is done and what there is to do, in pixels; at the end the line is cleared.

    Args:
        name: of the image.
        stream: standard error unless given.
    """
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    began = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (FRAME_SECONDS if terminal else LINE_SECONDS):
            return
        last = now
        rate = done / (now - began)
        line = (
            f"{visible(name, 60)}: {done / total:.0%} read, {amount(rate / 1e6)} MP/s, "
            f"about {duration((total - done) / rate)} left"
        )
        print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=out, flush=True)

    try:
        yield show
    finally:
        if terminal and last > began:
            print("\r\x1b[K", end="", file=out, flush=True)
