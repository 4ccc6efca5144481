"""FITS files that tests make, and what astropy reads of them."""

import io
import warnings
from typing import Any

import numpy as np
from astropy.io import fits

from ziggurat.format.fits import FitsReader, open_fits
from ziggurat.geometry import Window
from ziggurat.storage.memory import MemorySource

type Pixels = np.ndarray[Any, np.dtype[Any]]

DTYPES = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}
"""Sample types by BITPIX."""


def noise(*shape: int, dtype: Any = "i2", seed: int = 0, spread: float = 40.0) -> Pixels:
    """A slope with noise, as a detector sees the sky."""
    rng = np.random.default_rng(seed)
    sky = rng.normal(100.0, spread, shape) + np.linspace(0, 60, shape[-1])
    return np.clip(sky, 0, 255).astype(dtype) if np.dtype(dtype).kind == "u" else sky.astype(dtype)


def written(*hdus: Any) -> bytes:
    """The bytes of a file of these HDUs."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def plain(array: Pixels, **cards: Any) -> bytes:
    """An image as the primary HDU, with cards set before it is written."""
    hdu = fits.PrimaryHDU(array)
    hdu.header.update(cards)
    return written(hdu)


def card(keyword: str, value: Any) -> bytes:
    """One card."""
    return fits.Card(keyword, value).image.encode().ljust(80)


def unit(cards: dict[str, Any], data: bytes = b"") -> bytes:
    """An HDU of exactly these cards and data, padded."""
    header = b"".join(card(keyword, value) for keyword, value in cards.items()) + b"END".ljust(80)
    return header.ljust(-(-len(header) // 2880) * 2880) + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


def image(array: Pixels, bitpix: int, **cards: Any) -> bytes:
    """A primary image of raw stored numbers under exactly these scaling cards."""
    axes = {f"NAXIS{n}": side for n, side in enumerate(array.shape[::-1], 1)}
    stored = array.astype(np.dtype(DTYPES[bitpix]).newbyteorder(">"))
    return unit({"SIMPLE": True, "BITPIX": bitpix, "NAXIS": array.ndim} | axes | cards, stored.tobytes())


def packed(array: Pixels, kind: str, tile: tuple[int, ...] | None = None, **options: Any) -> bytes:
    """An image compressed by astropy."""
    cards = options.pop("cards", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdu = fits.CompImageHDU(array, compression_type=kind, tile_shape=tile, **options)
        hdu.header.update(cards)
        return written(fits.PrimaryHDU(), hdu)


def altered(data: bytes, keyword: str, value: Any) -> bytes:
    """The file with the value of the last card of this keyword replaced."""
    at = data.rfind(keyword.ljust(8).encode() + b"=")
    assert at >= 0, keyword
    assert at % 80 == 0, keyword
    return data[:at] + card(keyword, value) + data[at + 80 :]


def reference(data: bytes, hdu: int) -> Pixels:
    """What astropy reads of an HDU, as (y, x, band)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(data)) as file:
            array = np.array(file[hdu].data)
    array = array.astype(array.dtype.newbyteorder("="))
    return array[:, :, np.newaxis] if array.ndim == 2 else np.moveaxis(array, 0, -1)


def opened(data: bytes, hdu: int | str | None = None) -> FitsReader:
    return open_fits(MemorySource("memory:test.fits", data), hdu=hdu)


def full(reader: FitsReader) -> Pixels:
    return reader.read(0, Window.full(reader.info.size))
