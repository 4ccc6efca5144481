import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_files import DTYPES, Pixels, altered, full, image, noise, opened, packed, plain, reference, unit, written
from ziggurat.errors import CorruptImage, FormatError, OutOfMemory, UnsupportedFeature, UsageError
from ziggurat.format.fits import list_hdus, open_fits, open_reader
from ziggurat.geometry import Window
from ziggurat.image import open_image
from ziggurat.model import ColourSpace
from ziggurat.storage.local import LocalSource
from ziggurat.storage.memory import MemorySource
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource


def case(data: bytes, hdu: int = 0) -> Case:
    return Case(data, (reference(data, hdu),))


class TestContract(ReaderContract):
    format = "fits"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - as the contract declares it
        "uint8": lambda: case(plain(noise(170, 84, dtype="u1"))),
        "int16": lambda: case(plain(noise(120, 97))),
        "uint16": lambda: case(plain(noise(120, 97).astype("u2"))),
        "float32": lambda: case(plain(noise(90, 61, dtype="f4"))),
        "cube": lambda: case(plain(noise(5, 60, 40, dtype="f4"))),
        "wide": lambda: case(plain(noise(6, 9000, dtype="i4"))),
        "rice": lambda: case(packed(noise(211, 170), "RICE_1", (64, 50)), 1),
        "gzip": lambda: case(packed(noise(150, 99, dtype="i4"), "GZIP_2"), 1),
        "hcompress": lambda: case(packed(noise(128, 131), "HCOMPRESS_1", (40, 48)), 1),
        "quantised": lambda: case(packed(noise(200, 190, dtype="f4"), "RICE_1", (33, 64), dither_seed=7), 1),
        "plio": lambda: case(packed(noise(200, 160).astype("i4").clip(0), "PLIO_1", (40, 40)), 1),
    }


def test_every_shared_file_reads_as_astropy_reads_it(shared_data: Path) -> None:
    files = sorted([*(shared_data / "astropy-data").rglob("*.fits"), *(shared_data / "astropy-wheel").rglob("*.fits")])
    rng = np.random.default_rng(1)
    for path in files:
        reader = open_reader(LocalSource(path))
        expected = reference(path.read_bytes(), reader.info.details["fits"]["hdu"])
        pixels = full(reader)
        assert pixels.dtype == expected.dtype == reader.info.dtype, path
        np.testing.assert_array_equal(pixels, expected, err_msg=str(path))
        for _ in range(5):
            y0, x0 = (int(rng.integers(side)) for side in reader.info.size)
            y1 = int(rng.integers(y0 + 1, reader.info.size.height + 1))
            x1 = int(rng.integers(x0 + 1, reader.info.size.width + 1))
            np.testing.assert_array_equal(reader.read(0, Window(y0, x0, y1, x1)), expected[y0:y1, x0:x1])
    if not files:
        pytest.skip("the shared images hold no FITS files")


@pytest.mark.parametrize("bitpix", DTYPES)
def test_every_sample_type_keeps_its_values_in_native_order(bitpix: int) -> None:
    array = noise(31, 47, dtype=DTYPES[bitpix])
    reader = opened(plain(array))
    assert np.array_equal(full(reader)[..., 0], array)
    assert full(reader).dtype.isnative
    assert reader.info.dtype == np.dtype(DTYPES[bitpix]).name
    assert reader.info.bit_depth == abs(bitpix)
    assert reader.info.kind == {8: "unsigned"}.get(bitpix, "float" if bitpix < 0 else "signed")
    assert reader.info.colour_space is ColourSpace.GREY


