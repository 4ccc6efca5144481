import csv
import json
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.codec import openjpeg
from ziggurat.errors import CorruptImage, DependencyError, FormatError, UnsupportedFeature
from ziggurat.format.jpeg2000 import Jpeg2000Reader, open_reader
from ziggurat.geometry import Size, Window
from ziggurat.model import ColourSpace
from ziggurat.testing.sources import BytesSource, CountingSource

WORKER = Path(__file__).with_name("jpeg2000_corpus_worker.py")
VERDICTS = Path(__file__).with_name("jpeg2000_verdicts.json")
"""Which of the shared files are refused, by kind of error. All others must read."""


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def wrapped(codestream: bytes, *header: bytes, after: bytes = b"", before: bytes = b"") -> bytes:
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", b"".join(header)) + before + box(b"jp2c", codestream) + after


def enumerated(space: int) -> bytes:
    return box(b"colr", bytes([1, 0, 0]) + space.to_bytes(4))


def photograph(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 90 * np.sin((y + 3 * band) / 17) * np.cos(x / (11 + band)) for band in range(bands)], 2)
    return np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)


def codestream(pixels: np.ndarray, **options: object) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", **options)


def opened(data: bytes) -> Jpeg2000Reader:
    return open_reader(BytesSource(data))


def whole(reader: Jpeg2000Reader, level: int = 0) -> np.ndarray:
    return reader.read(level, Window.full(reader.info.levels[level].shape))


IMAGE = photograph(157, 203)
BARE = codestream(IMAGE, resolutions=4)


def test_a_lossless_image_comes_back_as_it_was() -> None:
    reader = opened(BARE)
    assert reader.info.format == "j2k"
    assert reader.info.dtype == "uint8"
    assert np.array_equal(whole(reader), IMAGE)


def test_a_level_is_the_decoders_own_reduction() -> None:
    reader = opened(BARE)
    assert [level.shape for level in reader.info.levels][:3] == [Size(157, 203), Size(79, 102), Size(40, 51)]
    for level in range(len(reader.info.levels)):
        assert np.array_equal(whole(reader, level), imagecodecs.jpeg2k_decode(BARE, skipres=level))


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("tile", [None, (48, 64)])
def test_a_window_is_cut_from_the_whole_at_any_level(tile: tuple[int, int] | None, data: st.DataObject) -> None:
    stream = BARE if tile is None else imagecodecs.htj2k_encode(IMAGE, reversible=True, tile=tile)
    reader = opened(stream)
    level = data.draw(st.integers(0, len(reader.info.levels) - 1))
    height, width = reader.info.levels[level].shape
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
    assert np.array_equal(reader.read(level, window), whole(reader, level)[window.slices()])


@pytest.mark.parametrize(
    "name",
    [
        "openjpeg-data/conformance/a4_colr.j2c",  # subsampled in one component, tiles, offset
        "openjpeg-data/conformance/e2_colr.j2c",  # 1, 4 and 2 apart
        "openjpeg-data/conformance/b2_mono.j2c",  # 5 x 3 apart, empty tiles
        "openjpeg-data/conformance/p1_07.j2k",  # a 12 x 8 image off the origin
        "openjpeg-data/conformance/p1_05.j2k",  # 37-pixel tiles, offset
        "openjpeg-data/nonregression/issue411-ycc422.jp2",
        "grok-test-data/nonregression/tnsot_0.jp2",
        "jpylyzer-test-files/files/ojph-ht.j2c",
    ],
)
def test_windows_of_awkward_grids_are_cut_from_the_whole(shared_data: Path, name: str) -> None:
    reader = opened((shared_data / name).read_bytes())
    rng = np.random.default_rng(3)
    for level in range(min(4, len(reader.info.levels))):
        full = whole(reader, level)
        height, width = full.shape[:2]
        for _ in range(5):
            y0, x0 = int(rng.integers(0, height)), int(rng.integers(0, width))
            window = Window(y0, x0, int(rng.integers(y0 + 1, height + 1)), int(rng.integers(x0 + 1, width + 1)))
            difference = np.abs(reader.read(level, window).astype(int) - full[window.slices()])
            # In single precision the 9-7 transform of a part may round differently.
            assert difference.max() <= int(reader.info.details["jpeg2000"]["transform"] == "9-7")


