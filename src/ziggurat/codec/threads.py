"""How many threads may decode side by side in this process: one a core, unless the process is itself one of many."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

MOST: Final = 8
"""Threads that one reading takes at most: beyond it, neither the code-blocks of a window nor memory go round."""

_limit: int | None = None


def decoding_threads() -> int:
    """Threads for one reading, 1 or more."""
    if _limit is not None:
        return _limit
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST, cores)


def limit_threads(count: int) -> None:
    """Sets how many they are in this process: 1 in a worker that has as many siblings as there are cores."""
    global _limit  # noqa: PLW0603 - one number for the process, like its affinity
    _limit = max(1, count)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, thread_name_prefix="ziggurat-decode")


def side_by_side[T](work: Callable[[T], None], items: Iterable[T], threads: int) -> None:
    """Does some work for all items, so many at a time; this thread takes part.

    Args:
        work: what is to be done; of what it raises, that of the first item is raised.
        items: what it is to be done for.
        threads: 1 does all in this thread, one after the other.
    """
    left = deque(enumerate(items))
    failed: dict[int, Exception] = {}

    def some() -> None:
        while left and not failed:
            try:
                number, item = left.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                work(item)
            except Exception as error:  # noqa: BLE001 - raised below
                failed[number] = error

    others = [_pool().submit(some) for _ in range(min(threads, len(left)) - 1)]
    some()
    for other in others:
        if not other.cancel():
            other.result()
    if failed:
        raise failed[min(failed)]
