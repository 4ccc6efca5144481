"""Things in groups that are not too heavy together."""

from collections.abc import Callable, Iterable, Iterator


def limited[T](
    items: Iterable[T], weight: Callable[[T], int], limit: int, most: int | None = None
) -> Iterator[list[T]]:
    """Items in their order, in groups of so much weight at most, or of a single one that is heavier.

    Args:
        items: any; they are asked for as the groups are.
        weight: of one of them.
        limit: weight of a group.
        most: items of a group.
    """
    group: list[T] = []
    total = 0
    for item in items:
        own = weight(item)
        if group and (total + own > limit or len(group) == most):
            yield group
            group, total = [], 0
        group.append(item)
        total += own
    if group:
        yield group
