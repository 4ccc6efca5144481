"""Which targets there are: what they are called, which writer makes them and what they can hold.

The table is an immutable value; a program that has a further writer passes ``TARGETS | {...}`` on.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

from ziggurat.errors import UsageError
from ziggurat.write.protocol import Writer

type Form = Literal["display", "native"]


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table.

    Attributes:
        writer: dotted path of the writer's class, imported when first used; called with its options.
        suffixes: endings of the target's files; the first is the one that is written.
        max_side: pixels that a side may have, or None for no limit.
        folder: whether an output is a folder of files.
    """

    writer: str
    suffixes: tuple[str, ...]
    max_side: int | None = None
    folder: bool = False

    def make(self, options: object) -> Writer:
        """The writer with these options."""
        module, _, name = self.writer.partition(":")
        factory = cast("Callable[[object], Writer]", getattr(importlib.import_module(module), name))
        return factory(options)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        # libjpeg's JPEG_MAX_DIMENSION; the format itself ends at 65,535.
        "jpeg": Target("ziggurat.write.jpeg:JpegWriter", (".jpg", ".jpeg"), max_side=65_500),
        "b2nd": Target("ziggurat.write.b2nd.writer:B2ndWriter", (".b2nd",)),
        "ptiff": Target("ziggurat.write.ptiff.writer:PtiffWriter", (".tif", ".tiff", ".btf")),
        "jp2": Target("ziggurat.write.jp2.writer:Jp2Writer", (".jp2",)),
        "htj2k": Target("ziggurat.write.jp2.writer:Htj2kWriter", (".jph",)),
        "ome-zarr": Target("ziggurat.write.omezarr.writer:OmeZarrWriter", (".ome.zarr", ".zarr"), folder=True),
    }
)


def target(name: str, targets: Mapping[str, Target] = TARGETS) -> Target:
    """One target by its name.

    Raises:
        UsageError: if there is none of that name.
    """
    try:
        return targets[name]
    except KeyError:
        raise UsageError(f"there is no target {name!r}; choose one of {', '.join(targets)}") from None
