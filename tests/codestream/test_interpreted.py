import os
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.codestream import packet_parser

WORKER = Path(__file__).with_name("slices_worker.py")
FILES = [
    "openjpeg-data/conformance/g4_colr.j2c",  # packet headers apart, SOP, layers, tiles
    "openjpeg-data/conformance/p1_05.j2k",  # every style of code-blocks, 225 tiles
    "openjpeg-data/conformance/a4_colr.j2c",
    "openhtj2k/ds1_ht_04_b9.j2k",
    "jpylyzer-test-files/files/tika-tlm-main-header.jp2",
]


def slices(form: str, *files: Path) -> list[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(WORKER), form, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


def assert_same_slices(*files: Path) -> None:
    if packet_parser.__file__.endswith(".py"):
        pytest.skip("the hot loops are not compiled here")
    compiled, interpreted = slices("as installed", *files), slices("interpreted", *files)
    assert ".py" not in compiled[0].split()
    assert interpreted[0] == ".py .py .py"
    assert len(compiled) > 50
    assert interpreted[1:] == compiled[1:]


def test_interpreted_and_compiled_loops_make_the_same_slices_byte_for_byte() -> None:
    assert_same_slices()


@pytest.mark.slow
def test_they_do_of_real_files_too(shared_data: Path) -> None:
    assert_same_slices(*(shared_data / name for name in FILES))
