"""``ziggurat unpack PACK DEST``: the images of a pack, as the files that they were."""

import time

from ziggurat.cli.packs import PACK, TOLD, Flag, Foreign, Telling, rated
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.pack.unpacking import unpack_images


def unpack(
    pack: str,
    destination: str,
    /,
    *,
    where: str | None = None,
    overwrite: Flag = False,
    foreign: Foreign = PACK,
    telling: Telling = TOLD,
    network: Network = NO_NETWORK,
) -> int:
    """Write the images of a pack as the files that they were. The same command again goes on where it stopped.

    Args:
        pack: path or URL.
        destination: folder or prefix of a store.
        where: only images that this SQL expression is true of.
        overwrite: replace other files that lie there.
        foreign: where the images are in a database.
        telling: how the command says what it does.
        network: how stores are reached.
    """
    network.options()
    began = time.monotonic()
    with foreign.open(pack) as opened, telling.progress() as tell:
        outcome = unpack_images(opened, destination, where=where, overwrite=overwrite, progress=tell)
    code = telling.conclude(outcome)
    print(rated(outcome, time.monotonic() - began))
    return code
