"""Byte ranges in batches that bound what a source holds at once. Pure planning."""

from collections.abc import Callable, Iterable, Iterator

from ziggurat.storage.ranges import ByteRange

BATCH = 1 << 26
"""Bytes held at a time: 64 MiB of ranges and of what lies between them. A usual window is one batch."""

GAP = 1 << 18
"""Bytes between two ranges up to which an object store's source fetches them, and holds them, in vain."""

NEAR = 4096
"""Bytes between two ranges that are read rather than skipped: a page of a disk comes whole, and one range more
costs more than its copy."""


def batches[T](items: Iterable[T], place: Callable[[T], ByteRange]) -> Iterator[list[T]]:
    """Groups of items whose ranges span about ``BATCH`` bytes, gaps that a source reads through included.

    Args:
        items: in the order of the file, or nearly.
        place: an item's bytes.
    """
    batch: list[T] = []
    held = 0
    end = 0
    for item in items:
        found = place(item)
        gap = found.start - end
        cost = found.length + (gap if 0 < gap <= GAP else 0)
        if batch and held + cost > BATCH:
            yield batch
            batch, held, cost = [], 0, found.length
        batch.append(item)
        held += cost
        end = found.end
    if batch:
        yield batch
