import struct
from collections.abc import Callable, Sequence

import blosc2
import imagecodecs
import numpy as np
import pytest

from ziggurat.codec.blosc2 import GROK, HTJ2K_PLUGIN, JPEG2K, chunk_of
from ziggurat.errors import CorruptImage, FormatError, UnsupportedFeature, ZigguratError
from ziggurat.format.blosc2 import open_reader
from ziggurat.format.blosc2.axes import arrange
from ziggurat.format.blosc2.frame import Frame, frame_header, frame_trailer, text_layer
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, Samples
from ziggurat.testing.reader_contract import Case, ReaderContract
from ziggurat.testing.sources import BytesSource, CountingSource

RNG = np.random.default_rng(7)
Y, X = np.mgrid[:90, :110]
IMAGE = np.stack([2 * Y, 2 * X, (Y * X) % 251], axis=-1).astype(np.uint8)
WORDS = (IMAGE[:, :, 0].astype(np.uint16) * 250 + RNG.integers(0, 9, (90, 110))).astype(np.uint16)
NOISE = RNG.integers(0, 256, (90, 110, 3), dtype=np.uint8)
FULL = Window.full(Size(90, 110))

type Make = Callable[[], Case]


def frame_of(
    array: Samples,
    chunk: Sequence[int],
    block: Sequence[int],
    codec: blosc2.Codec = blosc2.Codec.ZSTD,
    *,
    filters: Sequence[blosc2.Filter] = (blosc2.Filter.SHUFFLE,),
) -> bytes:
    """A file as python-blosc2 writes it."""
    parameters = {"codec": codec, "filters": list(filters), "nthreads": 2}
    made = blosc2.asarray(array, chunks=tuple(chunk), blocks=tuple(block), cparams=parameters)
    return bytes(made.to_cframe())


def seen(array: Samples) -> Samples:
    """The pixels as ``read`` returns them."""
    pixels = array if array.ndim == 3 else array[:, :, np.newaxis]
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("=")))


def written(array: Samples, chunk: Sequence[int], block: Sequence[int], *rest: object, **more: object) -> Make:
    return lambda: Case(frame_of(array, chunk, block, *rest, **more), (seen(array),))  # type: ignore[arg-type]


def codestreams(codec: int, encode: Callable[[Samples], bytes], array: Samples = IMAGE) -> bytes:
    """A frame of one chunk of one block, made by hand."""
    packed = chunk_of([encode(array)], typesize=array.dtype.itemsize, blocksize=array.nbytes, codec=codec)
    return framed(packed, array.shape, array.dtype, codec)


def framed(
    packed: bytes,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    codec: int = 5,
    *,
    offset: int = 0,
    notes: bytes = b"{}",
) -> bytes:
    frame = Frame(0, len(packed), shape, shape, shape, dtype, {})
    layers = {b"ziggurat": text_layer(notes)}
    index = imagecodecs.blosc2_encode(np.array([[offset]], "<i8"), 1, compressor="zstd")
    body = packed + bytes(index) + frame_trailer()
    start = len(frame_header(frame, layers, codec=codec, length=0))
    return frame_header(frame, layers, codec=codec, length=start + len(body)) + body


def jp2(pixels: Samples) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(pixels), codecformat="jp2", reversible=True))


def htj2k(pixels: Samples) -> bytes:
    return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))


def partly_zero() -> Case:
    array = np.zeros((90, 110), np.uint16)
    array[:40, :50] = WORDS[:40, :50]
    return Case(frame_of(array, (40, 50), (20, 25)), (seen(array),))


class TestContract(ReaderContract):
    format = "b2nd"
    open_reader = staticmethod(open_reader)
    cases = {  # noqa: RUF012 - read only
        "zstd, bands last": written(IMAGE, (50, 60, 3), (20, 25, 3)),
        "words, lz4 and bitshuffle": written(
            WORDS, (64, 64), (32, 32), blosc2.Codec.LZ4, filters=[blosc2.Filter.BITSHUFFLE]
        ),
        "floats, delta": written(
            WORDS.astype("<f4"), (64, 64), (32, 32), blosc2.Codec.BLOSCLZ, filters=[blosc2.Filter.DELTA]
        ),
        "incompressible": written(NOISE, (45, 110, 3), (15, 55, 3)),
        "chunks of nothing but zeros": partly_zero,
        "JPEG 2000": lambda: Case(codestreams(JPEG2K, jp2), (IMAGE,)),
    }


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", ">i4", "<u8", "<f4", ">f8"])
def test_samples_of_every_type_come_in_this_machine_s_order(dtype: str) -> None:
    array = np.arange(90 * 110).reshape(90, 110).astype(dtype)
    reader = open_reader(BytesSource(frame_of(array, (50, 60), (20, 25))))
    pixels = reader.read(0, FULL)
    assert pixels.dtype == np.dtype(reader.info.dtype)
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels[:, :, 0], array)


