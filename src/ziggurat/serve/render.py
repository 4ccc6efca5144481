"""A plan carried out: a window of the level that suits it, shown, fitted, turned and encoded."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ziggurat.codec.pictures import encode
from ziggurat.errors import NotReady
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import ImageInfo, Samples
from ziggurat.pyramid import halve
from ziggurat.serve.develop import Develop, develop, is_plain
from ziggurat.serve.plan import Plan
from ziggurat.serve.resample import in_blocks, resample, rotate
from ziggurat.serve.sketch import SECONDS, fill, is_long, needs_pass, sketch
from ziggurat.serve.view import AS_IT_IS, View
from ziggurat.write.orientation import Turn

VIEWS: Final = 16
"""Ways of showing one image that are kept: each may hold the image's percentiles and colour transforms."""

HELD: Final = 600 << 20
"""Bytes of pixels of one image that are kept, of formats that can only be decoded whole: 200 megapixels of RGB."""

HALF: Final = 128
"""Grey values from here on are white where there are two."""


@dataclass(slots=True)
class Opened:
    """An image that is open in a worker, with what has been found out about it.

    Attributes:
        image: it.
        turn: what makes its pixels upright.
    """

    image: Image
    turn: Turn
    _views: OrderedDict[View, Develop] = field(default_factory=OrderedDict)
    _held: list[Samples] = field(default_factory=list)
    _plain: bool | None = None

    @classmethod
    def of(cls, image: Image) -> "Opened":
        """The image, upright."""
        return cls(image, Turn.of(image.info.orientation))

    @property
    def is_whole(self) -> bool:
        """Whether its pixels are decoded once and kept: no part of the file can be decoded alone."""
        info = self.image.info
        return len(info.levels) == 1 and info.levels[0].tile is None and _bytes(info) <= HELD

    @property
    def held(self) -> int:
        """Bytes of pixels that are kept."""
        return sum(pixels.nbytes for pixels in self._held)

    def read(self, level: int, window: Window) -> Samples:
        """Pixels as stored; of a file that is decoded whole each time, from what was decoded before."""
        if not self.is_whole:
            return self.image.read(level, window)
        if not self._held:
            self._held.append(self.image.read(0))
        while len(self._held) <= level:
            self._held.append(halve(self._held[-1]))
        pixels: Samples = self._held[level][window.slices()]
        return pixels

    @property
    def sizes(self) -> list[Size]:
        """Upright sizes of its levels, finest first."""
        return [self.turn.size(level.shape) for level in self.image.levels]

    def stored(self, part: "Cut") -> Window:
        """The window of a part on the stored grid of its level."""
        if self.turn.is_none:
            return part.window
        return self.turn.stored(part.window, self.turn.size(self.image.levels[part.level].shape))

    @property
    def shown_as_stored(self) -> bool:
        """Whether its pixels go to a screen as they are."""
        if self._plain is None:
            info = self.image.info
            self._plain = self.turn.is_none and info.dtype == "uint8" and is_plain(info)
        return self._plain

    def develop(self, view: View) -> Develop:
        """How its samples are shown."""
        known = self._views.get(view)
        if known is None:
            known = self._views[view] = develop(self.image, view, self.read)
            if len(self._views) > VIEWS:
                self._views.popitem(last=False)
        return known


@dataclass(frozen=True, slots=True)
class Cut:
    """Where on a level a region lies.

    Attributes:
        level: its number.
        window: upright, in pixels of the level.
        rows: where the region begins and ends inside the window.
        columns: the same across.
    """

    level: int
    window: Window
    rows: tuple[float, float]
    columns: tuple[float, float]

    @property
    def suits(self) -> Size:
        """The size of a result that needs no other pixels than these."""
        return self.window.size


def cut(levels: list[Size], region: Window, target: Size) -> Cut:
    """The part of the coarsest level that has a pixel for every one of the result; of the finest where none has.

    Args:
        levels: upright sizes, finest first.
        region: on the finest.
        target: size of the result.
    """
    chosen = _cut(levels, 0, region)
    for level in range(len(levels) - 1, 0, -1):
        found = _cut(levels, level, region)
        tall, wide = found.rows[1] - found.rows[0], found.columns[1] - found.columns[0]
        fits = found.window.height >= target.height and found.window.width >= target.width
        # Rounding may leave a level a pixel short of a result that was asked for by rounding up.
        if fits and tall > target.height - 1 and wide > target.width - 1:
            return found
    return chosen


