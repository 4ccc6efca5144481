"""What the documentation says to type works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.cli import COMMANDS, build

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """Every command line that begins with ``ziggurat`` in a block or in backticks, with its page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`(ziggurat [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        found += [(page.name, line.partition(" #")[0].strip()) for line in lines if line.startswith("ziggurat ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda value: value[:60])
def test_every_command_of_the_documentation_parses(page: str, line: str) -> None:
    words = shlex.split(line.replace("...", ""))[1:]
    assert words[0] in COMMANDS, page
    if any(word.isupper() for word in words) or len(words) == 1:
        # A form to fill in: its options at least must exist.
        shown = subprocess.run(
            [sys.executable, "-m", "ziggurat", words[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in shown, (page, option)
        return
    if words[0] == "convert" and "--to" not in words:
        words += ["--to", "jpeg"]
    build().parse_args(words, exit_on_error=False, print_error=False)


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    sample = REPOSITORY / "samples/balloon/balloon-kakadu.jp2"
    script = tmp_path / "readme.py"
    script.write_text(block.replace("s3://archive/scan.jp2", str(sample)) + "\nassert pixels.shape == (512, 512, 3)\n"
                      "assert max(small.shape) == 240\n")  # fmt: skip
    subprocess.run([sys.executable, script], check=True)


def test_every_page_that_is_named_is_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
