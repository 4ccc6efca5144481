"""Tables in Markdown, and the sections of a document that benches write anew."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

TITLE = """# Benchmarks

Every section says which command wrote it; the figures are those of the machine that it names.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def with_section(document: str, name: str, body: str) -> str:
    """The document with the text between the markers of ``name`` replaced, or put at its end if there is none.

    Raises:
        ValueError: if only one of the two markers is there, or they are in the wrong order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    section = f"{begin}\n{body.strip()}\n{end}"
    if begin not in document and end not in document:
        return f"{(document or TITLE).rstrip()}\n\n{section}\n"
    before, opened, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"{begin} and {end} must both be there, in this order")
    return before + section + after


def write_section(path: Path, name: str, body: str) -> None:
    """Writes the section into the document at ``path``, which need not be there."""
    document = path.read_text(encoding="utf-8") if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(with_section(document, name, body), encoding="utf-8")


def machine() -> str:
    """Processor, cores, memory and system, in a line."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
