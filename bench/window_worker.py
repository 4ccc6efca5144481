"""A fresh process that reads one window with one library: ``python window_worker.py TASK``, the task in JSON."""

import importlib
import resource
import sys
import time

import numpy as np

from window_task import Answer, Task


def main() -> int:
    """Reads, and says how long it took, on standard output."""
    task = Task.loads(sys.argv[1])
    module = importlib.import_module("window_ours" if task.reader.startswith("Ziggurat") else "window_peers")
    reader = module.READERS[task.reader]
    began = time.perf_counter()
    version = reader.load(task)
    loaded = time.perf_counter()
    pixels = reader.read(task)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.save(task.output, pixels)
    print(Answer(loaded - began, done - loaded, peak, version).dumps())
    return 0


if __name__ == "__main__":
    sys.exit(main())
