"""Images grouped into items, as they lie in folders. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server shows, as it was listed.

    Attributes:
        items: identifiers of items to those of their images, in order.
        complete: whether there was room for all.
        when: by the monotonic clock.
    """

    items: Mapping[str, tuple[str, ...]]
    complete: bool
    when: float


def grouped(identifiers: Iterable[str], tops: Iterable[str], limit: int, when: float) -> Contents:
    """Groups images: those in one folder are an item, in the order of their names; those at the top are one each.

    Args:
        identifiers: of all images.
        tops: what identifiers at the top of a place begin with, such as "" or "scans/".
        limit: images that are taken.
        when: they were listed.
    """
    above = {top.rstrip("/") for top in tops}
    items: dict[str, list[str]] = {}
    complete = True
    for number, identifier in enumerate(identifiers):
        if number == limit:
            complete = False
            break
        folder, slash, _ = identifier.rpartition("/")
        item = identifier if not slash or folder in above else folder
        items.setdefault(item, []).append(identifier)
    ordered = {item: tuple(sorted(items[item], key=natural)) for item in sorted(items, key=natural)}
    return Contents(MappingProxyType(ordered), complete, when)


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


def label(identifier: str) -> str:
    """What people call an item or an image: its name without folder and suffix."""
    name = identifier.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    shown = stem if dot and stem and len(suffix) <= 5 else name  # noqa: PLR2004 - .tiff, .fits
    return shown.encode("utf-8", "replace").decode()
