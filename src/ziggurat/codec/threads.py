"""How many threads may decode side by side in this process: one a core, unless the process is itself one of many."""

import os
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
