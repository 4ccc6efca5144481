import io
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from ziggurat.errors import CorruptImage, FormatError, UnsupportedFeature, ZigguratError
from ziggurat.format.exif import build_exif, read_exif
from ziggurat.format.tiff import TiffReader, open_reader
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace, Resolution
from ziggurat.storage.local import LocalSource
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.ranges import ByteRange

type Pixels = np.ndarray[Any, np.dtype[Any]]

FOLDERS = ("tiff", "cantaloupe", "scikit-image")
SUFFIXES = {".tif", ".tiff", ".svs"}
IPTC = b"\x1c\x02\x00\x00\x02\x00\x02"
BEYOND = {"unopenable.tiff": UnsupportedFeature, "unreadable.svs": CorruptImage}


class Counting(MemorySource):
    """Notes what is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__("memory:counting", data)
        self.ranges: list[ByteRange] = []
        self.calls = 0

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        self.calls += 1
        self.ranges += ranges
        return super().read_ranges(ranges)


def tiff(array: Pixels, **options: Any) -> bytes:
    """Bytes of a TIFF with this array."""
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if array.ndim == 3 and array.shape[-1] == 3 else "minisblack")
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def opened(data: bytes) -> TiffReader:
    return open_reader(MemorySource("memory:test.tif", data))


def full(reader: TiffReader, level: int = 0) -> Pixels:
    return reader.read(level, Window.full(reader.info.levels[level].shape))


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def with_tag(
    data: bytes, code: int, value: int | None = None, *, count: int | None = None, kind: int | None = None
) -> bytes:
    """The file with a tag of its first directory (classic, little-endian) changed in place."""
    data = bytearray(data)
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] == code:
            if kind is not None:
                struct.pack_into("<H", data, entry + 2, kind)
            if count is not None:
                struct.pack_into("<I", data, entry + 4, count)
            if value is not None:
                struct.pack_into("<I", data, entry + 8, value)
            return bytes(data)
    raise AssertionError(f"no tag {code}")


def corpus(folder: Path) -> list[Path]:
    return sorted(path for name in FOLDERS for path in (folder / name).rglob("*") if path.suffix in SUFFIXES)


def test_the_corpus_reads_as_tifffile_decodes_it(shared_data: Path) -> None:
    rng = random.Random(1)
    verdicts = Counter()
    for path in corpus(shared_data):
        if path.name in BEYOND:
            with pytest.raises(BEYOND[path.name]):
                full(open_reader(LocalSource(path)))
            continue
        reader = open_reader(LocalSource(path))
        with tifffile.TiffFile(path) as tif:
            for number, level in enumerate(reader.info.levels):
                if level.shape.pixels > 20_000_000:
                    continue
                page = tif.series[0].levels[number].pages[0]
                expected = page.asarray()
                if page.keyframe.planarconfig == 2 and expected.ndim == 3:
                    expected = np.moveaxis(expected, 0, -1)
                expected = expected.reshape(*level.shape, -1)
                for _ in range(3):
                    y0, x0 = (rng.randrange(side) for side in level.shape)
                    y1, x1 = rng.randint(y0 + 1, level.shape.height), rng.randint(x0 + 1, level.shape.width)
                    window = reader.read(number, Window(y0, x0, y1, x1))
                    assert np.array_equal(window, expected[y0:y1, x0:x1]), path
                whole = full(reader, number)
                assert whole.dtype == reader.info.dtype
                assert np.array_equal(whole, expected), path
        verdicts["read"] += 1
    assert verdicts["read"] > 30


@pytest.mark.parametrize("flavour", ["classic", "big"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 7}, {}])
@pytest.mark.parametrize(
    "packing",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "packbits"},
        {"compression": "zstd", "predictor": True},
    ],
)
def test_every_layout_reads_back_exactly(
    flavour: str, order: str, layout: dict[str, Any], packing: dict[str, Any]
) -> None:
    array = noise(61, 83, 3, dtype=np.uint16)
    reader = opened(tiff(array, bigtiff=flavour == "big", byteorder=order, **layout, **packing))
    assert reader.info.details["tiff"]["big"] is (flavour == "big")
    assert np.array_equal(full(reader), array)
    assert np.array_equal(reader.read(0, Window(10, 20, 45, 70)), array[10:45, 20:70])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "u8"])
def test_every_sample_type_reads_back_exactly(dtype: str) -> None:
    array = noise(20, 30, dtype=dtype)
    reader = opened(tiff(array, rowsperstrip=6, compression="zlib"))
    assert reader.info.kind == {"u": "unsigned", "i": "signed", "f": "float"}[dtype[0]]
    assert reader.info.bit_depth == int(dtype[1]) * 8
    assert np.array_equal(full(reader)[..., 0], array)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_window_is_the_slice_of_the_whole(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    array = noise(height, width, 3)
    strips = {"rowsperstrip": data.draw(st.integers(1, height))}
    layout = data.draw(st.sampled_from([{"tile": (16, 32)}, strips]))
    packing = data.draw(st.sampled_from([{}, {"compression": "zlib"}]))
    planar = data.draw(st.booleans())
    stored = np.moveaxis(array, -1, 0) if planar else array
    reader = opened(
        tiff(stored, photometric="rgb", planarconfig="separate" if planar else "contig", **layout, **packing)
    )
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    assert np.array_equal(reader.read(0, Window(y0, x0, y1, x1)), array[y0:y1, x0:x1])


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_packed_bits_are_unpacked_to_their_values(bits: int) -> None:
    dtype = np.uint8 if bits < 9 else np.uint16
    array = noise(21, 37, dtype=np.uint16) % (1 << bits)
    stored = array.astype(bool) if bits == 1 else array.astype(dtype)
    options = {} if bits == 1 else {"bitspersample": bits}
    reader = opened(tiff(stored, rowsperstrip=5, **options))
    assert reader.info.bit_depth == bits
    assert reader.info.dtype == np.dtype(dtype).name
    assert np.array_equal(full(reader)[..., 0], array)


def test_only_the_wanted_rows_of_one_huge_strip_are_fetched() -> None:
    array = noise(1000, 500, 3)
    source = Counting(tiff(array))
    reader = open_reader(source)
    source.ranges, source.calls = [], 0
    assert np.array_equal(reader.read(0, Window(400, 10, 410, 20)), array[400:410, 10:20])
    assert sum(item.length for item in source.ranges) == 10 * 500 * 3
    assert source.calls == 1


def test_one_batch_fetches_only_the_tiles_that_a_window_touches() -> None:
    array = noise(256, 256)
    data = tiff(array, tile=(64, 64), compression="zlib")
    source = Counting(data)
    reader = open_reader(source)
    source.ranges, source.calls = [], 0
    reader.read(0, Window(60, 60, 70, 100))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        places = [tif.pages[0].dataoffsets[index] for index in (0, 1, 4, 5)]
    assert sorted(item.start for item in source.ranges) == sorted(places)
    assert source.calls == 1


@pytest.mark.parametrize("place", ["pages", "subifds"])
def test_reduced_pages_and_subifds_are_levels(place: str) -> None:
    sizes = [(513, 301), (257, 151), (129, 76), (65, 38)]
    arrays = [noise(*size, 3, seed=number) for number, size in enumerate(sizes)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file, kind="generic") as writer:
        options = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", "metadata": None}
        writer.write(arrays[0], subifds=3 if place == "subifds" else None, **options)
        for array in arrays[1:]:
            writer.write(array, subfiletype=1, **options)
    reader = opened(file.getvalue())
    assert [level.shape for level in reader.info.levels] == sizes
    assert all(level.tile <= Size(64, 64) for level in reader.info.levels)
    for number, array in enumerate(arrays):
        assert np.array_equal(full(reader, number), array)


def test_a_small_page_of_another_shape_is_no_level() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, kind="generic") as writer:
        writer.write(noise(256, 256, 3), photometric="rgb", metadata=None)
        writer.write(noise(50, 120, 3), photometric="rgb", subfiletype=1, metadata=None)
    assert len(opened(file.getvalue()).info.levels) == 1


def test_a_stack_gives_its_first_page_and_counts_the_rest() -> None:
    array = noise(5, 20, 30)
    reader = opened(tiff(array))
    assert reader.info.details["tiff"]["pages"] == 5
    assert np.array_equal(full(reader)[..., 0], array[0])


def test_channel_pages_of_ome_tiff_are_bands() -> None:
    array = noise(2, 3, 20, 30)
    file = io.BytesIO()
    tifffile.imwrite(file, array, ome=True, photometric="minisblack", metadata={"axes": "ZCYX"})
    reader = opened(file.getvalue())
    assert reader.info.bands == 3
    assert np.array_equal(full(reader), np.moveaxis(array[0], 0, -1))


def test_ome_xml_that_counts_more_planes_than_there_are_does_not_exhaust_memory() -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" SizeZ="999999999" SizeC="1" SizeT="1">'
        '<TiffData PlaneCount="999999999"/></Pixels></Image></OME>'
    )
    array = noise(20, 30)
    reader = opened(tiff(array, description=xml))
    assert np.array_equal(full(reader)[..., 0], array)


def test_a_palette_becomes_rgb() -> None:
    colours = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
    indexes = noise(20, 30)
    reader = opened(tiff(indexes, photometric="palette", colormap=colours))
    assert (reader.info.bands, reader.info.dtype, reader.info.bit_depth) == (3, "uint16", 16)
    assert reader.info.colour_space is ColourSpace.RGB
    assert np.array_equal(full(reader), colours.T[indexes])
    narrow = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, axis=0)
    reader = opened(tiff(indexes, photometric="palette", colormap=narrow))
    assert reader.info.dtype == "uint8"
    assert np.array_equal(full(reader), np.repeat(indexes[..., None], 3, axis=2))


def test_white_is_zero_is_said_and_not_undone() -> None:
    array = noise(20, 30)
    reader = opened(tiff(array, photometric="miniswhite"))
    assert reader.info.colour_space is ColourSpace.GREY_INVERTED
    assert np.array_equal(full(reader)[..., 0], array)


def test_jpeg_ycbcr_becomes_rgb() -> None:
    y, x = np.mgrid[:96, :128]
    array = np.stack([y * 2, x, (x + y) // 2], axis=-1).astype(np.uint8)
    reader = opened(tiff(array, tile=(32, 32), compression="jpeg", compressionargs={"level": 97}))
    assert reader.info.colour_space is ColourSpace.RGB
    assert np.abs(full(reader).astype(int) - array).mean() < 3


def test_plain_ycbcr_becomes_rgb() -> None:
    ycbcr = np.zeros((16, 16, 3), np.uint8)
    ycbcr[:] = (76, 85, 255)  # BT.601's red
    reader = opened(tiff(ycbcr, photometric="ycbcr", compression="zlib"))
    assert np.abs(full(reader).astype(int) - (255, 0, 0)).max() <= 2


def test_signed_lab_is_offset() -> None:
    lab = np.zeros((16, 16, 3), np.uint8)
    lab[:] = (200, 246, 10)  # a = -10, b = 10
    reader = opened(tiff(lab, photometric="cielab"))
    assert reader.info.colour_space is ColourSpace.LAB
    assert full(reader)[0, 0].tolist() == [200, 118, 138]


@pytest.mark.parametrize(("kind", "alpha"), [(0, None), (1, "premultiplied"), (2, "straight")])
def test_alpha_is_what_extra_samples_say(kind: int, alpha: str | None) -> None:
    info = opened(tiff(noise(8, 8, 4), photometric="rgb", extrasamples=[kind])).info
    assert (info.alpha, info.bands, info.colour_space) == (alpha, 4, ColourSpace.RGB)


def test_metadata_resolution_and_orientation_are_read() -> None:
    blocks = [(700, 1, 5, b"<xmp>", True), (33723, 7, len(IPTC), IPTC, True), (274, 3, 1, 6, True)]
    data = tiff(
        noise(8, 8),
        extratags=[*blocks, (315, 2, 0, "Ann Author", True)],
        iccprofile=b"profile!",
        resolution=(300, 150),
        resolutionunit="inch",
        software="Press",
    )
    info = opened(data).info
    assert info.orientation == 6
    assert info.icc == b"profile!"
    assert info.resolution == Resolution(y=pytest.approx(150 / 0.0254), x=pytest.approx(300 / 0.0254))
    assert (info.metadata.xmp, info.metadata.iptc) == (b"<xmp>", IPTC)
    exif = read_exif(info.metadata.exif)
    assert (exif[315], exif[305], exif[274]) == ("Ann Author", "Press", 6)


def test_the_exif_directory_is_carried_over() -> None:
    exif = build_exif({271: "Maker"}, {33434: (1, 250), 36867: "2020:01:02 03:04:05"})
    file = io.BytesIO()
    PillowImage.fromarray(noise(8, 8)).save(file, "TIFF", exif=exif)
    block = opened(file.getvalue()).info.metadata.exif
    assert block is not None
    assert read_exif(block)[271] == "Maker"
    loaded = PillowImage.Exif()
    loaded.load(block)
    assert loaded.get_ifd(0x8769)[33434] == pytest.approx(1 / 250)
    assert loaded.get_ifd(0x8769)[36867] == "2020:01:02 03:04:05"


def test_tiles_that_are_not_stored_are_filled() -> None:
    array = np.zeros((64, 64), np.uint8)
    array[:32] = 7

    def tiles() -> Iterator[Pixels | None]:
        yield from (array[:32, :32], array[:32, 32:], None, None)

    file = io.BytesIO()
    tifffile.imwrite(file, tiles(), shape=(64, 64), dtype=np.uint8, tile=(32, 32), metadata=None)
    assert np.array_equal(full(opened(file.getvalue()))[..., 0], array)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "jpeg", None])
def test_a_shortened_strip_is_never_silently_zero(compression: str | None) -> None:
    array = noise(64, 64)
    data = tiff(array, rowsperstrip=64, compression=compression)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        count = tif.pages[0].databytecounts[0]
    reader = opened(with_tag(data, 279, count // 2))
    with pytest.raises(CorruptImage, match="strip 0"):
        full(reader)


@pytest.mark.parametrize("compression", ["zlib", None])
def test_pixels_behind_the_end_of_the_file_are_named(compression: str | None) -> None:
    data = tiff(noise(64, 64), rowsperstrip=16, compression=compression)
    reader = opened(data[:-10])
    assert reader.read(0, Window(0, 0, 16, 64)).shape == (16, 64, 1)
    with pytest.raises(
        CorruptImage, match=r"memory:test.tif: level 0: strip 3 at offset \d+ needs .*truncated|outside|ends"
    ):
        full(reader)


def test_a_jpeg_that_declares_a_huge_size_is_not_decoded() -> None:
    stream = bytearray(imagecodecs.jpeg8_encode(noise(64, 64)))
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    file = io.BytesIO()
    shape = {"shape": (64, 64), "dtype": np.uint8, "tile": (64, 64)}
    tifffile.imwrite(file, iter([bytes(stream)]), compression="jpeg", metadata=None, **shape)
    with pytest.raises(CorruptImage, match="declares 65535 x 65535"):
        full(opened(file.getvalue()))


def loop(data: bytes) -> bytes:
    """The file with its directory following itself."""
    data = bytearray(data)
    at = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], at)
    return bytes(data)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (loop, "loop"),
        (lambda data: data[:6], "no TIFF header"),
        (lambda data: data[:60], "truncated"),
        (lambda data: data[:4] + struct.pack("<I", 1 << 31) + data[8:], "truncated"),
        (lambda data: data[:4] + bytes(4) + data[8:], "no image"),
        (lambda data: with_tag(data, 322, 0), "make no image"),
        (lambda data: with_tag(data, 256, 0), "make no image"),
        (lambda data: with_tag(data, 324, count=1 << 30), "outside the file"),
        (lambda data: with_tag(data, 324, 1 << 30), "outside the file"),
        (lambda data: with_tag(data, 258, count=1 << 28), "outside the file"),
    ],
)
def test_hostile_directories_are_refused_with_their_reason(damage: Callable[[bytes], bytes], says: str) -> None:
    data = tiff(noise(200, 200), tile=(64, 64), compression="zlib")
    with pytest.raises(CorruptImage, match=says):
        opened(damage(data))


def test_overlapping_directories_do_not_take_forever() -> None:
    # Every directory has 4,095 tags, which overlap those of the next one, 16 bytes further on.
    entry = struct.pack("<HHI4s", 0x0FFF, 3, 1, b"\xff\x0f\x00\x00")
    data = bytearray(b"II*\0\x08\0\0\0" + entry * 40_000)
    for at in range(8, 8 + 300 * 16, 16):
        struct.pack_into("<H", data, at, 4095)
        struct.pack_into("<I", data, at + 2 + 12 * 4095, at + 16)
    with pytest.raises(FormatError):
        opened(bytes(data))


def test_an_unknown_compression_is_named() -> None:
    with pytest.raises(UnsupportedFeature, match="compression 60000"):
        opened(with_tag(tiff(noise(8, 8), rowsperstrip=2, compression="zlib"), 259, 60000))


def test_cost_covers_what_reading_holds() -> None:
    reader = opened(tiff(noise(512, 512, 3), tile=(128, 128), compression="zlib"))
    whole = reader.read_cost(0, Window(0, 0, 512, 512))
    assert whole >= 512 * 512 * 3 + 128 * 128 * 3
    assert reader.read_cost(0, Window(0, 0, 10, 10)) < whole // 4


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=600, deadline=None)
def test_mutated_files_raise_only_our_errors(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(rng.choice(SEEDS))
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    for _ in range(rng.choice((1, 2, 5, 20))):
        if data:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    try:
        reader = opened(bytes(data))
        window = Window.full(Size(*(min(side, 100) for side in reader.info.size)))
        if reader.read_cost(0, window) < 50_000_000:
            pixels = reader.read(0, window)
            assert pixels.shape == (*window.size, reader.info.bands)
            assert pixels.dtype == reader.info.dtype
    except ZigguratError as error:
        assert "memory:test.tif" in str(error)  # noqa: PT017 - most mutants are read, the rest say which file


SEEDS = [
    tiff(noise(40, 40, 3), tile=(16, 16), compression="zlib", predictor=True),
    tiff(noise(40, 40, 3), rowsperstrip=16, compression="lzw", bigtiff=True),
    tiff(noise(40, 40, 3), tile=(16, 16), compression="jpeg", byteorder=">"),
    tiff(noise(40, 40, dtype=np.uint16), rowsperstrip=9),
    tiff(noise(40, 40), photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
]


def test_the_module_is_where_the_table_looks(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(noise(8, 8)))
    assert open_reader(LocalSource(path)).info.format == "tiff"
