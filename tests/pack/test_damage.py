"""Damaged pages: whatever stands there, bytes of the right length or an error of ours come, and soon.

ZIGGURAT_DAMAGED says how many damaged files there are.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = int(os.environ.get("ZIGGURAT_DAMAGED", "700"))
WORKER = Path(__file__).with_name("damage_worker.py")


@pytest.mark.parametrize("what", ["pack", "database"])
def test_damaged_pages_give_bytes_or_an_error_of_ours_and_soon(tmp_path: Path, what: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[1])}
    command = [sys.executable, str(WORKER), str(tmp_path), what, "0", str(COUNT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{what} {lines[-1:]}: {done.returncode} {done.stderr[-2000:]}"
    told = json.loads(lines[-1])
    assert not told["failures"], told
    assert told["slowest"][0] < 10, told
    # The damage is such that much can still be read, and much cannot.
    assert told["found"]["opened"] > COUNT // 10, told
    assert told["found"]["whole" if what == "pack" else "damaged bytes"] > COUNT, told
    assert told["found"].get("another part", 0) < COUNT // 20, told
    assert told["found"]["SourceRefused"] > COUNT // 10, told
