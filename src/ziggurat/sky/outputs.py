"""What cutouts become: a table from a kind's name to the function that encodes it.

A kind is one file a target. The table is an immutable value; a program that knows a further kind passes
``KINDS | {...}`` on.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from astropy.io import fits

from ziggurat.codec.pictures import Encoding, encode
from ziggurat.errors import UsageError
from ziggurat.format.fits.quiet import quiet
from ziggurat.sky.colour import ColourOptions, compose
from ziggurat.sky.header import cutout_header, sky_header
from ziggurat.sky.make import BandCutout

type Encoder = Callable[[Sequence[BandCutout], ColourOptions], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table.

    Attributes:
        suffix: of its files.
        encode: the bytes of a file, of the bands in their order.
    """

    suffix: str
    encode: Encoder


def as_fits(bands: Sequence[BandCutout], options: ColourOptions) -> bytes:  # noqa: ARG001 - of pictures only
    """A FITS file: a single band as the primary image, several as extensions by their names.

    Coverage and weight maps follow their band as ``COVERAGE`` and ``WEIGHT``, after the band's name and ``_`` where
    there is one. Checksums are set. Equal cutouts are equal bytes.
    """
    parts: list[tuple[str, np.ndarray, fits.Header]] = []
    for made in bands:
        parts.append((made.band, made.data, cutout_header(made)))
        for name, plane in (("COVERAGE", made.coverage), ("WEIGHT", made.weight)):
            if plane is not None:
                parts.append((f"{made.band}_{name}" if made.band else name, plane, sky_header(made.grid)))
    with quiet():
        first = [fits.PrimaryHDU(*parts.pop(0)[1:])] if len(bands) == 1 else [fits.PrimaryHDU()]
        for name, _, header in parts:
            # Set here, and not by astropy, which would make "g" and "G" one.
            header["EXTNAME"] = name
        hdus = [*first, *(fits.ImageHDU(data, header) for _, data, header in parts)]
        for hdu in hdus:
            hdu.add_datasum(when="")
            hdu.add_checksum(when="")
        file = io.BytesIO()
        fits.HDUList(hdus).writeto(file)
    return file.getvalue()


def _picture(encoding: Encoding) -> Encoder:
    """An encoder of pictures, the sky's north where the grid has it: the last row of a FITS image is the first."""

    def encoded(bands: Sequence[BandCutout], options: ColourOptions) -> bytes:
        picture = compose([made.data for made in bands], [made.band for made in bands], options)
        return encode(np.ascontiguousarray(picture[::-1]), None, encoding, options.quality)

    return encoded


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "fits": Kind(".fits", as_fits),
        "png": Kind(".png", _picture("png")),
        "jpg": Kind(".jpg", _picture("jpg")),
        "webp": Kind(".webp", _picture("webp")),
        "avif": Kind(".avif", _picture("avif")),
    }
)


def kind(name: str, kinds: Mapping[str, Kind] = KINDS) -> Kind:
    """One kind by its name.

    Raises:
        UsageError: if there is none of that name.
    """
    try:
        return kinds[name]
    except KeyError:
        raise UsageError(f"there are no cutouts as {name!r}; choose one of {', '.join(kinds)}") from None
