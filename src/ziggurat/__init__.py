"""Ziggurat: big image collections kept small, safe and instantly viewable.

``open`` is the front door; everything it returns is documented in ``ziggurat.image`` and ``ziggurat.model``.
"""

import importlib
import logging
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["Image", "ImageInfo", "Window", "ZigguratError", "__version__", "open", "zarr_store"]

if TYPE_CHECKING:
    from ziggurat.errors import ZigguratError
    from ziggurat.geometry import Window
    from ziggurat.image import Image, open  # noqa: A004 - the package's front door
    from ziggurat.interop.zarr import zarr_store
    from ziggurat.model import ImageInfo

# Records are for programs that ask for them; without this Python would print them.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "Image": "ziggurat.image",
    "ImageInfo": "ziggurat.model",
    "Window": "ziggurat.geometry",
    "ZigguratError": "ziggurat.errors",
    "open": "ziggurat.image",
    "zarr_store": "ziggurat.interop.zarr",
}


def __getattr__(name: str) -> object:
    """Imports a public name on first use: ``import ziggurat`` alone costs no numpy."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ziggurat' has no attribute {name!r}")
