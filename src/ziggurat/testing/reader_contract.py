"""What every ``Reader`` is held to: subclass ``ReaderContract`` in a test and give it files with known pixels."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.errors import ZigguratError
from ziggurat.format.protocol import OpenReader
from ziggurat.format.table import FORMATS, HEAD
from ziggurat.geometry import Window
from ziggurat.model import ColourSpace, ImageInfo, Samples
from ziggurat.testing.sources import BytesSource, CountingSource

_MUTANT_MEMORY = 1 << 28
"""Bytes that a damaged file may ask for before it is left alone, as a caller with a limit would do."""

type MakeCase = Callable[[], "Case"]


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        data: the whole file.
        levels: the pixels of its levels, (y, x, band), in the type that ``read`` returns; finest first.
        tolerance: how far samples may be from them: 0 where another decoder made them equal.
    """

    data: bytes
    levels: tuple[Samples, ...]
    tolerance: int = 0


class ReaderContract:
    """The tests. A subclass names the format's ``open_reader`` and the functions that make its cases.

    Attributes:
        format: the format's name in the table.
        open_reader: of the format's module, as a ``staticmethod``.
        cases: functions that make files, by a name for messages.
        header_bytes: bytes that opening may read of a file that is larger.
        truncation_detected: whether a file without its last tenth must be refused.
    """

    format: str
    open_reader: OpenReader
    cases: Mapping[str, MakeCase]
    header_bytes: int = 1 << 17
    truncation_detected: bool = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Runs every test once for every case."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", list(self.cases), indirect=True)

    @pytest.fixture
    def case(self, request: pytest.FixtureRequest) -> Case:
        """One of the class's cases."""
        return self.cases[request.param]()

    def _open(self, data: bytes) -> tuple[CountingSource, "ImageInfo"]:
        source = CountingSource(BytesSource(data))
        return source, type(self).open_reader(source).info

    def test_table_recognises_the_first_bytes(self, case: Case) -> None:
        """The format table finds this format."""
        assert FORMATS[self.format].recognises(case.data[:HEAD])

    def test_info_is_complete_and_consistent(self, case: Case) -> None:
        """The header gives shapes, type, depth and colour that fit the pixels and each other."""
        _, info = self._open(case.data)
        dtype = np.dtype(info.dtype)
        assert info.format == self.format
        assert [level.shape for level in info.levels] == [pixels.shape[:2] for pixels in case.levels]
        assert info.bands == case.levels[0].shape[2]
        assert dtype == case.levels[0].dtype
        assert 1 <= info.bit_depth <= 8 * dtype.itemsize
        assert info.kind == {"u": "unsigned", "i": "signed", "f": "float"}[dtype.kind]
        assert info.orientation in range(1, 9)
        assert info.colour_space.bands in {None, info.colour_bands}
        assert info.colour_space in set(ColourSpace)

    def test_levels_become_coarser(self, case: Case) -> None:
        """Every level is smaller than the one before."""
        _, info = self._open(case.data)
        for finer, coarser in pairwise(info.levels):
            assert coarser.shape.pixels < finer.shape.pixels
            assert coarser.shape.height <= finer.shape.height
            assert coarser.shape.width <= finer.shape.width

    def test_samples_keep_to_the_bit_depth(self, case: Case) -> None:
        """No sample is larger than ``bit_depth`` allows."""
        reader = type(self).open_reader(BytesSource(case.data))
        pixels = reader.read(0, Window.full(reader.info.size))
        if reader.info.kind == "unsigned":
            assert int(pixels.max()) < 1 << reader.info.bit_depth

    def test_opening_does_not_read_pixels_of_a_large_file(self, case: Case) -> None:
        """Opening reads at most ``header_bytes`` of a file that is much larger."""
        source, _ = self._open(case.data)
        if source.size > 2 * self.header_bytes:
            assert source.bytes_read <= self.header_bytes

    def test_full_window_equals_the_expected_pixels(self, case: Case) -> None:
        """Whole levels are the expected pixels, in shape and type."""
        reader = type(self).open_reader(BytesSource(case.data))
        for level, expected in enumerate(case.levels):
            pixels = reader.read(level, Window.full(reader.info.levels[level].shape))
            assert pixels.shape == expected.shape
            assert pixels.dtype == expected.dtype
            distance = np.abs(pixels.astype(np.float64) - expected.astype(np.float64)).max()
            assert distance <= case.tolerance

    def test_any_window_equals_the_crop_of_the_full_one(self, case: Case) -> None:
        """Random windows equal the same part of the whole level."""
        reader = type(self).open_reader(BytesSource(case.data))

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            level = data.draw(st.integers(0, len(full) - 1))
            height, width = full[level].shape[:2]
            y0 = data.draw(st.integers(0, height - 1))
            x0 = data.draw(st.integers(0, width - 1))
            window = Window(y0, x0, data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width)))
            np.testing.assert_array_equal(reader.read(level, window), full[level][window.slices()])

        full = [reader.read(k, Window.full(level.shape)) for k, level in enumerate(reader.info.levels)]
        check()

    def test_cost_covers_at_least_the_result(self, case: Case) -> None:
        """The predicted memory is no less than the pixels returned."""
        reader = type(self).open_reader(BytesSource(case.data))
        for level, expected in enumerate(case.levels):
            height, width = expected.shape[:2]
            assert reader.read_cost(level, Window(0, 0, height, width)) >= expected.nbytes
            assert reader.read_cost(level, Window(0, 0, 1, 1)) > 0

    def test_truncated_file_is_refused(self, case: Case) -> None:
        """A file without its last tenth is an error, not grey pixels."""
        if not self.truncation_detected:
            pytest.skip("this format does not tell where its pixels end")
        with pytest.raises(ZigguratError):
            self._read_all(case.data[: len(case.data) * 9 // 10])

    def test_file_cut_anywhere_raises_no_foreign_error(self, case: Case) -> None:
        """Whatever is cut off, only our errors come."""
        for cut in np.linspace(0, len(case.data) - 1, 40).astype(int):
            self._survives(case.data[:cut])

    def test_damaged_file_raises_no_foreign_error(self, case: Case) -> None:
        """Whatever is damaged, only our errors come."""
        rng = np.random.default_rng(len(case.data))
        head = min(len(case.data), 512)
        for number in range(120):
            damaged = bytearray(case.data)
            # Most of the damage goes where lengths and types stand.
            reach = head if number % 3 else len(damaged)
            for at in rng.integers(0, reach, rng.integers(1, 4)):
                damaged[at] ^= int(rng.integers(1, 256))
            self._survives(bytes(damaged))

    def _survives(self, data: bytes) -> None:
        with suppress(ZigguratError):
            self._read_all(data)

    def _read_all(self, data: bytes) -> None:
        reader = type(self).open_reader(BytesSource(data))
        window = Window.full(reader.info.size)
        if reader.read_cost(0, window) <= _MUTANT_MEMORY:
            reader.read(0, window)
            reader.read(0, Window(0, 0, 1, 1))
