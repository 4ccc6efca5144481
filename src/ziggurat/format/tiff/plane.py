"""One directory's pixels: where its strips or tiles lie, and how they decode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from tifffile import TiffFrame, TiffPage

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.tiff.jpeg2000 import decode_tile
from ziggurat.format.tiff.stored import Abbreviated, abbreviated
from ziggurat.format.tiff.strips import Packing, packing_of
from ziggurat.format.tiff.tables import Places
from ziggurat.geometry import Size
from ziggurat.model import Samples

type Decode = Callable[[bytes, int], Samples]
"""Encoded segment and its number in the directory → array (y, x, sample), perhaps larger than the segment."""

JPEGS = frozenset({6, 7, 33007, 34892})
JPEG_2000 = frozenset({33003, 33004, 33005, 34712})

MAX_SAMPLES = 1 << 16

SLACK = 1 << 16
"""Bytes, or pixels, by which a segment may exceed four times what it should be before it is taken for a lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The pixels of one directory.

    Attributes:
        size: height and width.
        segment: height and width of a tile, or of a strip that is not the last.
        tiled: tiles, not strips.
        samples: samples of a pixel within one segment.
        planes: separately stored sample planes; one of the two is 1.
        stride: segments from one sample plane to the next.
        dtype: type of the decoded samples, native byte order.
        bits: significant bits of a sample.
        compression: tag 259.
        predictor: tag 317.
        order: byte order of the file: "<" or ">".
        raw: type as stored, where pixels lie in the file as they are and can be read without their segment.
        places: where each segment lies.
        nodata: what fills the segments that are not stored.
        decode: decodes one segment.
        packing: how strips were compressed, where several low ones can be decoded at once.
        jpeg: what is needed to make files of the JPEG streams of its segments, where that can be done.
        reduce: how often segments are halved by their wavelet when they are decoded.
    """

    size: Size
    segment: Size
    tiled: bool
    samples: int
    planes: int
    stride: int
    dtype: np.dtype[np.generic]
    bits: int
    compression: int
    predictor: int
    order: str
    raw: np.dtype[np.generic] | None
    places: Places
    nodata: float
    decode: Decode
    packing: Packing | None = None
    jpeg: Abbreviated | None = None
    reduce: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a segment, decoded."""
        return self.segment.width * self.samples * self.dtype.itemsize

    @property
    def longest(self) -> int:
        """Bytes of the longest segment; where that is not known, of the longest that is believed."""
        known = self.places.longest
        if known is not None:
            return known
        return (4 * self.segment.height * self.row_bytes << 2 * self.reduce) + SLACK


def plane_of(page: TiffPage | TiffFrame, places: Places, where: str) -> Plane:
    """Checks a directory and takes from it what reading needs; nothing is read from the file afterwards.

    Raises:
        CorruptImage: if its sizes make no sense.
        UnsupportedFeature: if its samples or its compression cannot be decoded.
    """
    key = cast("TiffPage", page.keyframe)
    size = Size(key.imagelength, key.imagewidth)
    tiled = bool(key.is_tiled)
    segment = Size(key.tilelength, key.tilewidth) if tiled else Size(key.rowsperstrip, key.imagewidth)
    samples = key.samplesperpixel
    numbers = (*size, *segment, samples, key.imagedepth)
    if not all(isinstance(number, int) and number > 0 for number in numbers) or samples > MAX_SAMPLES:
        raise CorruptImage(
            f"{where}: {size.height} x {size.width} pixels of {samples} samples in "
            f"{'tiles' if tiled else 'strips'} of {segment.height} x {segment.width} make no image"
        )
    if key.imagedepth != 1 and tiled and key.tiledepth != 1:
        raise UnsupportedFeature(f"{where}: tiles {key.tiledepth} planes deep are not supported")
    decode = _decoder(key, page, where)
    if key.dtype is None or key.dtype.kind not in "buif":
        raise UnsupportedFeature(f"{where}: samples of type {key.dtype} are not supported; only real numbers are")
    separate = key.planarconfig == 2 and samples > 1  # noqa: PLR2004 - TIFF 6.0, PlanarConfiguration
    rows, columns = -(-size.height // segment.height), -(-size.width // segment.width)
    bits = key.bitspersample
    return Plane(
        size=size,
        segment=segment,
        tiled=tiled,
        samples=1 if separate else samples,
        planes=samples if separate else 1,
        stride=rows * columns * key.imagedepth,
        # One bit a sample is read as 0 and 1 of a byte.
        dtype=np.dtype(np.uint8) if key.dtype.kind == "b" else key.dtype.newbyteorder("="),
        bits=bits if isinstance(bits, int) else max(bits),
        compression=int(key.compression),
        predictor=int(key.predictor),
        order=key.parent.byteorder,
        raw=_raw_type(key),
        places=places,
        nodata=key.nodata,
        decode=decode,
        packing=packing_of(key),
        jpeg=abbreviated(key),
    )


def _raw_type(page: TiffPage) -> np.dtype[np.generic] | None:
    """The stored sample type where pixels lie in the file as they are, and rows and columns can be read alone."""
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and page.sampleformat in {1, 2, 3}
    whole_bytes = page.bitspersample in {8, 16, 32, 64}
    if not plain or not whole_bytes or page.is_subsampled or page.dtype is None or page.dtype.kind not in "uif":
        return None
    return page.dtype.newbyteorder(page.parent.byteorder)


def _decoder(key: TiffPage, page: TiffPage | TiffFrame, where: str) -> Decode:
    """The decoder of a directory, asked once for nothing so that it says what it cannot do."""
    try:
        decode = key.decode
        decode(None, 0)
    except (ValueError, NotImplementedError) as error:
        raise UnsupportedFeature(
            f"{where}: compression {int(key.compression)} ({compression_name(key)}) of "
            f"{key.bitspersample}-bit samples cannot be read: {error}"
        ) from error
    if key.compression in JPEG_2000:
        return lambda data, _: decode_tile(data, 0)
    tables, header = page.jpegtables, key.jpegheader

    def decode_segment(data: bytes, index: int) -> Samples:
        pixels = decode(data, index, jpegtables=tables, jpegheader=header)[0]
        if pixels is None:
            raise CorruptImage("it decodes to nothing")
        plane: Samples = pixels[0]
        return plane

    return decode_segment


def compression_name(page: TiffPage) -> str:
    """The name of tag 259's value, or its number."""
    return str(getattr(page.compression, "name", page.compression))
