"""Images grouped into items: as they lie in folders, or as a table says. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from ziggurat.storage.order import natural

type Pairs = tuple[tuple[str, str], ...]
"""Labels and values, in order."""

type Side = Literal["output", "source"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server shows, as it was listed.

    Attributes:
        items: identifiers of items to those of their images, in order.
        complete: whether there was room for all.
        when: by the monotonic clock.
        labels: what people call an item, where that is not its identifier's last part.
    """

    items: Mapping[str, tuple[str, ...]]
    complete: bool
    when: float
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Page:
    """An image of an item.

    Attributes:
        id: the image's identifier.
        label: what people call it; None where its identifier says that.
        metadata: what a table says of it.
        section: the part of the item that it belongs to, where a table says so.
    """

    id: str
    label: str | None = None
    metadata: Pairs = ()
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item with its images in order.

    Attributes:
        metadata: what a table says of all of its images alike.
    """

    id: str
    label: str
    pages: tuple[Page, ...]
    metadata: Pairs = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images are looked for: those that all of this is true of.

    Attributes:
        q: words of their names or of a table's columns, as ``words.terms`` takes them.
        state: of a job: done, failed, pending, running, skipped or a state of the ledger.
        item: the identifier of the item they belong to.
        under: the folder that they lie in, or in one below it.
        folder: the folder that they lie in itself.
    """

    q: str = ""
    state: str | None = None
    item: str | None = None
    under: str = ""
    folder: str | None = None


EVERYTHING: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that was searched for.

    Attributes:
        id: its identifier.
        item: that of the item it belongs to.
        label: what people call it.
        folder: that it lies in; of a job, the one that its output lies in or would.
        title: what people call its item; None where it is one alone.
        side: of a job, whether it is an output or a source.
        state: of the job, where it is of one.
        counterpart: of an output the identifier of its source, of a source that of its output.
        metadata: what a table says of it.
        psnr: of the output against its source, in decibels; infinite where they are equal.
        ssimulacra2: the same by that measure.
    """

    id: str
    item: str
    label: str
    folder: str
    title: str | None = None
    side: Side | None = None
    state: str | None = None
    counterpart: str | None = None
    metadata: Pairs = ()
    psnr: float | None = None
    ssimulacra2: float | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """Some of the images that were searched for, and how many there are in all.

    Attributes:
        complete: whether all images that are held could be looked through.
    """

    total: int
    entries: tuple[Entry, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image stands among those that are shown beside it.

    Attributes:
        item: the identifier of the item it belongs to.
        title: what people call the item; None where the image is one alone.
        beside: which images these are: those of its item, or else of its folder.
        index: its number among them, from 0; None where it is not listed.
        total: how many they are.
    """

    item: str
    title: str | None
    beside: Wanted
    index: int | None
    total: int


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


def item_of(identifier: str, name: str, pages: Sequence[Page]) -> Item:
    """An item of its pages; what a table says of all of them alike is said once, of the item."""
    shared = set(pages[0].metadata).intersection(*(page.metadata for page in pages)) if pages else set()
    if len(pages) < 2:  # noqa: PLR2004 - one page has nothing in common with others
        shared = {pair for page in pages for pair in page.metadata}
    own = tuple(replace(page, metadata=tuple(pair for pair in page.metadata if pair not in shared)) for page in pages)
    return Item(identifier, name, own, tuple(pair for pair in (pages[0].metadata if pages else ()) if pair in shared))


def section_parts(section: str | None) -> tuple[str, ...]:
    """A section and those inside of it, outermost first: "Part 1/Chapter 2" is Chapter 2 of Part 1."""
    parts = tuple(part.strip() for part in (section or "").split("/"))
    return tuple(filter(None, parts)) or tuple(filter(None, (section,)))


def label(identifier: str) -> str:
    """What people call an item or an image: its name without folder and suffix."""
    name = identifier.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    shown = stem if dot and stem and len(suffix) <= 5 else name  # noqa: PLR2004 - .tiff, .fits
    return shown.encode("utf-8", "replace").decode()
