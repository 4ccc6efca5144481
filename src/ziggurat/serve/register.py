"""All images in one line, to be searched and paged through. Pure."""

from collections.abc import Callable, Mapping, Sequence
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
        items: identifiers of items to those of their images.
        complete: whether there was room for all.
    """

    identifiers: tuple[str, ...]
    folded: tuple[str, ...]
    items: Mapping[str, tuple[str, ...]]
    complete: bool
    _found: dict[tuple[str | None, ...], Sequence[str]] = field(default_factory=dict)

    @staticmethod
    def of(contents: Contents) -> "Register":
        """The register of what a server shows; made once for one listing."""
        return _made(_ByIdentity(contents))

    def search(self, words: Sequence[str], under: str = "", item: str | None = None) -> Sequence[str]:
        """Images below a folder, or of an item, whose identifiers hold all words, in any order and case."""
        folded = [word.casefold() for word in words]
        if not folded and not under and item is None:
            return self.identifiers
        return self._once((under, item, *folded), lambda: self._search(folded, under, item))

    def inside(self, folder: str) -> Sequence[str]:
        """Images in a folder, without those in folders below it."""
        return self._once((folder,), lambda: [one for one in self.identifiers if _folder(one) == folder])

    def item(self, identifier: str) -> str:
        """The item that an image belongs to: its folder, or itself at the top."""
        folder = _folder(identifier)
        return folder if folder in self.items else identifier

    def _once(self, key: tuple[str | None, ...], look: Callable[[], Sequence[str]]) -> Sequence[str]:
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[key] = look()
        return found

    def _search(self, words: list[str], under: str, item: str | None) -> Sequence[str]:
        below = f"{under}/" if under else ""
        pages = None if item is None else frozenset(self.items.get(item, ()))
        return [
            identifier
            for identifier, folded in zip(self.identifiers, self.folded, strict=True)
            if identifier.startswith(below)
            and (pages is None or identifier in pages)
            and all(word in folded for word in words)
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
        images = self.inside(_folder(identifier))
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
    contents = held.contents
    identifiers = tuple(identifier for images in contents.items.values() for identifier in images)
    folded = tuple(identifier.casefold() for identifier in identifiers)
    return Register(identifiers, folded, contents.items, contents.complete)


def _folder(identifier: str) -> str:
    return identifier.rpartition("/")[0]
