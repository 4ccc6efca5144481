"""Windows of every shared JPEG 2000 file against full decodes that know nothing of how windows are read."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("jpeg2000_windows_worker.py")
VERDICTS = Path(__file__).with_name("jpeg2000_verdicts.json")
WINDOWS = int(os.environ.get("ZIGGURAT_WINDOWS", "8"))
"""Windows of each level, if it has as many pixels: the two extreme corners and random ones."""

NOT_DECODED = {
    # OpenJPEG fails at levels where a tile has no samples left.
    "openjpeg-data/conformance/p1_05.j2k": 6,
    "openjpeg-data/conformance/p1_06.j2k": 3,
    # It misses a tile-part behind the last one.
    "openjpeg-data/nonregression/issue226.j2k": 0,
    # A tile has fewer levels than the main header says; nor are they read here.
    "openjpeg-data/nonregression/issue399.j2k": 2,
}
"""Files of which OpenJPEG decodes only some levels, and how many of them are compared."""

DAMAGED = {
    # OpenJPEG decodes what is there of a packet that is longer than its tile-part; windows that need it are refused.
    "openjpeg-data/nonregression/4241ac039aba57e6a9c948d519d94216_asan_heap-oob_14650f2_7469_602.jp2",
}


@pytest.mark.slow
def test_windows_of_every_shared_file_are_cut_from_an_independent_full_decode(shared_data: Path) -> None:
    refused = {name for files in json.loads(VERDICTS.read_text()).values() for name in files}
    with (shared_data / "JPEG2000.tsv").open(newline="") as table:
        names = [row["path"] for row in csv.DictReader(table, delimiter="\t")]
    names = [name for name in names if name not in refused and not name.endswith(".dcm")]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    jobs = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(shared_data), str(WINDOWS), *names[start::2]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for start in range(2)
    ]
    answers = []
    for job in jobs:
        out, said = job.communicate(timeout=900)
        assert job.returncode == 0, said[-2000:]
        answers += [json.loads(line) for line in out.splitlines()]
    assert {answer["name"] for answer in answers} == set(names)
    assert {answer["name"] for answer in answers if "failed" in answer} == DAMAGED
    read = [answer for answer in answers if "failed" not in answer]
    assert {answer["name"]: answer["levels"] for answer in read if answer["refused"]} == NOT_DECODED
    # Two decodes of the same samples by the 9-7 transform may be rounded differently; by the 5-3 transform never.
    assert [answer for answer in read if answer["worst"] > int(answer["lossy"])] == []
    assert sum(answer["levels"] for answer in read) > 600
    assert sum(answer["windows"] for answer in read) > 500 * WINDOWS
