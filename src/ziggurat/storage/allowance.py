"""How many bytes this process may still read of files and objects, where that is limited: a server's workers do so."""

from collections.abc import Sequence

from ziggurat.errors import TooManyBytes
from ziggurat.storage.ranges import ByteRange

_limit: int | None = None
_left = 0


def allow(limit: int | None) -> None:
    """Limits what this process reads from now on, all threads together.

    Args:
        limit: bytes; None ends the limit.
    """
    global _limit, _left
    _limit, _left = limit, limit or 0


def take(ranges: Sequence[ByteRange]) -> None:
    """Counts what is about to be read.

    Raises:
        TooManyBytes: if it is more than what is left.
    """
    global _left  # noqa: PLW0603 - as above
    if _limit is None:
        return
    _left -= sum(item.length for item in ranges)
    if _left < 0:
        raise TooManyBytes(
            f"more than {_limit >> 20} MiB of files would be read for this; ask for a smaller region, or have the "
            "levels made that the image lacks, with `ziggurat overview`"
        )
