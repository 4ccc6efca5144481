"""An image made ready for writing: upright, in the sample type and colours that the target can hold."""

import re
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.format.exif import orientation, with_orientation
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.model import Alpha, ColourSpace, ImageInfo, Metadata, Resolution, SampleKind, Samples
from ziggurat.pyramid import box
from ziggurat.write.forms import Form, PictureOptions, decide
from ziggurat.write.orientation import Turn
from ziggurat.write.protocol import Picture

__all__ = ["Held", "PictureOptions", "Prepared", "hold", "prepare"]

_SCRATCH = 4 << 20
"""Bytes that converting a block of rows may take: little beside the picture, much beside setting a transform up."""

_BOX_SCRATCH = 16
"""Bytes a stored sample that averaging takes: sums of 64 bits, over rows and then over columns."""

_HELD_ROWS = 256
"""Rows at a time that a picture in memory proposes to its readers: any number costs the same."""

_SUFFIX = re.compile(r"(\.ome)?\.[A-Za-z0-9]{1,8}$")
"""Of a file's name, the one of OME's own with it."""

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)[2-8]""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a picture is, without its pixels: the attributes of ``ziggurat.write.protocol.Picture``."""

    name: str
    size: Size
    bands: int
    dtype: np.dtype[np.generic]
    bit_depth: int
    kind: SampleKind
    colour_space: ColourSpace
    alpha: Alpha | None
    icc: bytes | None
    resolution: Resolution | None
    metadata: Metadata
    grain: Size | None
    coarser: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Traits):
    """A picture whose windows are read from the image and converted a few rows at a time. Made by ``prepare``.

    ``grain`` is the tile as the picture sees it; where pixels are turned its grid need not begin at the corner.

    Attributes:
        image: where the pixels come from.
        level: the one that is read.
        divisor: pixels of the level along the square that becomes one pixel.
        turn: what makes the stored pixels upright.
        upright: size of the level, upright.
        form: how bands are converted.
    """

    image: Image
    level: int
    divisor: int
    turn: Turn
    upright: Size
    form: Form

    def read(self, window: Window) -> Samples:
        """Array (y, x, band) of exactly the window.

        Raises:
            UsageError: if the window leaves the picture.
            CorruptImage: if the pixels do not decode completely.
        """
        pixels = self.image.read(self.level, self._stored(window))
        if self._passes:
            return pixels
        upright = self.turn.apply(pixels)
        out = np.empty((*window.size, self.bands), self.dtype)
        rows = self._rows(window)
        for y0 in range(0, window.height, rows):
            block = upright[y0 * self.divisor : (y0 + rows) * self.divisor]
            if self.form.convert is not None:
                block = self.form.convert(block)
            out[y0 : y0 + rows] = block if self.divisor == 1 else box(block, self.divisor)
        return out

    def read_cost(self, window: Window) -> int:
        """Peak bytes that reading this window takes, its result included, by the header."""
        stored = self._stored(window)
        decoding = self.image.read_cost(self.level, stored)
        if self._passes:
            return decoding
        info = self.image.info
        held = stored.size.pixels * info.bands * np.dtype(info.dtype).itemsize
        result = window.size.pixels * self.bands * self.dtype.itemsize
        rows = min(self._rows(window), window.height)
        return max(decoding, held + result + rows * self._row_scratch(window))

    @property
    def _passes(self) -> bool:
        """Whether the stored pixels are the picture's."""
        return self.form.convert is None and self.turn.is_none and self.divisor == 1

    def _rows(self, window: Window) -> int:
        """Rows of the result that are made at once."""
        return max(1, _SCRATCH // self._row_scratch(window))

    def _row_scratch(self, window: Window) -> int:
        """Bytes that making one row of the result takes."""
        scratch = self.form.scratch + (_BOX_SCRATCH if self.divisor > 1 else 0)
        return window.width * self.divisor**2 * self.image.info.bands * scratch

    def _stored(self, window: Window) -> Window:
        if not window.within(self.size):
            raise UsageError(
                f"window ({window.y0}, {window.x0}, {window.y1}, {window.x1}) leaves the picture of "
                f"{self.image.url}, which is {self.size.height} x {self.size.width}"
            )
        upright = Window(
            window.y0 * self.divisor,
            window.x0 * self.divisor,
            min(window.y1 * self.divisor, self.upright.height),
            min(window.x1 * self.divisor, self.upright.width),
        )
        return self.turn.stored(upright, self.upright)


def prepare(image: Image, options: PictureOptions, *, form: Literal["display", "native"]) -> Prepared:
    """Decides by the header alone how an image becomes a picture; nothing is decoded.

    Both forms are upright. Grey whose white is 0 becomes grey whose black is 0 (native floating point excepted,
    which has no end to count from). A divisor of the size reads a coarser level where one is exactly so many
    halvings, and averages squares for the rest.

    - "display" is what JPEG holds: uint8, one or three bands. All codes of the bit depth map to 0 to 255;
      alpha is flattened in 8 bits on the background; the ICC profile stays where it fits the bands; CMYK, CIELab
      and e-sRGB become sRGB. Bands of unknown meaning are grey where there is one and RGB where there are three.
    - "native" is the stored samples with their alpha and profile.

    Args:
        image: stays open as long as the picture is read.
        options: what the user chose.
        form: which of the two.

    Raises:
        UsageError: if a band is named that is not there, or floating-point samples have no range.
        UnsupportedFeature: if the bands have no meaning that the display form could show.
        CorruptImage: if an ICC profile that is needed cannot be used.
    """
    info = image.info
    try:
        chosen = decide(info, options, form)
    except (UsageError, UnsupportedFeature, CorruptImage) as error:
        raise type(error)(f"{image.url}: {error}") from error
    turn = Turn.of(info.orientation)
    level, divisor = _level_for(info, options.shrink)
    upright = turn.size(info.levels[level].shape)
    tile = info.levels[level].tile
    made = Prepared(
        name=_name(image.url),
        size=_divided(upright, divisor),
        bands=chosen.bands,
        dtype=chosen.dtype,
        bit_depth=chosen.bit_depth,
        kind=chosen.kind,
        colour_space=chosen.colour_space,
        alpha=chosen.alpha,
        icc=chosen.icc,
        resolution=_resolution(info.resolution, turn, options.shrink),
        metadata=_upright_metadata(info.metadata),
        grain=None if tile is None else _divided(turn.size(tile), divisor),
        image=image,
        level=level,
        divisor=divisor,
        turn=turn,
        upright=upright,
        form=chosen,
    )
    return replace(made, coarser=_coarser(made))


def _coarser(first: Prepared) -> tuple[Picture, ...]:
    """The image's levels below the one that is read, as long as each is half of the finer one."""
    found: list[Picture] = []
    levels = first.image.info.levels
    shape = levels[first.level].shape
    for number in range(first.level + 1, len(levels)) if first.divisor == 1 else ():
        shape = shape.halved(1)
        if levels[number].shape != shape:
            break
        upright, tile = first.turn.size(shape), levels[number].tile
        grain = None if tile is None else first.turn.size(tile)
        found.append(replace(first, size=upright, upright=upright, level=number, grain=grain))
    return tuple(found)


def _name(url: str) -> str:
    """The last part of a place, without its suffixes."""
    last = url.rstrip("/").rpartition("/")[2].rpartition("!")[2]
    stem = _SUFFIX.sub("", last)
    return stem or last


def _divided(size: Size, divisor: int) -> Size:
    return Size(-(-size.height // divisor), -(-size.width // divisor))


def _level_for(info: ImageInfo, shrink: int) -> tuple[int, int]:
    """The level to read and what is left to divide by: the coarsest that is an exact number of halvings."""
    halvings = (shrink & -shrink).bit_length() - 1
    for times in range(halvings, 0, -1):
        for index, level in enumerate(info.levels):
            if index and level.shape == info.size.halved(times):
                return index, shrink >> times
    return 0, shrink


def _resolution(stored: Resolution | None, turn: Turn, shrink: int) -> Resolution | None:
    if stored is None:
        return None
    y, x = (stored.x, stored.y) if turn.swap else (stored.y, stored.x)
    return Resolution(y / shrink, x / shrink)


def _upright_metadata(blocks: Metadata) -> Metadata:
    """The blocks, saying of the pixels that they are upright, in EXIF and in XMP's copy of it."""
    if blocks.exif is not None and orientation(blocks.exif) != 1:
        blocks = replace(blocks, exif=with_orientation(blocks.exif, 1))
    if blocks.xmp is not None:
        blocks = replace(blocks, xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", blocks.xmp))
    return blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Traits):
    """A picture that lies in memory whole; its windows are views, which cost nothing more. Made by ``hold``."""

    pixels: Samples

    def read(self, window: Window) -> Samples:
        """View (y, x, band) of exactly the window, read-only.

        Raises:
            UsageError: if the window leaves the picture.
        """
        if not window.within(self.size):
            raise UsageError(
                f"window ({window.y0}, {window.x0}, {window.y1}, {window.x1}) leaves the picture, "
                f"which is {self.size.height} x {self.size.width}"
            )
        view: Samples = self.pixels[window.slices()]
        return view

    def read_cost(self, window: Window) -> int:  # noqa: ARG002 - the contract's signature
        """No bytes beside those that are held."""
        return 0


def hold(picture: Picture) -> Held:
    """Reads a picture whole, once, so that writing it and verifying what was written decode it once."""
    pixels = picture.read(Window.full(picture.size))
    pixels.flags.writeable = False
    traits = {field.name: getattr(picture, field.name) for field in fields(Traits)}
    traits["grain"] = Size(min(_HELD_ROWS, picture.size.height), picture.size.width)
    return Held(**traits, pixels=pixels)