@pytest.mark.parametrize(("bitpix", "zero", "dtype"), [
    (8, -128, "int8"), (16, 2**15, "uint16"), (32, 2**31, "uint32"), (64, 2**63, "uint64"),
])  # fmt: skip
def test_offset_of_half_the_range_gives_the_other_signedness_exactly(bitpix: int, zero: int, dtype: str) -> None:
    limits = np.iinfo(DTYPES[bitpix])
    stored = np.array([[limits.min, limits.max, 0, 1, limits.max // 2]], DTYPES[bitpix])
    reader = opened(image(np.repeat(stored, 3, axis=0), bitpix, BSCALE=1, BZERO=zero))
    expected = np.array([int(value) + zero for value in stored[0]], dtype)
    assert reader.info.dtype == dtype
    assert np.array_equal(full(reader)[1, :, 0], expected)
    assert reader.info.details["fits"]["bzero"] == zero


@pytest.mark.parametrize(("bitpix", "dtype"), [
    (8, "float32"), (16, "float32"), (32, "float64"), (64, "float64"), (-32, "float32"), (-64, "float64"),
])  # fmt: skip
def test_scaled_samples_are_physical_values_with_blanks_as_nan(bitpix: int, dtype: str) -> None:
    stored = noise(20, 30, dtype=DTYPES[bitpix])
    stored[3, 4] = 77
    blank = {"BLANK": 77} if bitpix > 0 else {}
    data = image(stored, bitpix, BSCALE=0.25, BZERO=-3.5, **blank)
    pixels = full(opened(data))[..., 0]
    expected = (stored.astype("f8") * 0.25 - 3.5).astype(dtype)
    if bitpix > 0:
        expected[stored == 77] = np.nan
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_allclose(pixels, reference(data, 0)[..., 0], rtol=1e-6)


def test_blank_of_integers_is_reported_and_the_samples_kept() -> None:
    stored = noise(10, 12)
    stored[0, 0] = -32768
    reader = opened(image(stored, 16, BLANK=-32768))
    assert reader.info.details["fits"]["blank"] == -32768
    assert np.array_equal(full(reader)[..., 0], stored)


def test_first_image_of_two_dimensions_is_read_and_others_on_request() -> None:
    spectrum, first, second = noise(50), noise(30, 40), noise(20, 10, dtype="f4")
    table = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=np.arange(9))])
    hdus = [
        fits.PrimaryHDU(spectrum), table, fits.ImageHDU(first, name="SCI"), fits.ImageHDU(second, name="err"),
    ]  # fmt: skip
    data = written(*hdus)
    assert np.array_equal(full(opened(data))[..., 0], first)
    assert np.array_equal(full(opened(data, 3))[..., 0], second)
    assert np.array_equal(full(opened(data, "ERR"))[..., 0], second)
    listed = opened(data).info.details["fits"]
    assert [hdu["name"] for hdu in listed["hdus"]] == ["PRIMARY", "", "SCI", "ERR"]
    assert listed["hdus"][3] == {"index": 3, "name": "ERR", "kind": "image", "shape": [20, 10], "bitpix": -32}
    assert listed["hdus_complete"] is True
    with pytest.raises(UsageError, match=r"no HDU 'DQ'.*2 SCI"):
        opened(data, "DQ")
    with pytest.raises(UsageError, match="no HDU 9"):
        opened(data, 9)
    with pytest.raises(UnsupportedFeature, match="HDU 1"):
        opened(data, 1)


def test_units_after_the_chosen_one_are_listed_only_where_that_costs_nothing() -> None:
    data = written(fits.PrimaryHDU(noise(300, 300)), fits.ImageHDU(noise(5, 5), name="LATE"))
    assert opened(data).info.details["fits"]["hdus_complete"] is False
    assert [hdu["name"] for hdu in list_hdus(BytesSource(data))] == ["PRIMARY", "LATE"]


def test_planes_become_bands_and_axes_of_length_one_go() -> None:
    cube = noise(1, 6, 1, 20, 30)
    reader = opened(plain(cube))
    assert (reader.info.size, reader.info.bands) == ((20, 30), 6)
    assert reader.info.colour_space is ColourSpace.UNKNOWN
    assert np.array_equal(full(reader), np.moveaxis(cube[0, :, 0], 0, -1))
    window = Window(3, 4, 9, 20)
    assert np.array_equal(reader.read(0, window), full(reader)[window.slices()])


def test_further_axes_are_read_at_their_first_plane_and_named() -> None:
    cube = noise(3, 4, 20, 30)
    reader = opened(plain(cube, CTYPE4="STOKES"))
    assert np.array_equal(full(reader), np.moveaxis(cube[0], 0, -1))
    assert reader.info.details["fits"]["first_plane_of"] == [{"axis": 4, "length": 3, "name": "STOKES"}]


def test_of_too_many_planes_only_the_first_is_read() -> None:
    cube = noise(4097, 2, 3, dtype="u1")
    reader = opened(plain(cube))
    assert reader.info.bands == 1
    assert np.array_equal(full(reader)[..., 0], cube[0])
    assert opened(plain(cube[:4096])).info.bands == 4096


