"""A picture to be made of an image: which part, how large, turned how, encoded as what. Values only."""

from dataclasses import dataclass, field
from typing import Final, Literal

from ziggurat.codec.pictures import Encoding
from ziggurat.geometry import Size, Window
from ziggurat.serve.view import AS_IT_IS, View

type Quality = Literal["default", "color", "gray", "bitonal"]

MEDIA_TYPES: Final[dict[str, str]] = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
}
"""Formats that pictures are sent in."""

QUALITIES: Final = ("default", "color", "gray", "bitonal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One picture, of an image whose size is known. Everything refers to the upright image.

    Attributes:
        region: of the full resolution.
        size: of the result, before it is rotated.
        mirror: left and right exchanged, before it is rotated.
        angle: degrees clockwise, 0 to below 360.
        quality: colours of the result.
        encoding: format of the result.
        canvas: size of the empty sheet in whose upper left corner the result is put, or None.
        view: how samples become colours.
    """

    region: Window
    size: Size
    mirror: bool = False
    angle: float = 0.0
    quality: Quality = "default"
    encoding: Encoding = "jpg"
    canvas: Size | None = None
    view: View = field(default=AS_IT_IS)

    @property
    def key(self) -> str:
        """The same for the same picture, and for no other."""
        r, s, c = self.region, self.size, self.canvas
        sheet = "" if c is None else f"{c.height}x{c.width}"
        turned = f"{'!' if self.mirror else ''}{self.angle!r}"
        part = f"{r.y0},{r.x0},{r.y1},{r.x1}/{s.height}x{s.width}"
        return f"{part}/{turned}/{self.quality}/{sheet}/{self.view.key}.{self.encoding}"
