"""The one place where errors of tifffile and of the codecs become Ziggurat's."""

from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs

from ziggurat.errors import CorruptImage, OutOfMemory, UnsupportedFeature, ZigguratError


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
