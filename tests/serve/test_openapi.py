"""What ``/openapi.json`` says is tried out: all kinds of requests that it allows, and of such that it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import convert, manifest, picture, write_image
from serving import serving

COLUMNS = ("--columns", "source=path,item=object,name=title")

CONFIG = """
seed = 1

[generation]
deterministic = true
database = "none"
max-examples = 6

[phases.stateful]
enabled = false

# Whether a region, a size, a tile or a pixel makes sense depends on the image: 400, or 501 beyond the limits.
[[operations]]
include-path-regex = "quality|row|/{z}/|values"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "501"]
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, a manifest that names them, and a job that has converted them."""
    folder = tmp_path_factory.mktemp("described")
    write_image(folder / "images" / "one.png", picture(60, 90))
    write_image(folder / "images" / "a b" / "größe, ü.png", picture(50, 40, seed=1))
    lines = ["path,object,title", "images/one.png,both,first", '"images/a b/größe, ü.png",both,second']
    table = manifest(folder / "list.csv", lines)
    convert(table, folder / "out", *COLUMNS, "--name", "{object}/{title}", "--job", folder / "library.zgj")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("place", ["images", "list.csv", "library.zgj"])
def test_all_that_is_described_is_answered_as_described(folder: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    program = Path(sys.executable).with_name("schemathesis")
    with serving(folder / place, "--workers", 2, *(COLUMNS if place == "list.csv" else ())) as server:
        command = [program, "run", f"{server.url}/openapi.json", "--no-color", "--warnings", "off"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
