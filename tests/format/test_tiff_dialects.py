"""Files of scanners and of other programs, made as these make them."""

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from ziggurat.errors import CorruptImage
from ziggurat.format.tiff import TiffReader, open_reader
from ziggurat.geometry import Window
from ziggurat.testing.sources import BytesSource, CountingSource

type Pixels = np.ndarray[Any, np.dtype[Any]]

NDPI_TAGS = {"format": 65420, "magnification": 65421, "starts": 65426, "high": 65432}


def smooth(height: int, width: int) -> Pixels:
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, (x + y) * 127 // max(height, width)], -1).astype(np.uint8)


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def opened(data: bytes, url: str = "memory:a.tif") -> TiffReader:
    return open_reader(BytesSource(data, url=url))


def full(reader: TiffReader, level: int = 0) -> Pixels:
    return reader.read(level, Window.full(reader.info.levels[level].shape))


def test_aperio_levels_are_found_and_thumbnail_label_and_macro_are_not() -> None:
    levels = [smooth(1200, 1600), smooth(300, 400), smooth(75, 100)]
    about = "Aperio Image Library v11.2.1\r\n1600x1200 -> {} |AppMag = 20|MPP = 0.5"
    tiles = {"tile": (64, 64), "compression": "jpeg", "compressionargs": {"level": 95}}
    plain = {"photometric": "rgb", "metadata": None}
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(levels[0], description=about.format("full"), **tiles, **plain)
        writer.write(smooth(120, 160), description=about.format("thumbnail"), **plain)
        writer.write(levels[1], description=about.format("400x300"), **tiles, **plain)
        writer.write(levels[2], description=about.format("100x75"), **tiles, **plain)
        writer.write(smooth(50, 70), description="Aperio Image Library\r\nlabel 70x50", subfiletype=1, **plain)
        writer.write(smooth(40, 90), description="Aperio Image Library\r\nmacro 90x40", subfiletype=9, **plain)
    reader = opened(file.getvalue(), "memory:a.svs")
    assert [level.shape for level in reader.info.levels] == [array.shape[:2] for array in levels]
    assert reader.info.details["tiff"]["series"] == "svs"
    for number, array in enumerate(levels):
        assert np.abs(full(reader, number).astype(int) - array).mean() < 3


def test_the_image_of_a_leica_file_is_the_largest_not_the_overview() -> None:
    arrays = [noise(90, 200, 3), noise(512, 640, 3), noise(128, 160, 3)]
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>'
        '<image name="overview"><pixels sizeX="200" sizeY="90"><dimension sizeX="200" sizeY="90" r="0" ifd="0"/>'
        '</pixels></image><image name="main"><pixels sizeX="640" sizeY="512">'
        '<dimension sizeX="640" sizeY="512" r="0" ifd="1"/><dimension sizeX="160" sizeY="128" r="1" ifd="2"/>'
        "</pixels></image></collection></scn>"
    )

    def leica(description: str) -> bytes:
        file = io.BytesIO()
        with tifffile.TiffWriter(file, bigtiff=True) as writer:
            for number, array in enumerate(arrays):
                about = None if number else description
                writer.write(array, tile=(64, 64), photometric="rgb", metadata=None, description=about)
        return file.getvalue()

    reader = opened(leica(xml), "memory:a.scn")
    assert [level.shape for level in reader.info.levels] == [(512, 640), (128, 160)]
    assert np.array_equal(full(reader, 1), arrays[2])
    # Numbers by which a parser would allocate, and entities that grow, are not believed.
    for hostile in (xml.replace('r="0" ifd="1"', 'c="99999999" ifd="1"'), xml.replace("<scn", "<!ENTITY a 'b'><scn")):
        assert full(opened(leica(hostile))).shape == (90, 200, 3)


def ndpi(levels: list[Pixels], *, shift: int = 0) -> bytes:
    """Hamamatsu's files: one JPEG stream a level, whose restart markers divide it; 64-bit places in a classic TIFF."""
    data = bytearray(12)
    previous = 4
    for number, array in enumerate(levels):
        data += bytes(shift)
        file = io.BytesIO()
        PillowImage.fromarray(array).save(file, "JPEG", quality=95, subsampling=0, restart_marker_blocks=8)
        stream, start = file.getvalue(), len(data)
        scan = stream.index(b"\xff\xda")
        body = scan + 2 + struct.unpack_from(">H", stream, scan + 2)[0]
        markers = [at for at in range(body, len(stream) - 1) if stream[at] == 0xFF and 0xD0 <= stream[at + 1] <= 0xD7]
        starts = np.array([body, *(at + 2 for at in markers)], "<u4")
        data += stream + bytes(-len(stream) % 2)
        table = len(data)
        data += starts.tobytes() + struct.pack("<HHH", 8, 8, 8) + b"Hamamatsu\0"
        entries = [
            (256, 4, 1, array.shape[1]),
            (257, 4, 1, array.shape[0]),
            (258, 3, 3, table + starts.nbytes),
            (259, 3, 1, 7),
            (262, 3, 1, 6),
            (271, 2, 10, table + starts.nbytes + 6),
            (273, 4, 1, start),
            (277, 3, 1, 3),
            (278, 4, 1, array.shape[0]),
            (279, 4, 1, len(stream)),
            (NDPI_TAGS["format"], 4, 1, 1),
            (NDPI_TAGS["magnification"], 11, 1, struct.unpack("<I", struct.pack("<f", 20 / 2**number))[0]),
            (NDPI_TAGS["starts"], 4, len(starts), table),
        ]
        struct.pack_into("<Q", data, previous, len(data))
        data += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        previous = len(data)
        data += bytes(8 + 4 * len(entries))
    data[:4] = b"II*\0"
    return bytes(data)


