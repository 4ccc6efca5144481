"""Names of files that are numbered. Pure."""

import re

from ziggurat.errors import UsageError

_PLACE = re.compile(r"\{(0+)\}")


class Numbered:
    """Names with a number in them: ``x-{000}.zpk`` is x-000.zpk, x-001.zpk and so on.

    Args:
        pattern: with zeros in braces where the number goes; without, it goes in front of the ending.
        suffix: what the names end in, added where it is missing.
        digits: of the number, where the pattern does not say.

    Raises:
        UsageError: if it has more than one place for the number.
    """

    def __init__(self, pattern: str, suffix: str, *, digits: int) -> None:
        places = _PLACE.findall(pattern)
        if len(places) > 1:
            raise UsageError(f"{pattern} has {len(places)} places for the number; leave one")
        stem = pattern.removesuffix(suffix)
        if places:
            self._before, zeros, self._behind = _PLACE.split(f"{stem}{suffix}")
            self._digits = len(zeros)
        else:
            self._before, self._behind, self._digits = f"{stem}-", suffix, digits

    def __getitem__(self, number: int) -> str:
        """The name of a number."""
        return f"{self._before}{number:0{self._digits}}{self._behind}"
