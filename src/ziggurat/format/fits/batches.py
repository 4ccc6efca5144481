"""Byte ranges in batches that bound what a source holds at once. Pure planning."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ziggurat.limited import limited
from ziggurat.storage.ranges import ByteRange

BATCH = 1 << 26
"""Bytes held at a time: 64 MiB of ranges and of what lies between them. A usual window is one batch."""

GAP = 1 << 18
"""Bytes between two ranges up to which an object store's source fetches them, and holds them, in vain."""

NEAR = 4096
"""Bytes between two ranges that are read rather than skipped: a page of a disk comes whole, and one range more
costs more than its copy."""


def batches[T](items: Iterable[T], places: Callable[[T], Sequence[ByteRange]]) -> Iterator[list[T]]:
    """Groups of items whose ranges span about ``BATCH`` bytes, gaps that a source reads through included.

    Args:
        items: in the order of the file, or nearly.
        places: an item's bytes, ascending.
    """
    end = 0

    def cost(item: T) -> int:
        nonlocal end
        held = 0
        for found in places(item):
            gap = found.start - end
            held += found.end - found.start + (gap if 0 < gap <= GAP else 0)
            end = found.end
        return held

    return limited(items, cost, BATCH)
