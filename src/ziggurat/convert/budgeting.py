"""How the memory that there is, is divided between processes and what they have in hand."""

from dataclasses import dataclass

from ziggurat.convert.guard import WORKER_BASE
from ziggurat.convert.records import Budget
from ziggurat.errors import UsageError

COORDINATOR_BASE = 120 << 20
"""Resident bytes of the coordinator (measured 60 to 110 MiB; a million rows stay in the ledger)."""

SMALLEST_TASK = 96 << 20
"""Bytes that a worker needs to do anything at all; with less memory, fewer workers are started."""

BANDS_AT_MOST = 1 << 30
"""Bytes of a task that works in bands: more would not make it faster."""


@dataclass(frozen=True, slots=True)
class Budgeting:
    """Memory and workers as they are used.

    Attributes:
        workers: processes; fewer than asked for where memory is short.
        budget: bytes for tasks.
        share: bytes that a task may take without keeping the other workers from running.
    """

    workers: int
    budget: Budget
    share: int


def budgeting(most: int, memory: int, base: int = COORDINATOR_BASE) -> Budgeting:
    """Divides memory between a process, its workers and what they have in hand.

    Args:
        most: workers that are wanted.
        memory: bytes for all.
        base: bytes of the process that the workers belong to.

    Raises:
        UsageError: if not even one worker fits.
    """
    for workers in range(most, 0, -1):
        total = memory - base - workers * WORKER_BASE
        if total >= workers * SMALLEST_TASK:
            return Budgeting(workers, Budget(total=total, bands=min(total // workers, BANDS_AT_MOST)), total // workers)
    least = base + WORKER_BASE + SMALLEST_TASK
    raise UsageError(f"--memory {memory >> 20}M is too little: a worker needs {least >> 20}M in all")
