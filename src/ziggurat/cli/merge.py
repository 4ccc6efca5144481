"""``ziggurat merge PACK... OUT.zpk``: one pack of several."""

from functools import partial

from ziggurat.cli.filling import NORMALLY, Filling, Order, filled
from ziggurat.cli.packs import TOLD, Flag, Telling, pack_path, split_places
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.errors import UsageError
from ziggurat.pack.making import Sources, begin
from ziggurat.storage.urls import is_pack


def merge(
    *packs: str,
    filling: Filling = NORMALLY,
    no_compact: Flag = False,
    telling: Telling = TOLD,
    network: Network = NO_NETWORK,
) -> int:
    """Make one pack of several, with their attributes. The same command again goes on where it stopped.

    Of different images with the same key the first is taken; exit code 3 says that others were left out.

    Args:
        packs: PACK... OUT.zpk: the packs, which stay as they are; then the one to make.
        filling: how images are packed.
        no_compact: do not put the pack in order at the end, which takes as much room again while it lasts.
        telling: how the command says what it does.
        network: how stores are reached.
    """
    network.options()
    sources, out = split_places(packs, "the pack to make")
    for source in sources:
        if not is_pack(source):
            raise UsageError(f"{source} is no pack; `ziggurat pack` takes images from any place")
    path = pack_path(out)
    # What was packed once is packed again, whatever it is.
    choices = filling.choices(unreadable=True)
    order = Order(Sources(sources), choices, telling=telling)
    return filled(order, partial(begin, path, beside_over=filling.limit), compact=not no_compact, new=True)
