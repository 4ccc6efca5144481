"""Keeps from the log what tifffile says of tables that it was shown shortened."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_OPENING: ContextVar[bool] = ContextVar("ziggurat_opening_tiff", default=False)


class _Shortened(logging.Filter):
    """Lets everything pass but that, and that only while a file is being opened here."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log."""
        return not (_OPENING.get() and "incorrect Strip" in str(record.msg))


# What tifffile reports of odd files would otherwise go to standard error; what matters is checked here.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
logging.getLogger("tifffile").addFilter(_Shortened())


@contextmanager
def shortened_tables() -> Iterator[None]:
    """While this lasts, in this thread, a table shorter than the image needs is nothing to report."""
    token = _OPENING.set(True)
    try:
        yield
    finally:
        _OPENING.reset(token)