def test_without_a_shared_library_windows_are_decoded_through_imagecodecs(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(opened(BARE))
    level = whole(opened(BARE), 1)

    def missing() -> str:
        raise DependencyError("there is none")

    monkeypatch.delenv(openjpeg.ENVIRONMENT, raising=False)
    monkeypatch.setattr(openjpeg, "_found", missing)
    reader = opened(BARE)
    assert np.array_equal(reader.read(0, Window(100, 50, 150, 180)), expected[100:150, 50:180])
    assert np.array_equal(reader.read(1, Window(10, 20, 70, 90)), level[10:70, 20:90])
    mixed = b"".join((BARE[:45], bytes([2, 2]), BARE[47:]))
    with pytest.raises(DependencyError, match="libopenjp2"):
        whole(opened(mixed))


def test_the_header_is_read_with_one_small_request(shared_data: Path) -> None:
    data = (shared_data / "jpylyzer-test-files/files/kakadu61.jp2").read_bytes()
    source = CountingSource(BytesSource(data))
    open_reader(source)
    assert source.requests == 1
    assert source.bytes_read <= 1 << 14


def test_boxes_after_the_codestream_are_found_and_junk_there_is_noted() -> None:
    xmp = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x:xmpmeta/>")
    reader = opened(wrapped(codestream(photograph(200, 300)), enumerated(16), after=xmp + b"\xff\xff\xff\xffjunk"))
    assert reader.info.metadata.xmp == b"<x:xmpmeta/>"
    assert "after the codestream" in reader.info.details["jpeg2000"]["notes"][0]
    assert reader.info.colour_space is ColourSpace.SRGB


def test_a_header_box_behind_the_codestream_counts() -> None:
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    data = start + box(b"jp2c", BARE) + box(b"jp2h", enumerated(16))
    assert opened(data).info.colour_space is ColourSpace.SRGB


def test_a_damaged_signature_is_noted_and_does_not_hinder() -> None:
    data = bytearray(wrapped(BARE, enumerated(16)))
    data[11] += 1
    reader = opened(bytes(data))
    assert reader.info.details["jpeg2000"]["notes"] == ["the signature box is damaged"]
    assert np.array_equal(whole(reader), IMAGE)


def test_resolution_and_metadata_come_from_their_boxes() -> None:
    resc = box(b"resc", b"".join(n.to_bytes(2) for n in (300, 1, 150, 1)) + bytes([1, 2]))
    exif = box(b"uuid", b"JpgTiffExif->JP2" + b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    iptc = box(b"uuid", bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38") + b"\x1c\x02\x00\x00\x02\x00\x04")
    info = opened(wrapped(BARE, enumerated(16), box(b"res ", resc), before=exif + iptc)).info
    assert (info.resolution.y, info.resolution.x) == (3000.0, 15000.0)
    assert info.orientation == 6
    assert info.metadata.exif[:4] == b"II*\0"
    assert info.metadata.iptc[:1] == b"\x1c"


def test_a_palette_is_applied_and_leaves_one_level() -> None:
    index = np.random.default_rng(1).integers(0, 4, (40, 50), np.uint8)
    table = np.array([[0, 10, 20], [255, 1, 2], [3, 254, 4], [5, 6, 253]], np.uint8)
    pclr = box(b"pclr", (4).to_bytes(2) + bytes([3, 7, 7, 7]) + table.tobytes())
    cmap = box(b"cmap", bytes([0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 2]))
    reader = opened(wrapped(codestream(index), enumerated(16), pclr, cmap))
    assert (reader.info.bands, len(reader.info.levels)) == (3, 1)
    assert np.array_equal(whole(reader), table[index])


def test_channel_definitions_put_colours_in_order_and_opacity_last() -> None:
    pixels = photograph(40, 50, 4)
    entries = ((0, 2, 0), (1, 0, 3), (2, 0, 2), (3, 0, 1))
    cdef = box(b"cdef", (4).to_bytes(2) + b"".join(n.to_bytes(2) for entry in entries for n in entry))
    reader = opened(wrapped(codestream(pixels), enumerated(16), cdef))
    assert reader.info.alpha == "premultiplied"
    assert np.array_equal(whole(reader), pixels[:, :, [3, 2, 1, 0]])


def test_sycc_is_converted_to_rgb() -> None:
    stored = np.array([[[76, 85, 255], [150, 44, 21], [29, 255, 107], [128, 128, 128]]], np.uint8)
    reader = opened(wrapped(codestream(np.repeat(stored, 8, 0)), enumerated(18)))
    expected = [[254, 0, 0], [0, 255, 1], [0, 0, 254], [128, 128, 128]]
    assert np.abs(whole(reader)[0].astype(int) - expected).max() <= 1
    assert reader.info.colour_space is ColourSpace.SRGB
    assert reader.info.details["jpeg2000"]["stored_colour_space"] == "sYCC"


def test_shallow_bands_are_scaled_to_the_deepest(shared_data: Path) -> None:
    reader = opened((shared_data / "jpylyzer-test-files/files/erdas-sandiego1m_null.jp2").read_bytes())
    assert reader.info.details["jpeg2000"]["depths"] == [8, 8, 8, 1]
    alpha = reader.read(2, Window.full(reader.info.levels[2].shape))[:, :, 3]
    assert set(np.unique(alpha)) <= {0, 255}


def test_part_counts_that_leave_out_the_finest_part_are_set_right(shared_data: Path) -> None:
    data = (shared_data / "openjpeg-data/nonregression/text_GBR.jp2").read_bytes()
    reader = opened(data)
    span = reader._container.codestream
    assert np.array_equal(whole(reader), imagecodecs.jpeg2k_decode(data[span.start : span.end]))


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_lossy_htj2k_does_not_wrap_white_to_black(depth: int) -> None:
    top = (1 << depth) - 1
    pixels = np.where(np.random.default_rng(0).random((128, 128)) < 0.5, 0, top)
    data = imagecodecs.htj2k_encode(
        pixels.astype(np.uint8 if depth == 8 else np.uint16), reversible=False, level=0.05, bitspersample=depth
    )
    reader = opened(data)
    assert reader.warnings == ()
    expected = imagecodecs.jpeg2k_decode(data).astype(int)
    # Single-precision rounding shows at 16 bits; a wrap is as large as the range.
    assert np.abs(whole(reader)[:, :, 0] - expected).max() <= max(1, top >> 10)


def test_lossless_htj2k_comes_back_as_it_was_through_openjph() -> None:
    data = imagecodecs.htj2k_encode(IMAGE, reversible=True)
    reader = opened(data)
    assert reader.info.details["jpeg2000"]["ht"] is True
    assert np.array_equal(whole(reader), IMAGE)
    assert reader.warnings == ()


def test_tiles_with_their_own_quantisation_are_decoded_with_it(shared_data: Path) -> None:
    expected = imagecodecs.jpeg2k_decode((shared_data / "openjpeg-data/conformance/p1_04.j2k").read_bytes())
    reader = opened((shared_data / "openhtj2k/ds1_ht_04_b9.j2k").read_bytes())
    # The two decoders round the 9-7 transform differently.
    assert np.abs(whole(reader)[:, :, 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("ht", [False, True])
def test_no_truncated_file_is_read_as_if_it_were_whole(*, ht: bool) -> None:
    data = imagecodecs.htj2k_encode(IMAGE, reversible=True) if ht else BARE
    for length in range(len(data) - 3, 0, -(len(data) // 40)):
        with pytest.raises(FormatError, match="memory:test"):
            whole(opened(data[:length]))


def test_a_missing_tile_is_an_error_that_names_it() -> None:
    data = imagecodecs.htj2k_encode(IMAGE, reversible=True, tile=(64, 64))
    parts = [at for at in range(len(data)) if data[at : at + 4] == b"\xff\x90\x00\x0a"]
    with pytest.raises(CorruptImage, match="tile 2 of 12 is missing"):
        whole(opened(data[: parts[2]] + data[parts[3] :]))


def test_an_absurd_size_predicts_an_absurd_cost_at_once() -> None:
    data = bytearray(BARE)
    for at in (8, 12, 24, 28):
        data[at : at + 4] = (1_000_000_000).to_bytes(4)
    reader = opened(bytes(data))
    assert reader.read_cost(0, Window.full(reader.info.size)) > 1 << 60


def test_samples_too_deep_for_the_decoders_are_refused_when_opened() -> None:
    data = bytearray(BARE)
    data[42] = 37
    with pytest.raises(UnsupportedFeature, match="38 bits"):
        opened(bytes(data))


HEADERS = [
    wrapped(BARE, box(b"ihdr", bytes(14)), enumerated(16), box(b"cdef", bytes([0, 1, 0, 0, 0, 0, 0, 1])))[:400],
    BARE[:300],
    wrapped(
        codestream(IMAGE[:, :, 0]),
        enumerated(16),
        box(b"pclr", bytes([0, 2, 3, 7, 7, 7, 1, 2, 3, 4, 5, 6])),
        box(b"cmap", bytes([0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 2])),
    )[:400],
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(HEADERS),
    st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
def test_a_mutated_header_raises_nothing_but_format_errors(
    header: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(header)
    for at, value in changes:
        data[at % len(data)] = value
    try:
        reader = opened(bytes(data[:length]))
    except FormatError as error:
        assert "memory:test" in str(error)  # noqa: PT017 - that it opens is as good
    else:
        assert reader.info.levels[0].shape.pixels > 0
        assert reader.read_cost(0, Window.full(reader.info.size)) > 0


@pytest.mark.slow
def test_every_shared_file_reads_as_an_independent_decoder_reads_it_or_is_refused(shared_data: Path) -> None:
    with (shared_data / "JPEG2000.tsv").open(newline="") as table:
        names = [row["path"] for row in csv.DictReader(table, delimiter="\t") if not row["path"].endswith(".dcm")]
    jobs = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(shared_data), *names[start::2]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for start in range(2)
    ]
    answers = [json.loads(line) for job in jobs for line in job.communicate(timeout=600)[0].splitlines()]
    assert [job.returncode for job in jobs] == [0, 0]
    refused = {name: kind for kind, files in json.loads(VERDICTS.read_text()).items() for name in files}
    assert {name: verdict for name, verdict, _ in answers} == {name: refused.get(name, "ok") for name in names}
    assert [name for name, _, same in answers if same is False] == []
    assert sum(same is True for _, _, same in answers) > 100


MEASURE = """
import sys
from pathlib import Path
from ziggurat.codec import openjpeg
from ziggurat.format.jpeg2000 import open_reader
from ziggurat.geometry import Window

class Version:
    tag = "as it is"

class Source:
    version = Version
    url = sys.argv[1]
    size = Path(url).stat().st_size
    def read_ranges(self, ranges):
        with open(self.url, "rb") as file:
            return [file.seek(item.start) * 0 or file.read(item.length) for item in ranges]

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

openjpeg.version()
reader = open_reader(Source())
level = int(sys.argv[2])
window = Window(*map(int, sys.argv[3:])) if sys.argv[3:] else Window.full(reader.info.levels[level].shape)
before = peak()
reader.read(level, window)
print(reader.read_cost(level, window) / (peak() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("arguments", [["0"], ["1"], ["0", "100", "100", "900", "1000"]])
def test_the_predicted_memory_covers_the_real_peak_without_waste(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "image.j2k"
    file.write_bytes(codestream(photograph(1600, 2000)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), *arguments], capture_output=True, text=True, check=True
    )
    assert 1.0 <= float(done.stdout) <= 2.0
