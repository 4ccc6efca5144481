"""Amounts of bytes as people write them."""

import re
from typing import Final

from ziggurat.errors import UsageError

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_bytes(text: str) -> int:
    """Reads ``800M``, ``1.5G``, ``1GiB`` or a plain number of bytes; units are powers of 1024.

    Raises:
        UsageError: if it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise UsageError(f"{text!r} is not an amount of memory such as 800M or 1.5G")
    return int(float(found[1]) * _UNITS[found[2]])
