"""What astropy and wcslib warn of."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_WARNINGS = RLock()
"""``catch_warnings`` changes the whole process: two threads in it at once would leave it changed."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what astropy thinks of a header from standard error: what matters is checked here."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