@pytest.mark.parametrize("codec", [blosc2.Codec.BLOSCLZ, blosc2.Codec.LZ4HC, blosc2.Codec.ZLIB])
@pytest.mark.parametrize("chosen", [blosc2.Filter.BYTEDELTA, blosc2.Filter.NOFILTER])
def test_codecs_and_filters_of_blosc2_are_read(codec: blosc2.Codec, chosen: blosc2.Filter) -> None:
    data = frame_of(IMAGE, (50, 60, 3), (20, 25, 3), codec, filters=[chosen])
    np.testing.assert_array_equal(open_reader(BytesSource(data)).read(0, FULL), IMAGE)


def test_whole_chunks_of_one_value_are_read() -> None:
    seven = blosc2.full((90, 110), 7, dtype="u2", chunks=(50, 60), blocks=(20, 25)).to_cframe()
    assert (open_reader(BytesSource(seven)).read(0, FULL) == 7).all()
    nans = blosc2.nans((90, 110), dtype="f4", chunks=(50, 60), blocks=(20, 25)).to_cframe()
    assert np.isnan(open_reader(BytesSource(nans)).read(0, FULL)).all()


@pytest.mark.parametrize(
    ("shape", "size", "bands", "space"),
    [
        ((90, 110), (90, 110), 1, ColourSpace.GREY),
        ((90, 110, 3), (90, 110), 3, ColourSpace.RGB),
        ((90, 110, 7), (90, 110), 7, ColourSpace.UNKNOWN),
        ((5, 90, 110), (90, 110), 5, ColourSpace.UNKNOWN),
        ((2, 5, 90, 110), (90, 110), 5, ColourSpace.UNKNOWN),
        ((4, 90, 110, 3), (90, 110), 3, ColourSpace.RGB),
        ((1, 90, 110), (90, 110), 1, ColourSpace.GREY),
    ],
)
def test_axes_are_guessed_where_the_file_does_not_name_them(
    shape: tuple[int, ...], size: tuple[int, int], bands: int, space: ColourSpace
) -> None:
    array = RNG.integers(0, 255, shape, dtype=np.uint8)
    chunk = tuple(min(side, 40) for side in shape)
    reader = open_reader(BytesSource(frame_of(array, chunk, tuple(min(side, 16) for side in chunk))))
    info = reader.info
    assert (tuple(info.size), info.bands, info.colour_space) == (size, bands, space)
    axes = arrange(shape)
    plane = array.transpose(axes.order).reshape(-1, *size, bands)[0]
    np.testing.assert_array_equal(reader.read(0, Window.full(info.size)), plane)


def test_a_row_of_samples_is_no_picture() -> None:
    with pytest.raises(UnsupportedFeature, match="no rows and columns"):
        open_reader(BytesSource(frame_of(np.arange(9, dtype="u1"), (9,), (9,))))


@pytest.mark.parametrize(("codec", "encode"), [(GROK, jp2), (HTJ2K_PLUGIN, htj2k)])
def test_blocks_of_the_plugins_are_read_without_them(codec: int, encode: Callable[[Samples], bytes]) -> None:
    for array in (IMAGE, WORDS):
        reader = open_reader(BytesSource(codestreams(codec, encode, array)))
        np.testing.assert_array_equal(reader.read(0, FULL), seen(array))


def test_the_grok_plugin_s_swapped_height_and_width_are_undone() -> None:
    # It hands the samples of (90, 110) over as 110 rows of 90.
    data = codestreams(GROK, lambda pixels: jp2(pixels.reshape(110, 90, 3)))
    np.testing.assert_array_equal(open_reader(BytesSource(data)).read(0, FULL), IMAGE)


def test_a_window_reads_the_blocks_that_it_touches() -> None:
    array = RNG.integers(0, 255, (1024, 1024), dtype=np.uint8)
    source = CountingSource(BytesSource(frame_of(array, (512, 512), (128, 128), filters=[blosc2.Filter.NOFILTER])))
    reader = open_reader(source)
    opened = source.bytes_read
    window = Window(100, 100, 140, 120)
    np.testing.assert_array_equal(reader.read(0, window)[:, :, 0], array[window.slices()])
    assert source.bytes_read - opened < 3 * 128 * 128
    assert reader.info.levels[0].tile == (128, 128)


