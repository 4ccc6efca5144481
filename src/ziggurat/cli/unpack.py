"""``ziggurat unpack PACK DEST``: the images of a pack, as the files that they were."""

import time

from ziggurat.cli.packs import PACK, TOLD, Flag, Reading, Telling, rated
from ziggurat.pack.unpacking import unpack_images


def unpack(
    pack: str,
    destination: str,
    /,
    *,
    where: str | None = None,
    overwrite: Flag = False,
    reading: Reading = PACK,
    telling: Telling = TOLD,
) -> int:
    """Write the images of a pack as the files that they were. The same command again goes on where it stopped.

    Args:
        pack: path or URL.
        destination: folder or prefix of a store.
        where: only images that this SQL expression is true of.
        overwrite: replace other files that lie there.
        reading: how packs and databases are read.
        telling: how the command says what it does.
    """
    began = time.monotonic()
    with reading.open(pack) as opened, telling.progress() as tell:
        outcome = unpack_images(opened, destination, where=where, overwrite=overwrite, progress=tell)
    code = telling.conclude(outcome)
    print(rated(outcome, time.monotonic() - began))
    return code
