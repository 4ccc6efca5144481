"""Runs a command and says, as JSON, what it took: ``launch.py LOG COMMAND...``.

A process of its own, since Linux counts as a child's peak what its parent held when it was started.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Seconds of the clock and of all its processes, and resident bytes of the largest one."""
    log, *command = sys.argv[1:]
    with Path(log).open("w", encoding="utf-8") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        # Popen must not wait for what is gone.
        process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
