"""What cutouts become: a table from a kind's name to the function that encodes it.

A kind is one file a target. The table is an immutable value; a program that knows a further kind passes
``KINDS | {...}`` on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from ziggurat.codec.pictures import Encoding, encode
from ziggurat.errors import UsageError
from ziggurat.format.fits.quiet import quiet
from ziggurat.sky.colour import ColourOptions, compose
from ziggurat.sky.fits_file import Unit, fits_file
from ziggurat.sky.header import cutout_cards, sky_cards
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

    Coverage and weight maps follow the bands as ``COVERAGE`` and ``WEIGHT``, after the band's name and ``_`` where
    there is one. Checksums are set. Equal cutouts are equal bytes.
    """
    with quiet():
        return fits_file(_units(bands))


def _units(bands: Sequence[BandCutout]) -> list[Unit]:
    units = [Unit(made.band, cutout_cards(made), made.data) for made in bands]
    if len(bands) == 1:
        units = [replace(units[0], name="")]
    else:
        units.insert(0, Unit("", b"", None))
    for made in bands:
        for name, plane in (("COVERAGE", made.coverage), ("WEIGHT", made.weight)):
            if plane is not None:
                units.append(Unit(f"{made.band}_{name}" if made.band else name, sky_cards(made.grid), plane))
    return units


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