def test_a_dictionary_of_blosc2_is_used() -> None:
    array = np.tile(RNG.integers(0, 255, (8, 8), dtype=np.uint8), (64, 64))
    made = blosc2.asarray(
        array, chunks=(512, 512), blocks=(32, 32), cparams={"codec": blosc2.Codec.ZSTD, "use_dict": True}
    )
    reader = open_reader(BytesSource(bytes(made.to_cframe())))
    np.testing.assert_array_equal(reader.read(0, Window.full(reader.info.size))[:, :, 0], array)


def test_a_codec_that_is_not_here_is_named() -> None:
    array = blosc2.asarray(
        WORDS.astype("f4"),
        chunks=(90, 110),
        blocks=(45, 55),
        cparams={"codec": blosc2.Codec.ZFP_RATE, "codec_meta": 30, "filters": [blosc2.Filter.NOFILTER]},
    )
    reader = open_reader(BytesSource(bytes(array.to_cframe())))
    with pytest.raises(UnsupportedFeature, match=r"codec 35 \(ZFP\)"):
        reader.read(0, FULL)


def test_bytes_without_a_shape_are_refused() -> None:
    chunk = blosc2.SChunk(data=bytes(5000), contiguous=True).to_cframe()
    with pytest.raises(UnsupportedFeature, match="no array"):
        open_reader(BytesSource(bytes(chunk)))


def replaced(data: bytes, at: int, form: str, value: int) -> bytes:
    patched = bytearray(data)
    struct.pack_into(form, patched, at, value)
    return bytes(patched)


PLAIN = frame_of(IMAGE, (50, 60, 3), (20, 25, 3))
SHAPE = PLAIN.index(b"\x97\x00\x03\x93") + 5
CHUNK = SHAPE + 3 * 9
START = struct.unpack_from(">i", PLAIN, 11)[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (replaced(PLAIN, 11, ">i", 1 << 30), "1073741824 of"),
        (replaced(PLAIN, 39, ">q", 1 << 40), "bytes of chunks"),
        (replaced(PLAIN, SHAPE, ">q", 1 << 50), "more than"),
        (replaced(PLAIN, SHAPE, ">q", -5), "for 3 axes"),
        (replaced(PLAIN, SHAPE, ">q", 5000), "bytes of offsets for"),
        (replaced(PLAIN, CHUNK + 1, ">i", 1 << 30), "larger than Blosc2 allows"),
        (replaced(PLAIN, CHUNK + 1, ">i", 3), "larger than their chunks"),
        (replaced(PLAIN, START + 12, "<i", 1 << 30), "leave the frame"),
        (replaced(PLAIN, START + 8, "<i", 1), "in blocks of 1"),
        (replaced(PLAIN, START + 32, "<i", 1 << 30), "outside its chunk"),
        (framed(bytes(64), (8, 8), np.dtype("u1"), offset=1 << 40), "outside the 64 bytes"),
        (framed(bytes(64), (8, 8), np.dtype("u1"), offset=-1), "not known"),
        (framed(b"", (8, 8), np.dtype("u1"), notes=b'{"alpha": "straight"}'), "single band"),
        (framed(b"", (8, 8), np.dtype("u1"), notes=b'{"bit_depth": 9}'), "9 bits"),
        (framed(b"", (8, 8), np.dtype("u1"), notes=b"[" * 100_000), "metalayer ziggurat"),
        (codestreams(GROK, lambda _: jp2(NOISE[:8])), "declares 2640 samples"),
        (codestreams(GROK, lambda _: b"\xff\x4f\xff\x51"), "ends inside the main header"),
        (codestreams(GROK, lambda _: jp2(NOISE)[:9000]), "decode|truncated|ends"),
    ],
)
def test_what_a_header_cannot_mean_is_refused_with_its_place(data: bytes, message: str) -> None:
    source = BytesSource(data)
    with pytest.raises(FormatError, match=message) as caught:
        open_reader(source).read(0, Window(0, 0, 8, 8))
    assert str(caught.value).startswith(source.url)


def test_a_nested_header_does_not_exhaust_the_stack() -> None:
    nested = bytearray(PLAIN[:87]) + b"\x91" * (len(PLAIN) - 87)
    with pytest.raises(CorruptImage, match="nested"):
        open_reader(BytesSource(bytes(nested)))


def test_no_damaged_codestream_raises_a_foreign_error() -> None:
    data = codestreams(JPEG2K, htj2k)
    for number in range(80):
        rng = np.random.default_rng(number)
        damaged = bytearray(data)
        for at in rng.integers(START, len(data), 3):
            damaged[at] ^= int(rng.integers(1, 256))
        try:
            open_reader(BytesSource(bytes(damaged))).read(0, FULL)
        except ZigguratError:
            continue
