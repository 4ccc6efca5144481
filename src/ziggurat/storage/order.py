"""The order in which people expect names."""

import re
from collections.abc import Iterator
from typing import Final

_DIGITS: Final = re.compile(r"(\d+)")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts page 10 behind page 9, wherever the digits stand."""
    return tuple(_parts(name))


def _parts(name: str) -> Iterator[tuple[int, int, str]]:
    for number, part in enumerate(_DIGITS.split(name)):
        # Longer runs of digits than any page number are compared as text.
        if number % 2 and len(part) < 19:  # noqa: PLR2004 - digits of 64 bits
            yield 0, int(part), part
        elif part:
            yield 1, 0, part.casefold()
