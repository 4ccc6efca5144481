"""What the pixels of an array mean, as JSON of Ziggurat's own: arrays have no place for it.

``axes``, ``colour_space``, ``bit_depth``, ``alpha``, ``resolution`` (pixels per metre, vertical and horizontal) and, as
base64, ``icc``, ``exif``, ``xmp`` and ``iptc``. In Blosc2 it is the metalayer ``ziggurat``, as in
``json.loads(blosc2.open("x.b2nd").schunk.meta["ziggurat"])``; of a Zarr group it lies in the attributes, below
``ziggurat.picture``.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ziggurat.model import JSON, Alpha, ColourSpace, Metadata, Resolution

_LONGEST_NAME = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a file says of its pixels; every part may be missing.

    Attributes:
        axes: "y", "x" and "band", in the order of the array's.
        colour_space: what the colour bands mean.
        bit_depth: significant bits of a sample.
        alpha: whether the last band is opacity.
        resolution: pixels per metre.
        icc: the profile.
        metadata: blocks of it.
    """

    axes: tuple[str, ...] | None = None
    colour_space: ColourSpace | None = None
    bit_depth: int | None = None
    alpha: Alpha | None = None
    resolution: Resolution | None = None
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)


def told(notes: Notes) -> dict[str, JSON]:
    """Plain values, without what is not known."""
    blocks = {"icc": notes.icc, "exif": notes.metadata.exif, "xmp": notes.metadata.xmp, "iptc": notes.metadata.iptc}
    values: dict[str, JSON] = {
        "axes": notes.axes,
        "colour_space": notes.colour_space,
        "bit_depth": notes.bit_depth,
        "alpha": notes.alpha,
        "resolution": None if notes.resolution is None else [notes.resolution.y, notes.resolution.x],
    }
    values |= {key: base64.b64encode(block).decode() for key, block in blocks.items() if block}
    return {key: value for key, value in values.items() if value is not None}


def understood(values: object) -> Notes:
    """Reads what ``told`` has made.

    Raises:
        ValueError, TypeError: if it is something else.
    """
    if not isinstance(values, Mapping):
        raise TypeError("it is no object")
    alpha, depth, place = values.get("alpha"), values.get("bit_depth"), values.get("resolution")
    space, axes = values.get("colour_space"), values.get("axes")
    if alpha not in {None, "straight", "premultiplied"} or not isinstance(depth, int | None):
        raise TypeError(f"alpha is {alpha!r}, bit_depth {depth!r}")
    return Notes(
        axes=None if axes is None else tuple(str(name)[:_LONGEST_NAME] for name in axes),
        colour_space=None if space is None else ColourSpace(space),
        bit_depth=depth,
        alpha=alpha,
        resolution=None if place is None else _resolution(*place),
        icc=_block(values, "icc"),
        metadata=Metadata(exif=_block(values, "exif"), xmp=_block(values, "xmp"), iptc=_block(values, "iptc")),
    )


def _resolution(y: float, x: float) -> Resolution:
    if not (math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0):
        raise ValueError(f"{y} x {x} pixels per metre")
    return Resolution(float(y), float(x))


def _block(values: Mapping[str, str], key: str) -> bytes | None:
    text = values.get(key)
    return None if text is None else base64.b64decode(text, validate=True)
