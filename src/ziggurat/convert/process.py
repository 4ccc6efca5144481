"""A process: how a worker begins, what it knows of its own memory, and how that is bound.

Linux tells all; elsewhere the limits are looser.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from ziggurat.codec.threads import limit_threads
from ziggurat.storage.network import NetworkOptions, configure

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2): the signal that a process gets when its parent dies."""

PAGE = os.sysconf("SC_PAGE_SIZE")


def die_with_parent() -> None:
    """Makes the kernel kill this process when its parent dies, whatever it is doing. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def begin_worker(network: NetworkOptions) -> None:
    """What a worker process does first: it ends with its coordinator, decodes in one thread and knows the stores.

    Args:
        network: how they are reached.
    """
    die_with_parent()
    # Ctrl-C and a service manager's SIGTERM reach the whole process group; the coordinator decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure(network)
    limit_threads(1)


def cap_memory(more: int) -> None:
    """Lets this process allocate at most ``more`` bytes above what it has; allocations beyond fail in it.

    RLIMIT_DATA counts private writable memory (Linux 4.7 and newer), not files mapped or address space reserved.
    """
    if sys.platform == "linux":
        used = _status("VmData:")
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = used + more if hard == resource.RLIM_INFINITY else min(used + more, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def lift_cap() -> None:
    """Takes ``cap_memory`` back."""
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def reset_peak_memory() -> None:
    """Makes ``peak_memory`` start anew from what is used now (Linux: /proc/self/clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """The largest resident size of this process since ``reset_peak_memory``, in bytes."""
    peak = _status("VmHWM:")
    if peak:
        return peak
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def resident_memory(pid: int) -> int | None:
    """Resident bytes of a process, or None where that cannot be known (it is gone, or this is not Linux)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return None


def trim() -> None:
    """Gives freed memory back to the system, so that an idle worker is small (glibc)."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)


def available_memory() -> int:
    """Bytes of memory that this machine, or the cgroup that this process is in, has in all."""
    total = os.sysconf("SC_PHYS_PAGES") * PAGE
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _status(field: str) -> int:
    try:
        with Path("/proc/self/status").open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
