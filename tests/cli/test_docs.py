"""The README and the pages in docs/ cannot rot: commands are parsed, Python runs, links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import ziggurat
from jobs import picture, write_image
from ziggurat.cli import COMMANDS, build

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "samples" / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of ours in any page: in shell blocks, in indented lines and between backticks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"^    (ziggurat .*)$", text, re.MULTILINE)
        lines += re.findall(r"`(ziggurat [a-z][^`]*)`", text)
        for line in lines:
            if line.startswith("ziggurat "):
                yield page.name, line.partition("  #")[0].strip()


def required(words: list[str]) -> list[str]:
    """The words with what a mention in running text leaves out."""
    words = [word for word in words if word != "..."]
    words = ["jpeg" if word.startswith("jpeg|") else word for word in words]
    words = [word.removesuffix("...") for word in words]
    places = [word for word in words[1:] if not word.startswith("-")]
    options = {"convert": ("--to", "jpeg"), "split": ("--max-size", "1G"), "export": ("--to", "folder")}
    name, value = options.get(words[0], ("", ""))
    words += [name, value] if name and name not in words else []
    if words[0] in {"convert", "transcode", "pack", "add", "get", "unpack", "merge", "split", "export"}:
        words += [] if len(places) >= 2 else ["in", "out"]
    elif words[0] == "cutout":
        words += [] if "--size" in words else ["--size", "1arcmin"]
    elif words[0] == "footprints":
        words += [] if "--out" in words else ["--out", "a.zgf"]
    elif not places and words[0] != "doctor":
        words += ["a", "b.npy"] if words[0] == "read" else ["a"]
    return words


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_of_the_pages_is_one_that_there_is(page: str, line: str) -> None:
    words = required(shlex.split(line)[1:])
    assert words[0] in COMMANDS, page
    build().parse_args(words, exit_on_error=False, print_error=False)


def test_the_pages_show_every_command() -> None:
    shown = {shlex.split(line)[1] for _, line in commands()}
    assert shown == set(COMMANDS)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "scan.jp2", picture(2400, 2600))
    found = blocks(ROOT / "README.md", "python")
    assert found
    monkeypatch.chdir(tmp_path)
    for block in found:
        names: dict[str, object] = {}
        exec(block.replace("s3://archive/scan.jp2", "scan.jp2"), names)  # noqa: S102 - the README's own lines
        assert getattr(names["pixels"], "shape", None) == (512, 512, 3)
        assert max(getattr(names["small"], "shape", (0,))[:2]) == 240


def test_the_exit_codes_of_the_pages_are_those_of_the_command_line() -> None:
    from ziggurat import cli  # noqa: PLC0415 - for its constants only

    told = (
        f"Exit codes: {cli.EXIT_OK} all done; {cli.EXIT_ERROR} the command could not go on; {cli.EXIT_USAGE} the "
        f"command line is wrong; {cli.EXIT_SOME_FAILED} some images failed; {cli.EXIT_INTERRUPTED} interrupted."
    )
    for name in ("README.md", "docs/convert.md"):
        assert told in " ".join((ROOT / name).read_text(encoding="utf-8").split()), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_package_is_what_the_readme_imports() -> None:
    assert callable(ziggurat.open)
