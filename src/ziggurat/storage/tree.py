"""Results that are folders of files: which names they have, what commits them, and what identifies them."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SUFFIX: Final = ".zarr"
"""How the keys of folders end, as those of groups do."""

MARK: Final = "zarr.json"
"""The file in a folder that is put last: without it there is no group."""


def is_tree(key: str) -> bool:
    """Whether a key is one of a folder."""
    return key.endswith(SUFFIX)


def is_folder(path: Path) -> bool:
    """Whether a folder lies there, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def inner_files(folder: Path) -> list[str]:
    """All files in a folder and those below it, with "/" between the parts of their names, in order.

    Raises:
        OSError: if a folder cannot be read.
    """
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not is_folder(path))


def combined(files: Iterable[tuple[str, str, int]]) -> tuple[str, int]:
    """SHA-256 and size of a folder: those of the list of its files.

    Args:
        files: name, SHA-256 (hexadecimal) and size of each, in any order.
    """
    found = sorted(files)
    text = "".join(f"{sha256} {size} {name}\n" for name, sha256, size in found)
    return hashlib.sha256(text.encode()).hexdigest(), sum(size for _, _, size in found)


def discard(path: Path) -> None:
    """Removes a file, or a folder and all that is in it; nothing there is no error.

    Raises:
        OSError: if it cannot be removed.
    """
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
