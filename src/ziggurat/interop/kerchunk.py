"""References as fsspec's reference file system reads them: one JSON document, or Parquet files, many chunks each.

https://fsspec.github.io/kerchunk/spec.html (version 1). The JSON form holds a Zarr v3 group; the Parquet form is
defined for Zarr v2 alone, and holds the same group in that version, as OME-Zarr 0.4.
"""

import importlib
import json
from itertools import product
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ziggurat.errors import DependencyError, UnsupportedFeature
from ziggurat.interop.references import References
from ziggurat.interop.spans import LevelReferences
from ziggurat.model import JSON
from ziggurat.storage.destination import writing

RECORDS: Final = 10_000
"""References in one Parquet file."""

_MOST_CODECS: Final = 2

_NUMCODECS: Final = "numcodecs."
"""How Zarr v3 names the filters of v2."""


def write_json(found: References, path: Path) -> None:
    """Writes one document.

    Raises:
        WriteError: if the file cannot be written.
    """
    refs: dict[str, JSON] = {"zarr.json": json.dumps(found.document)}
    for number, level in enumerate(found.levels):
        refs[f"{number}/zarr.json"] = json.dumps(level.document)
        spans = zip(found.urls_of(level), level.offset.ravel().tolist(), level.length.ravel().tolist(), strict=True)
        for place, (url, *span) in zip(product(*map(range, level.grid.counts)), spans, strict=True):
            if url is not None:
                refs["/".join(map(str, (number, "c", *place)))] = [url, *span]
    with writing(str(path)):
        path.write_text(json.dumps({"version": 1, "refs": refs}), encoding="utf-8")


def write_parquet(found: References, path: Path) -> None:
    """Writes a folder.

    Raises:
        DependencyError: if pyarrow is not installed.
        UnsupportedFeature: if the codecs cannot be had in Zarr v2.
        WriteError: if the folder cannot be written.
    """
    try:
        arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise DependencyError('Parquet needs pyarrow; pip install "ziggurat[parquet]"') from error
    metadata: dict[str, JSON] = {".zgroup": {"zarr_format": 2}, ".zattrs": _ome_0_4(found)}
    for number, level in enumerate(found.levels):
        metadata[f"{number}/.zarray"] = _array_v2(level)
        metadata[f"{number}/.zattrs"] = {"_ARRAY_DIMENSIONS": level.document["dimension_names"]}
    with writing(str(path)):
        path.mkdir()
        (path / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": RECORDS}), encoding="utf-8")
        for number, level in enumerate(found.levels):
            (path / str(number)).mkdir()
            urls = found.urls_of(level)
            offset, length = level.offset.ravel(), level.length.ravel()
            for record, first in enumerate(range(0, len(offset), RECORDS)):
                part = slice(first, first + RECORDS)
                table = arrow.table(
                    {
                        "path": arrow.array(urls[part], arrow.string()),
                        "offset": arrow.array(offset[part], arrow.int64()),
                        "size": arrow.array(length[part], arrow.int64()),
                        "raw": arrow.nulls(len(offset[part]), arrow.binary()),
                    }
                )
                parquet.write_table(table, path / str(number) / f"refs.{record}.parq", compression="zstd")


def _ome_0_4(found: References) -> JSON:
    """The group's attributes, where OME-Zarr 0.4 has them: the keys of 0.5, one floor higher."""
    ome = cast("dict[str, Any]", cast("dict[str, Any]", found.document["attributes"])["ome"])
    multiscales = [{"version": "0.4", **item} for item in ome["multiscales"]]
    return {"multiscales": multiscales, **{key: ome[key] for key in ("omero",) if key in ome}}


def _array_v2(level: LevelReferences) -> JSON:
    document = cast("dict[str, Any]", level.document)
    codecs = [{"id": item["name"], **item.get("configuration", {})} for item in document["codecs"]]
    filters = [codecs.pop(0)] if codecs[0]["id"].startswith(_NUMCODECS) else []
    order = "<"
    if codecs[0]["id"] == "bytes":
        order = ">" if codecs.pop(0).get("endian") == "big" else "<"
    for item in filters:
        # In this version samples get their order by the first filter that sees them.
        item |= {"id": item["id"].removeprefix(_NUMCODECS), "astype": order + item["astype"][1:]}
    if len(codecs) >= _MOST_CODECS or any(item["id"] == "transpose" for item in codecs):
        raise UnsupportedFeature("these codecs have no form in Zarr v2, which references in Parquet are; write JSON")
    return {
        "zarr_format": 2,
        "shape": document["shape"],
        "chunks": level.grid.chunk_shape,
        "dtype": np.dtype(document["data_type"]).newbyteorder("<" if filters else order).str,
        "compressor": codecs[0] if codecs else None,
        "filters": filters or None,
        "order": "C",
        "fill_value": 0,
        "dimension_separator": ".",
    }
