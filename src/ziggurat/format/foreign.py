"""Where the errors of libraries that read untrusted files become this package's, and messages get the file's name."""

from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs

from ziggurat.errors import (
    CorruptImage,
    FormatError,
    LimitExceeded,
    OutOfMemory,
    UnsupportedFeature,
    UsageError,
    ZigguratError,
)


@contextmanager
def foreign_errors(where: str) -> Iterator[None]:
    """Maps whatever a library raises on an untrusted file.

    Args:
        where: the file and the place in it, the beginning of every message.

    Raises:
        UnsupportedFeature: if the codec is not part of this build.
        OutOfMemory: if memory cannot be had.
        CorruptImage: for every other error.
    """
    try:
        yield
    except ZigguratError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{where} takes more memory than there is; read a smaller window") from error
    except (imagecodecs.DelayedImportError, NotImplementedError) as error:
        raise UnsupportedFeature(f"{where} needs what this installation cannot decode: {error}") from error
    except Exception as error:  # the libraries raise almost any kind on damaged bytes
        raise CorruptImage(f"{where} does not decode: {error}") from error


@contextmanager
def named(url: str) -> Iterator[None]:
    """Puts the file's name before messages that know only what lies inside it.

    Raises:
        OutOfMemory: if memory cannot be had.
    """
    try:
        yield
    except (FormatError, LimitExceeded, UsageError) as error:
        raise type(error)(f"{url}: {error}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{url}: there is not enough memory to read it") from error
