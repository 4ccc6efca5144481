"""Programs that read OME-Zarr and references, as they come: run where they are installed, by ``make readers``."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

import ziggurat
from tiled_pictures import as_array, write
from ziggurat.cli import run

if TYPE_CHECKING:
    import napari


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """An OME-Zarr group on a disk, with stored levels."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", "jph", bands=1)
    out = tmp_path / "out"
    assert run(["convert", str(tmp_path / "in"), str(out), "--to", "ome-zarr", "--tile", "64"]) == 0
    [made] = out.glob("*.ome.zarr")
    return made


@pytest.mark.filterwarnings("ignore")
def test_napari_shows_the_levels(tmp_path: Path) -> None:
    napari = pytest.importorskip("napari", reason="napari is not installed")
    pytest.importorskip("napari.components")
    path = write(tmp_path, "jph", bands=1)
    store = ziggurat.zarr_store(str(path), virtual=True)
    opened = zarr.open_group(store, mode="r")
    names = sorted(opened.array_keys())
    # The model of the viewer, which needs no display.
    viewer = napari.components.ViewerModel()
    layer = viewer.add_image([opened[name] for name in names], multiscale=True)
    assert [tuple(level.shape) for level in layer.data] == [opened[name].shape for name in names]
    with ziggurat.open(str(path)) as image:
        # On a screen as small as a stamp the coarsest level suffices.
        for screen, level in ((16, len(names) - 1), (400, 0)):
            corners = np.array([[0, 0], [299, 409]])
            layer._update_draw(300 / screen, corner_pixels_displayed=corners, shape_threshold=(screen, screen))
            assert layer.data_level == level
            shown = np.asarray(layer._slice.image.raw)
            assert np.array_equal(shown, image.read(level)[: shown.shape[0], : shown.shape[1], 0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif("DISPLAY" not in os.environ, reason="there is no display, not even a virtual one")
def test_napari_draws_the_level_that_the_screen_asks_for(tmp_path: Path) -> None:
    napari = pytest.importorskip("napari", reason="napari is not installed")
    widgets = pytest.importorskip("qtpy.QtWidgets", reason="Qt is not installed", exc_type=ImportError)
    path = write(tmp_path, "jph", bands=1)
    opened = zarr.open_group(ziggurat.zarr_store(str(path), virtual=True), mode="r")
    levels = [opened[name] for name in sorted(opened.array_keys())]
    viewer = napari.Viewer()
    try:
        layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
        with ziggurat.open(str(path)) as image:
            # A coarse level is no whole fraction of the picture: some of its pixels are off by one on the screen.
            for level, alike in ((0, 0.999), (2, 0.9)):
                viewer.camera.zoom = 2**-level
                deadline = time.monotonic() + 20
                while not _likeness(viewer, image.read(level)[..., 0]) >= alike:
                    assert time.monotonic() < deadline, f"level {layer.data_level} is shown, not {level}"
                    widgets.QApplication.processEvents()
                assert layer.data_level == level
    finally:
        viewer.close()


def _likeness(viewer: "napari.Viewer", pixels: np.ndarray) -> float:
    """How well the middle of the canvas correlates with the middle of a level, give or take two pixels."""
    canvas = viewer.screenshot(canvas_only=True, flash=False)[..., 0]
    side = min(pixels.shape) // 2
    y, x = ((length - side) // 2 for length in pixels.shape)
    middle = pixels[y : y + side, x : x + side].ravel()
    top, left = ((length - side) // 2 for length in canvas.shape)
    shifts = [(top + dy, left + dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    return max(float(np.corrcoef(middle, canvas[y : y + side, x : x + side].ravel())[0, 1]) for y, x in shifts)


@pytest.mark.filterwarnings("ignore")
def test_ome_zarr_reads_groups(group: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    location = pytest.importorskip("ome_zarr.io").parse_url(str(group))
    [node, *_] = list(reader.Reader(location)())
    with ziggurat.open(str(group)) as image:
        for level, array in enumerate(node.data):
            assert np.array_equal(np.asarray(array), as_array(image.read(level)))


@pytest.mark.filterwarnings("ignore")
def test_virtualizarr_reads_references(tmp_path: Path) -> None:
    parsers = pytest.importorskip("virtualizarr.parsers", reason="VirtualiZarr is not installed")
    registry = pytest.importorskip("obspec_utils.registry")
    stores = pytest.importorskip("obstore.store")
    path = write(tmp_path, "jph", bands=1)
    laid, out = tmp_path / "laid.j2c", tmp_path / "references.json"
    assert run(["transcode", str(path), str(laid), "--layout", "chunks"]) == 0
    assert run(["references", str(laid), str(out)]) == 0
    known = registry.ObjectStoreRegistry({"file://": stores.LocalStore()})
    manifests = parsers.KerchunkJSONParser()(f"file://{out}", known)
    assert manifests is not None
