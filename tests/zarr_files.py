"""Zarrs for tests, written by zarr-python; their OME-Zarr metadata are judged by the models of its specification."""

import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import zarr
from numpy.typing import NDArray

KINDS = {"t": "time", "c": "channel"}
MODELS = {"0.4": ome_zarr_models.v04.Image, "0.5": ome_zarr_models.v05.Image}


def noise(shape: Sequence[int], dtype: str = "uint16", seed: int = 1) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(low, high, shape, dtype=np.dtype(dtype).newbyteorder("="), endpoint=True).astype(dtype)


def multiscales(
    axes: str, levels: int, pixel: float = 0.5, *, unit: str | None = "micrometer", version: str = "0.5"
) -> dict[str, Any]:
    """A group's OME-Zarr attributes, each level half as large as the one before."""
    told = [
        {"name": name, "type": KINDS.get(name, "space")} | ({"unit": unit} if unit and name in "zyx" else {})
        for name in axes
    ]
    scales = [[pixel * 2**k if name in "yx" else 1.0 for name in axes] for k in range(levels)]
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for k, scale in enumerate(scales)
    ]
    one: dict[str, Any] = {"name": "cells", "axes": told, "datasets": datasets}
    if version == "0.4":
        return {"multiscales": [one | {"version": "0.4"}]}
    return {"ome": {"version": version, "multiscales": [one]}}


def pyramid(pixels: NDArray[Any], axes: str, levels: int) -> list[NDArray[Any]]:
    """Every 2nd, 4th, ... row and column."""
    return [
        pixels[tuple(slice(None, None, 2**k) if name in "yx" else slice(None) for name in axes)] for k in range(levels)
    ]


def write_ome(
    place: Any,
    levels: Sequence[NDArray[Any]],
    axes: str,
    *,
    version: str = "0.5",
    chunks: Sequence[int],
    **options: Any,
) -> None:
    """Writes an OME-Zarr group, and has it judged where there is a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(place, mode="w", zarr_format=2 if version == "0.4" else 3)
        group.attrs.update(multiscales(axes, len(levels), version=version))
        names = {} if version == "0.4" else {"dimension_names": tuple(axes)}
        for number, level in enumerate(levels):
            group.create_array(str(number), data=level, chunks=tuple(chunks), **names, **options)
        if version in MODELS and all(len(axes) == level.ndim for level in levels):
            MODELS[version].from_zarr(group)


def as_read(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """What a reader should give of an array: the first of t and z, channels as bands."""
    plane = pixels[tuple(0 if name in "tz" else slice(None) for name in axes)]
    kept = [name for name in axes if name not in "tz"]
    if "c" not in kept:
        return plane.transpose(kept.index("y"), kept.index("x"))[:, :, np.newaxis]
    return plane.transpose(kept.index("y"), kept.index("x"), kept.index("c"))


def zipped(folder: Path, *, top: str = "", compression: int = zipfile.ZIP_STORED) -> bytes:
    """A folder as a ZIP file."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(folder).as_posix()}")
    return data.getvalue()


def write_json(path: Path, fields: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))
