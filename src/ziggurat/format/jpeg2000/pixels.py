"""From decoded components to the result's pixels, in blocks of rows that stay in the processor's cache."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.codec.openjpeg import Plane
from ziggurat.format.jpeg2000.bands import Band, BandPlan
from ziggurat.format.jpeg2000.colour import to_rgb
from ziggurat.format.jpeg2000.grid import Grid, sample_index
from ziggurat.geometry import Window
from ziggurat.model import Samples

BLOCK_SAMPLES = 1 << 18
"""Samples of a block of rows: 1 MiB as int32, which a second-level cache holds."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A component with the samples that each row and column of the result takes."""

    data: NDArray[np.int32]
    rows: slice | NDArray[np.intp]
    columns: slice | NDArray[np.intp]

    def block(self, start: int, end: int) -> NDArray[np.int32]:
        """Rows start to end of the result, before palette, depth and colour."""
        if isinstance(self.rows, slice):
            rows = self.data[self.rows.start + start : self.rows.start + end]
        else:
            rows = self.data[self.rows[start:end]]
        return rows[:, self.columns]


def assemble(planes: Mapping[int, Plane], plan: BandPlan, grid: Grid, level: int, window: Window) -> Samples:
    """The pixels of a window from planes that hold at least its samples.

    Returns:
        Array (y, x, band) of the plan's type.
    """
    oy, ox = grid.origin(level)
    sources = {number: _source(plane, grid, window.shifted(oy, ox)) for number, plane in planes.items()}
    result = np.empty((window.height, window.width, len(plan.bands)), np.dtype(plan.dtype))
    rows = max(1, BLOCK_SAMPLES // (window.width * len(plan.bands)))
    convert = None if plan.plain else _Converter(plan)
    for start in range(0, window.height, rows):
        end = min(start + rows, window.height)
        target = result[start:end]
        if convert is None:
            for index, band in enumerate(plan.bands):
                # Decoders clip to the depth, so that the cast loses nothing.
                np.copyto(target[:, :, index], sources[band.component].block(start, end), casting="unsafe")
        else:
            np.copyto(target, convert(sources, start, end), casting="unsafe")
    return result


def _source(plane: Plane, grid: Grid, window: Window) -> _Source:
    height, width = plane.data.shape
    rows, columns = range(window.y0, window.y1), range(window.x0, window.x1)
    return _Source(
        plane.data,
        sample_index(rows, plane.y0, height, fine=grid.dy, coarse=plane.dy),
        sample_index(columns, plane.x0, width, fine=grid.dx, coarse=plane.dx),
    )


class _Converter:
    """Palette, sign, depth and colour of a block of rows."""

    def __init__(self, plan: BandPlan) -> None:
        self._plan = plan
        self._table = None if plan.palette is None else np.array(plan.palette.entries, np.int32)
        self._chroma = range(1, 3) if plan.encoding else range(0)
        self._signed_chroma = plan.encoding is not None and plan.bands[1].signed

    def __call__(self, sources: Mapping[int, _Source], start: int, end: int) -> NDArray[np.int32]:
        """The block (y, x, band) as int32."""
        plan = self._plan
        values = [
            self._band(sources[band.component].block(start, end), band, index) for index, band in enumerate(plan.bands)
        ]
        block = np.stack(values, axis=2)
        if plan.encoding is not None:
            to_rgb(block, plan.encoding, plan.depth, signed_chroma=self._signed_chroma)
        return block

    def _band(self, values: NDArray[np.int32], band: Band, index: int) -> NDArray[np.int32]:
        if band.column is not None and self._table is not None:
            column = self._table[:, band.column]
            values = column[np.clip(values, 0, len(column) - 1)]
        signed = band.signed
        if signed and not self._plan.signed and index not in self._chroma:
            values = values + (1 << (band.depth - 1))
            signed = False
        return scale_depth(values, band.depth, self._plan.depth, signed=signed)


def scale_depth(values: NDArray[np.int32], depth: int, target: int, *, signed: bool) -> NDArray[np.int32]:
    """Samples of one depth as samples of a larger one: 0 stays 0, the largest becomes the largest."""
    if depth == target:
        return values
    if signed:
        return values << (target - depth)
    old, new = (1 << depth) - 1, (1 << target) - 1
    return ((values.astype(np.int64) * (2 * new) + old) // (2 * old)).astype(np.int32)
