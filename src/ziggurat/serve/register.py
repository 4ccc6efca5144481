"""All images in one line, to be searched and paged through. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ziggurat.serve.items import Contents

REMEMBERED = 64
"""Searches whose results are kept: whoever scrolls asks for the same ones again."""


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """Images in the order in which they are shown.

    Attributes:
        identifiers: of all images.
        folded: the same without case, to be searched.
        complete: whether there was room for all.
    """

    identifiers: tuple[str, ...]
    folded: tuple[str, ...]
    complete: bool
    _found: dict[str, Sequence[str]] = field(default_factory=dict)

    @staticmethod
    def of(contents: Contents) -> "Register":
        """The register of what a server shows; made once for one listing."""
        return _made(_ByIdentity(contents))

    def search(self, words: str, under: str = "") -> Sequence[str]:
        """Images below a folder whose identifiers hold all words, in any order and case."""
        folded = words.casefold().split()
        if not folded and not under:
            return self.identifiers
        return self._once(f"{under}\0{' '.join(folded)}", lambda: self._search(folded, under))

    def inside(self, folder: str) -> Sequence[str]:
        """Images in a folder, without those in folders below it."""
        return self._once(
            f"{folder}\0\0", lambda: [one for one in self.identifiers if one.rpartition("/")[0] == folder]
        )

    def _inside(self, folder: str) -> Sequence[str]:
        return [identifier for identifier in self.identifiers if identifier.rpartition("/")[0] == folder]

    def _once(self, key: str, look: Callable[[], Sequence[str]]) -> Sequence[str]:
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[key] = look()
        return found

    def _search(self, words: list[str], under: str) -> Sequence[str]:
        below = f"{under}/" if under else ""
        return [
            identifier
            for identifier, folded in zip(self.identifiers, self.folded, strict=True)
            if identifier.startswith(below) and all(word in folded for word in words)
        ]

    def folders(self, under: str = "") -> list[tuple[str, int]]:
        """The folders directly below one, and the number of images below each."""
        below = f"{under}/" if under else ""
        counts: dict[str, int] = {}
        for identifier in self.identifiers:
            if identifier.startswith(below):
                name, slash, _ = identifier[len(below) :].partition("/")
                if slash:
                    counts[below + name] = counts.get(below + name, 0) + 1
        return list(counts.items())

    def place(self, identifier: str) -> tuple[int | None, int]:
        """Where an image stands among those of its folder, None if it was not listed; and how many these are."""
        images = self.inside(identifier.rpartition("/")[0])
        try:
            return images.index(identifier), len(images)
        except ValueError:
            return None, len(images)


@dataclass(frozen=True, slots=True)
class _ByIdentity:
    """Contents that are compared by identity: comparing a hundred thousand names is slow."""

    contents: Contents

    def __hash__(self) -> int:
        return id(self.contents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.contents is self.contents


@lru_cache(maxsize=2)
def _made(held: _ByIdentity) -> Register:
    identifiers = tuple(identifier for images in held.contents.items.values() for identifier in images)
    return Register(identifiers, tuple(identifier.casefold() for identifier in identifiers), held.contents.complete)
