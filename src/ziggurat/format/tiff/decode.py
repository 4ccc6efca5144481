"""From a piece's bytes to its pixels."""

import re
from collections.abc import Sequence

import numpy as np

from ziggurat.errors import CorruptImage, FormatError, LimitExceeded
from ziggurat.format.tiff.plane import JPEG_2000, JPEGS, SLACK, Plane
from ziggurat.format.tiff.segments import Piece
from ziggurat.geometry import Size
from ziggurat.model import Samples

_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]", re.DOTALL)


def decode(plane: Plane, piece: Piece, data: Sequence[bytes], unit: str) -> Samples:
    """A piece's pixels, exactly its window: (y, x, sample).

    Args:
        plane: the directory's pixels.
        piece: what was fetched.
        data: the bytes of its ranges.
        unit: file, level and segment, for messages.

    Raises:
        CorruptImage: if the decoded array is not of the shape and type that the directory says.
    """
    height, width = piece.window.size
    if not data:
        return np.full((height, width, plane.samples), plane.nodata, plane.dtype)
    if piece.raw and plane.raw is not None:
        joined = data[0] if len(data) == 1 else b"".join(data)
        pixels = np.frombuffer(joined, plane.raw).reshape(height, width, plane.samples)
        return pixels.astype(plane.dtype, copy=False)
    _trust(plane, data[0], unit)
    try:
        pixels = plane.decode(data[0], piece.index)
    except (FormatError, LimitExceeded) as error:
        raise type(error)(f"{unit}: {error}") from error
    if (
        pixels.ndim != 3  # noqa: PLR2004 - (y, x, sample)
        or pixels.shape[0] < height
        or pixels.shape[1] < width
        or pixels.shape[2] != plane.samples
        or pixels.dtype not in {plane.dtype, np.dtype(np.bool_)}
    ):
        raise CorruptImage(
            f"{unit} decodes to {pixels.shape} of {pixels.dtype}, "
            f"not ({height}, {width}, {plane.samples}) of {plane.dtype}"
        )
    return pixels[:height, :width]


def _trust(plane: Plane, data: bytes, unit: str) -> None:
    """Refuses what a decoder would believe: a codestream far larger than its segment, a JPEG cut short."""
    declared: Size | None = None
    if plane.compression in JPEGS:
        if data.find(b"\xff\xda") >= 0 and data.rfind(b"\xff\xd9") < data.find(b"\xff\xda") and data[:2] == b"\xff\xd8":
            raise CorruptImage(f"{unit}: its JPEG stream has no end; it is truncated")
        if found := _SOF.search(data):
            at = found.end() + 3
            declared = Size(int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big"))
    elif plane.compression in JPEG_2000:
        at = data.find(b"\xff\x4f\xff\x51")
        numbers = [int.from_bytes(data[n : n + 4], "big") for n in range(at + 8, at + 24, 4)] if at >= 0 else []
        declared = Size(numbers[1] - numbers[3], numbers[0] - numbers[2]) if numbers else None
    if declared is not None and declared.pixels > (4 * plane.segment.pixels << 2 * plane.reduce) + SLACK:
        raise CorruptImage(
            f"{unit}: its codestream declares {declared.height} x {declared.width} pixels, the "
            f"{'tile' if plane.tiled else 'strip'} has {plane.segment.height << plane.reduce} x "
            f"{plane.segment.width << plane.reduce}"
        )
