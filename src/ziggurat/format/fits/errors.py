"""The one place where errors and warnings of astropy, wcslib and the codecs are caught."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from ziggurat.errors import CorruptImage, OutOfMemory, ZigguratError

_WARNINGS = RLock()
"""``catch_warnings`` changes the whole process: two threads in it at once would leave it changed."""


@contextmanager
def foreign_errors(where: str) -> Iterator[None]:
    """Maps whatever a library raises on an untrusted file.

    Args:
        where: the file and the place in it, the beginning of every message.

    Raises:
        OutOfMemory: if memory cannot be had.
        CorruptImage: for every other error.
    """
    try:
        yield
    except ZigguratError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{where} takes more memory than there is; read a smaller window") from error
    except Exception as error:  # the libraries raise almost any kind on damaged bytes
        raise CorruptImage(f"{where} does not decode: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what astropy thinks of a header from standard error: what matters is checked here."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
