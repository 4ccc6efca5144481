"""``ziggurat split PACK OUT.zpk --max-size SIZE``: several packs of one."""

import time
from itertools import count

from ziggurat.cli.packs import TOLD, Telling, pack_path, rated
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.convert.text import size
from ziggurat.pack.making import size_of
from ziggurat.pack.numbered import Numbered
from ziggurat.pack.pack import Pack
from ziggurat.pack.splitting import split_pack
from ziggurat.storage.amounts import parse_bytes
from ziggurat.storage.urls import PACK


def split(
    pack: str,
    out: str,
    /,
    *,
    max_size: str,
    telling: Telling = TOLD,
    network: Network = NO_NETWORK,
) -> int:
    """Make several packs of one, in the order of its images, with their attributes. The pack stays as it is.

    The same command again goes on where it stopped.

    Args:
        pack: path or URL.
        out: where they go: "part-{000}.zpk" is part-000.zpk, part-001.zpk and so on; without braces the number goes
            in front of the ending.
        max_size: such as 4G; an image that is larger has a pack of its own.
        telling: how the command says what it does.
        network: how stores are reached.
    """
    network.options()
    names = Numbered(out, PACK, digits=3)
    paths = (pack_path(names[number]) for number in count())
    began = time.monotonic()
    with Pack(pack) as opened, telling.progress() as tell:
        outcome, parts = split_pack(opened, paths, parse_bytes(max_size), progress=tell)
    code = telling.conclude(outcome)
    for part in parts:
        print(f"{part}: {size(size_of(part))}")
    print(rated(outcome, time.monotonic() - began))
    return code
