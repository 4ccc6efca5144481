import ctypes
import ctypes.util
import gc
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ziggurat.codec import openjpeg, openjph
from ziggurat.errors import CorruptImage, DependencyError, UnsupportedFeature

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 110, 3), np.uint8)
DATA = imagecodecs.jpeg2k_encode(PIXELS, level=0, codecformat="j2k", resolutions=4)


def test_components_come_out_as_they_were_encoded() -> None:
    decoded = openjpeg.decode(DATA)
    assert [(plane.depth, plane.signed, plane.dx, plane.dy) for plane in decoded.planes] == [(8, False, 1, 1)] * 3
    for band, plane in enumerate(decoded.planes):
        assert np.array_equal(plane.data, PIXELS[:, :, band])


def test_an_area_holds_just_its_samples() -> None:
    plane = openjpeg.decode(DATA, area=openjpeg.Area(17, 5, 60, 50)).planes[1]
    assert (plane.y0, plane.x0) == (5, 17)
    assert np.array_equal(plane.data, PIXELS[5:50, 17:60, 1])


def test_a_reduction_is_measured_on_the_reduced_grid() -> None:
    plane = openjpeg.decode(DATA, reduce=2, area=openjpeg.Area(16, 8, 64, 40)).planes[0]
    assert (plane.y0, plane.x0, plane.data.shape) == (2, 4, (8, 12))
    assert np.array_equal(plane.data, imagecodecs.jpeg2k_decode(DATA, skipres=2)[2:10, 4:16, 0])


def test_several_threads_give_the_same_pixels() -> None:
    assert np.array_equal(openjpeg.decode(DATA, threads=2).planes[2].data, PIXELS[:, :, 2])


def test_several_threads_fail_as_one_does(shared_data: Path) -> None:
    data = (shared_data / "openhtj2k/ds0_ht_10_b11.j2k").read_bytes()
    for _ in range(20):
        with pytest.raises(UnsupportedFeature, match="more than 3 coding passes"):
            openjpeg.decode(data, threads=2)


def test_planes_outlive_the_decoder_and_are_released_with_their_last_view() -> None:
    view = openjpeg.decode(DATA).planes[0].data[10:20]
    gc.collect()
    assert np.array_equal(view, PIXELS[10:20, :, 0])


def test_many_failures_leave_no_memory_behind() -> None:
    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - not a file of ours
            return int(file.read().split()[1]) * 4096

    big = imagecodecs.jpeg2k_encode(np.zeros((1000, 1000), np.uint8), level=0, codecformat="j2k")
    for _ in range(5):
        with pytest.raises(CorruptImage):
            openjpeg.decode(big[:-20])
    before = resident()
    for _ in range(40):
        with pytest.raises(CorruptImage):
            openjpeg.decode(big[:-20])
        openjpeg.decode(big)
    assert resident() - before < 16 << 20


def test_a_truncated_stream_is_an_error_in_the_decoders_words_unless_told_otherwise() -> None:
    with pytest.raises(CorruptImage, match=r"OpenJPEG failed at decoding: .+"):
        openjpeg.decode(DATA[: len(DATA) // 2])
    lenient = openjpeg.decode(DATA[: len(DATA) // 2], strict=False)
    assert lenient.planes[0].data.shape == (90, 110)
    assert lenient.warnings


@pytest.mark.parametrize("data", [b"", b"\xff\x4f", b"no codestream at all", DATA[:40]])
def test_what_is_no_codestream_is_an_error(data: bytes) -> None:
    with pytest.raises(CorruptImage, match="OpenJPEG"):
        openjpeg.decode(data)


def test_an_area_beyond_31_bits_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="2147483647"):
        openjpeg.decode(DATA, area=openjpeg.Area(0, 0, 1 << 31, 10))


def test_a_library_that_is_not_openjpeg_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(openjpeg.ENVIRONMENT, ctypes.util.find_library("c") or "libc.so.6")
    with pytest.raises(DependencyError, match="cannot be used as OpenJPEG"):
        openjpeg.version()


def test_a_version_with_known_heap_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openjpeg, "MINIMUM_VERSION", (99, 0, 0))
    openjpeg.load.cache_clear()
    with pytest.raises(DependencyError, match=r"99\.0\.0 or newer is needed"):
        openjpeg.version()


def test_the_bundled_library_is_found() -> None:
    assert openjpeg.version() >= openjpeg.MINIMUM_VERSION
    assert "openjp2" in openjpeg.library_path()


def test_openjph_decodes_htj2k_and_refuses_the_rest() -> None:
    data = imagecodecs.htj2k_encode(PIXELS, reversible=True)
    assert np.array_equal(openjph.decode(data), PIXELS)
    assert openjph.decode(imagecodecs.htj2k_encode(PIXELS[:, :, 0], reversible=True)).shape == (90, 110, 1)
    for damaged in (DATA, data[:50], b""):
        with pytest.raises(CorruptImage, match="OpenJPH failed"):
            openjph.decode(damaged)