def test_image_of_one_row_keeps_both_axes() -> None:
    assert opened(plain(noise(1, 40))).info.size == (1, 40)
    assert opened(plain(noise(40, 1))).info.size == (40, 1)


@pytest.mark.parametrize(("keyword", "value"), [
    ("BITPIX", 12), ("BITPIX", "sixteen"), ("NAXIS", 1000), ("NAXIS", -1), ("NAXIS1", -5), ("NAXIS2", 1.5),
    ("NAXIS1", 10**15), ("NAXIS1", 10**30), ("NAXIS", True),
])  # fmt: skip
def test_lying_headers_are_refused_with_the_keyword_or_the_place(keyword: str, value: object) -> None:
    with pytest.raises(CorruptImage, match=r"HDU 0.*(BITPIX|NAXIS|truncated)"):
        opened(altered(plain(noise(30, 40)), keyword, value))


@pytest.mark.parametrize("cards", [{"BSCALE": "x"}, {"BZERO": "1"}, {"BSCALE": 1e300}, {"BLANK": 0.5}])
def test_scales_that_are_no_numbers_are_refused(cards: dict[str, object]) -> None:
    with pytest.raises(CorruptImage, match=next(iter(cards))):
        opened(image(noise(5, 6), 16, **cards))


def test_truncated_file_gives_the_rows_that_are_there_and_refuses_others() -> None:
    array = noise(400, 300)
    data = plain(array)[: 2880 + 300 * 2 * 100]
    reader = opened(data)
    assert np.array_equal(reader.read(0, Window(0, 0, 100, 300))[..., 0], array[:100])
    with pytest.raises(CorruptImage, match="truncated"):
        reader.read(0, Window(90, 0, 101, 300))


def test_window_beyond_all_memory_is_our_error() -> None:
    cards = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 10, "NAXIS2": 10**17}
    reader = opened(unit(cards, b"\0" * 100))
    assert reader.read_cost(0, Window(0, 0, 10**17, 10)) > 10**18
    with pytest.raises(OutOfMemory):
        reader.read(0, Window(0, 0, 10**17, 10))


def test_missing_padding_at_the_end_is_tolerated() -> None:
    array = noise(10, 10)
    assert np.array_equal(full(opened(plain(array)[: 2880 + 200]))[..., 0], array)


@pytest.mark.parametrize("data", [b"", b"SIMPLE  =", b"SIMPLE  =".ljust(5760), unit({"SIMPLE": True})])
def test_headers_without_end_or_keywords_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        opened(data)


def test_file_without_an_image_says_what_it_holds() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=np.arange(9))], name="CAT")
    with pytest.raises(UnsupportedFeature, match=r"no image.*1 CAT \(bintable\)"):
        opened(written(fits.PrimaryHDU(), table))


def test_odd_headers_do_not_warn_or_stop() -> None:
    data = plain(noise(10, 12), HISTORY="x")
    at = data.index(b"HISTORY")
    odd = b"HISTORY caf\xe9 \0\0".ljust(80) + b"BROKEN  = 'no end".ljust(80)
    data = data[:at] + odd + data[at + 160 :]
    # The second card has taken END's place; the next one is blank.
    data = data[: at + 160] + b"END".ljust(80) + data[at + 240 :]
    assert opened(data).info.size == (10, 12)


def test_long_headers_are_read_to_their_end() -> None:
    data = image(noise(10, 12), 16, **{f"K{number}": number for number in range(3000)})
    assert np.array_equal(full(opened(data))[..., 0], noise(10, 12))


def test_opened_by_the_front_door_it_has_a_thumbnail() -> None:
    with open_image(MemorySource("memory:a.fits", plain(noise(80, 60)))) as found:
        assert found.info.format == "fits"
        assert found.thumbnail(20).shape == (20, 15, 1)


def test_astropy_is_imported_only_for_fits_files() -> None:
    code = (
        "import sys, ziggurat, ziggurat.cli, ziggurat.image, ziggurat.format.table\n"
        "assert not [name for name in sys.modules if name.startswith('astropy')]\n"
        "import ziggurat.format.fits\n"
        "assert 'astropy.io.fits' in sys.modules and 'astropy.wcs' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_reader_is_safe_in_threads_that_open_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only here

    data = plain(noise(60, 50), CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CDELT1=-0.1, CDELT2=0.1)

    def work(_: int) -> Pixels:
        return full(open_fits(BytesSource(data)))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(24)))
    assert all(np.array_equal(found[0], other) for other in found)
