"""What commands share that make something of images: beside each, at one place, or in the cache."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ziggurat.cli import EXIT_ERROR, EXIT_OK
from ziggurat.convert.text import visible
from ziggurat.errors import UsageError, ZigguratError
from ziggurat.storage.urls import local_path


def each(urls: Sequence[str], make: Callable[[str], str]) -> int:
    """Does something for every image, and says what came of it; one that fails does not keep the others from it.

    Args:
        urls: paths or URLs of images.
        make: does it for one, and returns a line that says what came of it.

    Returns:
        The exit code.

    Raises:
        UsageError: at once, if the command makes no sense.
    """
    if not urls:
        raise UsageError("give at least one image")
    code = EXIT_OK
    for url in urls:
        try:
            print(visible(make(url)), flush=True)
        except UsageError:
            raise
        except ZigguratError as error:
            code = EXIT_ERROR
            print(f"{visible(url)}: {type(error).__name__}: {visible(str(error))}", file=sys.stderr)
    return code


def check_out(urls: Sequence[str], out: object, *, beside: bool) -> None:
    """Sees to it that one place is not asked for several results.

    Raises:
        UsageError: if it is.
    """
    if out is not None and (beside or len(urls) > 1):
        raise UsageError("--out is for a single image, and not together with --beside")


def path_beside(url: str, name: Callable[[Path], Path]) -> Path:
    """The file beside an image.

    Args:
        url: of the image.
        name: gives the file's path for the image's.

    Raises:
        UsageError: if the image is not local.
    """
    image = local_path(url)
    if image is None:
        raise UsageError(f"{url} is not local, nothing can be written beside it; use --out, or the cache")
    return name(image)