def _cut(levels: list[Size], level: int, region: Window) -> Cut:
    full, size = levels[0], levels[level]
    down, across = _factor(full.height, size.height), _factor(full.width, size.width)
    y0, y1 = region.y0 / down, min(region.y1 / down, size.height)
    x0, x1 = region.x0 / across, min(region.x1 / across, size.width)
    top, left = min(int(y0), size.height - 1), min(int(x0), size.width - 1)
    window = Window(top, left, max(top + 1, -int(-y1 // 1)), max(left + 1, -int(-x1 // 1)))
    return Cut(level, window, (y0 - top, y1 - top), (x0 - left, x1 - left))


def _factor(full: int, size: int) -> float:
    """Full pixels along one of a level: a whole number where the level's size is that division, rounded either way."""
    whole = max(1, round(full / size))
    return float(whole) if size in {full // whole, -(-full // whole)} else full / size


def must_wait(opened: Opened, plan: Plan) -> bool:
    """Whether a picture needs levels that take long to make and are not there."""
    if opened.is_whole or not is_long(opened.image):
        return False
    part = cut(opened.sizes, plan.region, plan.size)
    return needs_pass(opened.image, part.level, opened.stored(part))


def render(opened: Opened, plan: Plan, quality: int, *, sketched: bool = False) -> bytes:
    """The encoded picture.

    Args:
        opened: the image.
        plan: what is made of it.
        quality: of lossy formats, 1 to 100.
        sketched: made of some rows alone, because a coarser level is not there.

    Raises:
        NotReady: if not even some rows can be had soon.
        ZigguratError: as reading an image does.
    """
    by_rows = sketched and not opened.image.sketches
    pixels = _sketched(opened, plan) if by_rows else _fitted(opened, plan, sketched=sketched)
    if plan.quality in {"gray", "bitonal"}:
        pixels = in_blocks(_grey, pixels)
    if plan.quality == "bitonal":
        pixels = np.where(pixels >= HALF, np.uint8(255), np.uint8(0))
    if plan.mirror:
        pixels = pixels[:, ::-1]
    alpha: Samples | None = None
    if plan.angle:
        pixels, alpha = rotate(pixels, plan.angle)
    if plan.canvas is not None and plan.canvas != pixels.shape[:2]:
        pixels, alpha = _on_sheet(pixels, plan.canvas)
    return encode(pixels, alpha, plan.encoding, quality)


def _bytes(info: ImageInfo) -> int:
    return info.size.pixels * info.bands * np.dtype(info.dtype).itemsize


def stored(opened: Opened, plan: Plan) -> bytes | None:
    """The encoded picture as the file holds it already, where it is asked for as it is; None where it must be made.

    Raises:
        ZigguratError: as reading an image does.
    """
    plain = plan.encoding == "jpg" and not plan.mirror and not plan.angle and plan.view == AS_IT_IS
    coloured = plan.quality in {"default", "color"} or (plan.quality == "gray" and opened.image.info.bands == 1)
    if not plain or not coloured or plan.canvas not in {None, plan.size} or not opened.shown_as_stored:
        return None
    part = cut(opened.sizes, plan.region, plan.size)
    if part.suits != plan.size or part.rows[0] or part.columns[0]:
        return None
    return opened.image.stored_jpeg(part.level, part.window)


def _fitted(opened: Opened, plan: Plan, *, sketched: bool = False) -> Samples:
    part = cut(opened.sizes, plan.region, plan.size)
    window = opened.stored(part)
    pixels = opened.image.sketch(part.level, window, SECONDS) if sketched else None
    if pixels is None:
        pixels = opened.read(part.level, window)
    shown = in_blocks(opened.develop(plan.view), opened.turn.apply(pixels))
    if part.suits == plan.size and part.rows[0] == part.columns[0] == 0:
        return shown
    return resample(shown, part.rows, part.columns, plan.size)


def _sketched(opened: Opened, plan: Plan) -> Samples:
    show = opened.develop(plan.view)
    width = plan.region.width
    picture: Samples | None = None
    there = np.zeros(plan.size.height, np.bool_)
    for rows, pixels in sketch(opened.image, plan.region, plan.size):
        row = resample(in_blocks(show, pixels), (0, 1), (0, width), Size(1, plan.size.width))
        if picture is None:
            picture = np.zeros((*plan.size, row.shape[2]), np.uint8)
        picture[rows] = row
        there[rows] = True
    if picture is None:
        raise NotReady(f"{opened.image.url}: its coarser levels are being made; try again in a while")
    return fill(picture, there)


def _grey(pixels: Samples) -> Samples:
    """Luma of ITU-R BT.601, which JPEG's own is."""
    if pixels.shape[2] == 1:
        return pixels
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(luma).astype(np.uint8)[:, :, None]


def _on_sheet(pixels: Samples, sheet: Size) -> tuple[Samples, Samples]:
    out = np.full((*sheet, pixels.shape[2]), 255, np.uint8)
    alpha = np.zeros((*sheet, 1), np.uint8)
    height, width = pixels.shape[:2]
    out[:height, :width] = pixels
    alpha[:height, :width] = 255
    return out, alpha
