"""Patterns of paths: ``*``, ``?`` and ``[...]`` within a part, ``**`` for any number of folders."""

import fnmatch
import re
from dataclasses import dataclass

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What comes after the last folder without a wildcard.

    Attributes:
        root: the path up to there; "" if the first part has a wildcard already.
        parts: one for each part of the rest; None stands for ``**``.
    """

    root: str
    parts: tuple[re.Pattern[str] | None, ...]

    def matches(self, key: str) -> bool:
        """Whether a key below the root matches."""
        return self._match(key.split("/"))

    def may_hold(self, folder: str) -> bool:
        """Whether something below this folder, itself below the root, can match."""
        names = folder.split("/")
        for name, part in zip(names, self.parts, strict=False):
            if part is None:
                return True
            if not part.fullmatch(name):
                return False
        return len(names) < len(self.parts)

    def _match(self, names: list[str]) -> bool:
        # reached[i]: the first i parts match the names seen so far. Linear in names times parts.
        reached = [True] + [False] * len(self.parts)
        self._pass_over(reached)
        for name in names:
            following = [False] * len(reached)
            for index, part in enumerate(self.parts):
                if part is None:
                    following[index + 1] = reached[index + 1] or reached[index]
                    following[index] |= reached[index]
                elif reached[index] and part.fullmatch(name):
                    following[index + 1] = True
            self._pass_over(following)
            reached = following
        return reached[-1]

    def _pass_over(self, reached: list[bool]) -> None:
        for index, part in enumerate(self.parts):
            if part is None and reached[index]:
                reached[index + 1] = True


def is_pattern(path: str) -> bool:
    """Whether a path holds a wildcard."""
    return _MAGIC.search(path) is not None


def parse_pattern(path: str) -> Pattern:
    """Splits a path at its first part with a wildcard.

    ``**`` at the end means all files below.
    """
    names = path.split("/")
    first = next(index for index, name in enumerate(names) if _MAGIC.search(name))
    rest = [name for name in names[first:] if name]
    if rest[-1] == "**":
        rest.append("*")
    parts = tuple(None if name == "**" else re.compile(fnmatch.translate(name)) for name in rest)
    root = "/".join(names[:first])
    return Pattern("/" if first and not root else root, parts)
