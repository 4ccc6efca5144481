"""Which names a result may have: safe below any destination, and storable in every one."""

import re
import unicodedata
from typing import Final

from ziggurat.errors import TargetRefused, UsageError

LONGEST_PART: Final = 255
"""UTF-8 bytes of a part: the limit of Linux's and most other file systems."""

LONGEST_KEY: Final = 1024
"""UTF-8 bytes of a key: the limit of S3, Google and Azure."""

OURS: Final = ".ziggurat-"
"""How the names of our temporary files begin."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PLAIN_PART = r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(?:[./]|$))[A-Za-z0-9_](?:[A-Za-z0-9_ ,().+=@~-]*[A-Za-z0-9_)-])?"
_PLAIN = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART})*")
"""Keys in which nothing can be wrong: one look instead of many, for a million of them."""


def check_key(key: str, *, longest: int = LONGEST_KEY) -> None:
    """Accepts a relative key, with "/" between its parts, that means the same file everywhere.

    Args:
        key: below the destination.
        longest: UTF-8 bytes that it may have.

    Raises:
        TargetRefused: saying what is wrong with it.
    """
    if len(key) <= min(longest, LONGEST_PART) and _PLAIN.fullmatch(key):
        return
    size = len(key.encode("utf-8", "surrogatepass"))
    problems = (
        (not key, "is empty"),
        (key.startswith("/") or _DRIVE.match(key), "is absolute: targets lie below the destination"),
        ("\\" in key, "holds a backslash, which separates folders on Windows"),
        (_categories(key) & {"Cc", "Zl", "Zp"}, "holds a control character or a line break"),
        ("Cs" in _categories(key), "is not valid Unicode"),
        (size > longest, f"has {size} bytes, {longest} are possible"),
    )
    found = [text for wrong, text in problems if wrong]
    found += [problem for part in key.split("/") if (problem := _part_problem(part))]
    if found:
        raise TargetRefused(f"the target name {key[:300]!a} {found[0]}; change the manifest or the name template")


def _categories(text: str) -> set[str]:
    return set(map(unicodedata.category, text))


def _part_problem(part: str) -> str | None:
    size = len(part.encode("utf-8", "surrogatepass"))
    problems = (
        (not part, "has an empty part: two slashes together, or one at the end"),
        (part in {".", ".."}, f"has the part {part!r}, which leads elsewhere"),
        (size > LONGEST_PART, f"has a part of {size} bytes, {LONGEST_PART} are possible"),
        (part.startswith(" "), "has a part that begins with a space, which some systems drop"),
        (part.endswith((" ", ".")), "has a part that ends with a space or a dot, which some systems drop"),
        (_DEVICE.fullmatch(part), f"has the part {part!a}, which is a device on Windows"),
        (part.startswith(OURS), f"has a part that begins with {OURS}, as temporary files do"),
    )
    return next((text for wrong, text in problems if wrong), None)


def temporary_name(token: str) -> str:
    """The name of the temporary file of a token.

    Raises:
        UsageError: if the token is not made of 1 to 128 letters, digits, "_" and "-".
    """
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{token!a} names no temporary file; use letters, digits, '_' and '-'")
    return f"{OURS}{token}.part"
