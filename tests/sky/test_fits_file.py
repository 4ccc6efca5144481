"""The files that are written are what astropy takes for whole, to the checksum."""

import io
import warnings

import numpy as np
import pytest
from astropy.io import fits

from ziggurat.sky.fits_file import Unit, card, fits_file


@pytest.mark.parametrize("seed", range(40))
def test_checksums_hold_whatever_the_pixels_and_the_header(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = []
    for number in range(rng.integers(1, 4)):
        size = tuple(rng.integers(1, 60, 2))
        data = rng.normal(0, 10.0 ** rng.integers(-3, 9), size).astype(rng.choice(["f4", "f8"]))
        cards = b"".join(card(f"KEY{n}", float(rng.normal())) for n in range(rng.integers(0, 50)))
        units.append(Unit(f"part {number}" if number else "", cards, data))
    if seed % 3 == 0:
        units.insert(0, Unit("", b"", None))
    data = fits_file(units)
    assert len(data) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(data), checksum=True) as file:
            file.verify("exception")
            assert len(file) == len(units)
            for hdu, unit in zip(file, units, strict=True):
                assert {"CHECKSUM", "DATASUM"} <= set(hdu.header)
                if unit.data is None:
                    assert hdu.data is None
                else:
                    np.testing.assert_array_equal(hdu.data, unit.data)


def test_long_texts_go_on_in_further_cards() -> None:
    data = fits_file([Unit("", card("FROM", "x" * 300), np.zeros((2, 2), "f4"))])
    with fits.open(io.BytesIO(data), checksum=True) as file:
        assert file[0].header["FROM"] == "x" * 300
