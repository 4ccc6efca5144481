"""Which files an array is made of: one, a list of them, a folder, or those that match a pattern."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ziggurat.format.table import FORMATS
from ziggurat.image import DEFAULT_MEMORY
from ziggurat.image import open as open_url
from ziggurat.interop.planes import Planes
from ziggurat.interop.sharing import Shared
from ziggurat.storage.folder import local_folder
from ziggurat.storage.listing import list_sources
from ziggurat.storage.order import natural
from ziggurat.storage.pattern import is_pattern
from ziggurat.storage.urls import Remote, parse


def planes_at(
    url: str | Sequence[str], *, stack: bool = False, virtual: bool = False, memory: int = DEFAULT_MEMORY
) -> Planes:
    """The images at a place, or at several in their order, as planes of one array.

    Args:
        url: path or URL of an image, of a folder or a pattern; or several of these.
        stack: as ``zarr_store`` has it.
        virtual: only the bytes of the files are wanted, and exactly those that are asked for.
        memory: bytes that reading one window may take.

    Raises:
        SourceError: if there is nothing.
        UsageError: if no images are named.
        FormatError: if the first one cannot be read.
    """
    places = [url] if isinstance(url, str) else list(url)
    found = [_files(place) for place in places]
    several = not isinstance(url, str) or found[0] is not None
    files = [name for place, names in zip(places, found, strict=True) for name in ([place] if names is None else names)]
    openers = [Shared(file, memory) if virtual else partial(open_url, file, memory=memory) for file in files]
    return Planes(openers, several=several, inner=stack)


def _files(place: str) -> list[str] | None:
    """The images in a folder or of a pattern in natural order; None of what is one image."""
    if not _is_several(place):
        return None
    suffixes = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
    found = [(item.key, item.url) for item in list_sources(place, suffixes)]
    return [url for _, url in sorted(found, key=lambda item: (natural(item[0]), item[0]))]


def _is_several(place: str) -> bool:
    parsed = parse(place)
    if isinstance(parsed, Path):
        return (parsed.is_dir() and local_folder(parsed) is None) or (is_pattern(place) and not parsed.exists())
    return isinstance(parsed, Remote) and not parsed.is_web and (parsed.key.endswith("/") or is_pattern(parsed.key))
