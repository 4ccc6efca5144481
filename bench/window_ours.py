"""Windows by Ziggurat."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from window_task import OVERVIEW, Task

if TYPE_CHECKING:
    from ziggurat.model import Samples

MODULES = ("ziggurat", "ziggurat.image", "ziggurat.storage.object_store", "ziggurat.pyramid.overview")

CODECS = {"ptiff": "imagecodecs._jpeg8", "deflate": "imagecodecs._deflate"}
"""Decoders that imagecodecs loads when they are first called, by kind of file."""

OPENERS = {"jp2": "ziggurat.format.jpeg2000", "tif": "ziggurat.format.tiff.reader"}


@dataclass(frozen=True, slots=True)
class Ziggurat:
    """As a user calls it; what it finds in the cache is up to the environment.

    Attributes:
        sampled: take single pixels where the file lacks the level.
    """

    sampled: bool = False

    def load(self, task: Task) -> str:
        """Imports what the task takes, which the package itself puts off until then, and tells the version."""
        for name in (*MODULES, OPENERS[task.key[-3:]], CODECS.get(task.kind, "imagecodecs")):
            importlib.import_module(name)
        import ziggurat  # noqa: PLC0415 - measured

        return f"Ziggurat {ziggurat.__version__}"

    def read(self, task: Task) -> "Samples":
        """Pixels (y, x, band)."""
        import ziggurat  # noqa: PLC0415 - measured

        url = task.local or f"s3://{task.key}"
        with ziggurat.open(url, index=task.index) as image:
            if task.aim == "overview":
                return image.thumbnail(OVERVIEW, sampled=self.sampled)
            return image.read(task.level, task.coarse, sampled=self.sampled)


READERS: Mapping[str, Ziggurat] = MappingProxyType({"Ziggurat": Ziggurat(), "Ziggurat sampled": Ziggurat(sampled=True)})