def test_hamamatsu_levels_are_read_by_the_parts_of_their_streams() -> None:
    levels = [smooth(512, 768), smooth(256, 384), smooth(128, 192)]
    source = CountingSource(BytesSource(ndpi(levels, shift=1_000_000), url="memory:slide.ndpi"))
    reader = open_reader(source)
    assert source.requests <= 5
    assert [level.shape for level in reader.info.levels] == [(512, 768), (256, 384), (128, 192)]
    assert reader.info.levels[0].tile == (8, 64)
    for number, array in enumerate(levels):
        assert np.abs(full(reader, number).astype(int) - array).mean() < 3
    source.reset()
    window = reader.read(0, Window(100, 100, 110, 110))
    assert np.abs(window.astype(int) - levels[0][100:110, 100:110]).mean() < 3
    assert (source.requests, len(source.ranges)) == (1, 2)


def test_cog_levels_masks_apart_are_read() -> None:
    levels = [noise(1000, 700, 3), noise(500, 350, 3), noise(250, 175, 3)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number, array in enumerate(levels):
            options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None}
            writer.write(array, subfiletype=int(number > 0), predictor=True, **options)
            # GDAL's masks: NewSubfileType 4, and 5 for the overviews'.
            mask = np.ones(array.shape[:2], bool)
            writer.write(mask, subfiletype=5 if number else 4, tile=(128, 128), photometric=4, metadata=None)
    reader = opened(file.getvalue())
    assert [level.shape for level in reader.info.levels] == [(1000, 700), (500, 350), (250, 175)]
    for number, array in enumerate(levels):
        assert np.array_equal(full(reader, number), array)


def test_ome_levels_in_subifds_keep_channels_as_bands() -> None:
    arrays = [noise(3, 256 >> level, 320 >> level, seed=level) for level in range(3)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True, bigtiff=True) as writer:
        options = {"photometric": "minisblack", "tile": (64, 64), "compression": "zlib"}
        writer.write(arrays[0], subifds=2, metadata={"axes": "CYX"}, **options)
        for array in arrays[1:]:
            writer.write(array, subfiletype=1, **options)
    reader = opened(file.getvalue(), "memory:a.ome.tif")
    assert reader.info.bands == 3
    assert [level.shape for level in reader.info.levels] == [(256, 320), (128, 160), (64, 80)]
    for number, array in enumerate(arrays):
        assert np.array_equal(full(reader, number), np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("tables", [True, False])
def test_jpeg_tables_are_joined_to_abbreviated_streams(*, tables: bool) -> None:
    """Technical Note 2: quantisation and Huffman tables stand once, in tag 347."""
    array = smooth(64, 64)
    stream = imagecodecs.jpeg8_encode(array, level=95, subsampling="444")
    at = stream.index(b"\xff\xdb")
    frame = stream.index(b"\xff\xc0")
    huffman = stream.index(b"\xff\xc4")
    scan = stream.index(b"\xff\xda")
    quantisation = stream[at:frame]
    header = b"\xff\xd8" + quantisation + stream[huffman:scan] + b"\xff\xd9"
    abbreviated = b"\xff\xd8" + stream[frame:huffman] + stream[scan:]
    file = io.BytesIO()
    extra = [(347, 7, len(header), header, True)] if tables else []
    tifffile.imwrite(
        file,
        iter([abbreviated]),
        shape=array.shape,
        dtype=np.uint8,
        tile=(64, 64),
        compression="jpeg",
        photometric="ycbcr",
        subsampling=(1, 1),
        extratags=extra,
        metadata=None,
    )
    reader = opened(file.getvalue())
    if tables:
        assert np.abs(full(reader).astype(int) - array).mean() < 3
    else:
        with pytest.raises(CorruptImage, match="tile 0"):
            full(reader)


def test_old_style_jpeg_is_read() -> None:
    """TIFF 6.0 section 22: compression 6, the stream given by tags 513 and 514."""
    array = smooth(48, 64)
    stream = imagecodecs.jpeg8_encode(array, level=95, subsampling="444")
    at = 8
    entries = [
        (256, 4, 1, 64),
        (257, 4, 1, 48),
        (258, 3, 3, at + 2 + 12 * 10 + 4),
        (259, 3, 1, 6),
        (262, 3, 1, 6),
        (277, 3, 1, 3),
        (278, 4, 1, 48),
        (512, 3, 1, 1),
        (513, 4, 1, 200),
        (514, 4, 1, len(stream)),
    ]
    data = b"II*\0" + struct.pack("<I", at) + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4) + struct.pack("<HHH", 8, 8, 8)
    reader = opened(data.ljust(200, b"\0") + stream)
    assert np.abs(full(reader).astype(int) - array).mean() < 3


def test_a_thumbnail_before_its_image_is_a_level_of_it_and_other_reduced_pages_are_not() -> None:
    sizes = [(50, 75), (40, 75), (200, 300), (100, 150)]
    arrays = [noise(*size, 3, seed=number) for number, size in enumerate(sizes)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for size, array in zip(sizes, arrays, strict=True):
            writer.write(array, photometric="rgb", metadata=None, subfiletype=int(size != (200, 300)))
    reader = opened(file.getvalue())
    assert [level.shape for level in reader.info.levels] == [(200, 300), (100, 150), (50, 75)]
    for level, array in enumerate((arrays[2], arrays[3], arrays[0])):
        assert np.array_equal(full(reader, level), array)
