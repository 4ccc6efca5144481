"""Runs the command line with workers that misbehave on images whose names say how.

Workers import this script again as they are spawned, so the same patches hold there. A source named ``slow-N`` takes N
seconds more, and so does every one by ``SLOW``; ``segv`` dies of SIGSEGV, ``exit`` leaves, ``hang`` never returns,
``greedy`` allocates 8 GiB piece by piece, ``header-segv`` and ``header-greedy`` do so in the plan already.
``once-`` before any of these: only the first time, noted beside the source.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from ziggurat.cli import main
from ziggurat.convert import probe as probe_module
from ziggurat.convert import task as task_module
from ziggurat.convert import worker as worker_module

_convert = task_module.convert
_probe = probe_module.probe
_held = []


def misbehave(name: str) -> None:
    """Does what the name says."""
    time.sleep(float(os.environ.get("SLOW", "0")))
    kind, _, rest = name.partition("-")
    match kind:
        case "slow":
            time.sleep(float(rest))
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(10_000)
        case "greedy":
            _held.extend(np.ones(16 << 20, np.uint8) for _ in range(512))
        case _:
            pass


def name_of(source: str) -> str:
    """The source's name without suffix; nothing if it was to misbehave once and has."""
    path = Path(source)
    name = path.stem
    if name.startswith("once-"):
        mark = path.with_suffix(".seen")
        if mark.exists():
            return ""
        mark.touch()
        return name.removeprefix("once-")
    return name


def convert(task, ports):  # noqa: ANN001, ANN201 - as the original
    """The original, after a temporary file is there and the fault has come."""
    ports.stage("read")
    ports.destination.temporary(task.target, task.token).write_bytes(b"begun")
    try:
        misbehave(name_of(task.source))
    except MemoryError:
        # Raised inside the original it would be cleared there.
        ports.destination.cleanup(task.target, task.token)
        raise
    return _convert(task, ports)


def probe(question, terms):  # noqa: ANN001, ANN201 - as the original
    """The original, after the fault has come."""
    name = Path(question.source).stem
    if name.startswith("header-"):
        misbehave(name.removeprefix("header-"))
    return _probe(question, terms)


worker_module.convert = convert
probe_module.probe = probe

if __name__ == "__main__":
    sys.exit(main())
