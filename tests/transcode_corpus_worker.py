"""Transcodes real files in a process of its own and prints what came of it, one JSON line a file.

Arguments: a folder to write to, the files' folder, then their paths in it. Not a test: a decoder that crashes must
not take pytest with it.
"""

import json
import resource
import sys
from pathlib import Path

import numpy as np

from transcoding import LAYOUTS, bare, equal, planes
from ziggurat.codec import openjph
from ziggurat.errors import UnsupportedFeature, ZigguratError
from ziggurat.format.jpeg2000 import open_reader
from ziggurat.geometry import Window
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.testing.sources import BytesSource
from ziggurat.write.transcode import transcode

MEMORY = 6 << 30


def reads(data: bytes, name: str) -> bool:
    try:
        reader = open_reader(BytesSource(data, name))
        reader.read(0, Window.full(reader.info.size))
    except ZigguratError:
        return False
    return True


def openjph_planes(data: bytes) -> list[np.ndarray] | None:
    """What OpenJPH decodes, of what OpenJPEG does not."""
    try:
        return [openjph.decode(bare(data))]
    except ZigguratError:
        return None


def verdict(data: bytes, name: str, made: Path, layout: str) -> str:
    try:
        transcode(BytesSource(data, name), LocalDestination(made.parent), made.name, LAYOUTS[layout])
    except UnsupportedFeature:
        return "unsupported"
    except ZigguratError as error:
        assert name in str(error)  # noqa: PT017 - this is no test
        return f"refused: {error}" if reads(data, name) else "damaged"
    try:
        # Some files announce fewer tile-parts than they have, which stops a strict decoder early.
        before, strict = planes(data, strict=False), True
    except ZigguratError:
        before, strict = openjph_planes(data), False
    if before is None:
        return "not decoded"
    try:
        after = planes(made.read_bytes()) if strict else openjph_planes(made.read_bytes())
    except ZigguratError as error:
        return f"worse: {error}"
    return "equal" if after is not None and equal(before, after) else "different"


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for number, name in enumerate(sys.argv[3:]):
        layout = list(LAYOUTS)[number % len(LAYOUTS)]
        made = out / f"{number}{Path(name).suffix}"
        found = verdict((folder / name).read_bytes(), name, made, layout)
        print(json.dumps([name, layout, str(made), found]), flush=True)  # noqa: T201 - how it answers


if __name__ == "__main__":
    main()
