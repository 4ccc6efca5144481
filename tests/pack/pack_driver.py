"""Packs a folder as the command line does, with many commits and with images that are large from 30 KB on.

Arguments: the folder, the pack, how many processes. Processes that are spawned import this script again, so that what
is changed here holds there.
"""

import sys
from pathlib import Path

from ziggurat.pack import packing, prepare, writer
from ziggurat.pack.gather import gather
from ziggurat.pack.packing import Choices, pack_images

prepare.LARGE = 30_000  # type: ignore[misc]
writer.BATCH_BYTES = 40_000  # type: ignore[misc]
packing.AT_A_TIME = 16  # type: ignore[misc]
writer.PIECE = 7_000  # type: ignore[misc]

if __name__ == "__main__":
    folder, path, processes = sys.argv[1:]
    with writer.PackWriter(Path(path), beside_over=60_000) as pack:
        outcome = pack_images(pack, gather(folder).images, Choices(processes=int(processes)), resuming=True)
    print(outcome.packed, outcome.there, len(outcome.left))  # noqa: T201 - how it answers
