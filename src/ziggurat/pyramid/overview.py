"""Made levels in a file of their own, as GDAL lays it out: ``image.tif.ovr``, a TIFF of reduced pages alone."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
from tifffile import TiffWriter

from ziggurat.errors import SourceChanged, StoreFull, UnsupportedFeature
from ziggurat.format.protocol import Reader
from ziggurat.format.tiff.reader import open_reader
from ziggurat.model import ColourSpace, ImageInfo, Samples
from ziggurat.pyramid.blocks import Progress, halved_strips
from ziggurat.pyramid.cascade import Cascade, Encode
from ziggurat.pyramid.lacking import TILE, made_sizes
from ziggurat.storage.local import LocalSource
from ziggurat.storage.protocol import SourceVersion
from ziggurat.storage.stored import writing

REDUCED: Final = 1
"""NewSubfileType, TIFF 6.0."""

ZSTD: Final = 50000
"""Compression, as libtiff registered it."""

SPEED: Final = 1
"""Level of zstd: the pass over the source is then bound by reading it."""

_OURS = re.compile(r"Ziggurat overview of (\d+) bytes, version (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Overview:
    """An opened file of levels.

    Attributes:
        path: of the file.
        reader: of the file.
        source: its bytes.
        places: from a made level's number, 0 the finest, to the number of the file's level that is it.
    """

    path: Path
    reader: Reader
    source: LocalSource
    places: Mapping[int, int]


def open_overview(path: Path, info: ImageInfo, version: SourceVersion, *, newer_than: int = 0) -> Overview:
    """Opens levels that were made before, by us or by another program.

    Args:
        path: of the file.
        info: the image's header.
        version: the image's, which a file of ours must name.
        newer_than: nanoseconds since the epoch; a file of another program, which names no version, must not
            have been changed before.

    Raises:
        SourceChanged: if it was made from another version of the image.
        UnsupportedFeature: if its levels are not those of the image.
        SourceError: if it cannot be read.
        FormatError: if it is no TIFF that can be read.
    """
    source = LocalSource(path)
    try:
        reader = open_reader(source)
        _check_version(path, reader.info, version, newer_than)
        places = _places(path, reader.info, info)
    except BaseException:
        source.close()
        raise
    return Overview(path, reader, source, places)


def _check_version(path: Path, own: ImageInfo, version: SourceVersion, newer_than: int) -> None:
    found = recorded_version(own)
    changed = path.stat().st_mtime_ns < newer_than if found is None else found != version
    if changed:
        raise SourceChanged(
            f"{path} was made before its image was last changed, and is not used; replace it with "
            "`ziggurat overview --beside --overwrite`, or remove it"
        )


def _places(path: Path, own: ImageInfo, info: ImageInfo) -> Mapping[int, int]:
    """Which made levels the file holds, by their sizes."""
    shapes = [level.shape for level in own.levels]
    wanted = made_sizes(info.levels[-1].shape)
    places = {number: shapes.index(size) for number, size in enumerate(wanted) if size in shapes}
    if not places or (own.bands, own.dtype) != (info.bands, info.dtype):
        raise UnsupportedFeature(
            f"{path} holds {own.bands} bands of {own.dtype} in levels of "
            f"{', '.join(f'{size.height} x {size.width}' for size in shapes)}, which are not those of its image; "
            "remove it, or replace it with `ziggurat overview --beside --overwrite`"
        )
    return places


def recorded_version(own: ImageInfo) -> SourceVersion | None:
    """The version of the image that a file of ours names; None of another program's file."""
    details = own.details.get("tiff")
    text = details.get("description") if isinstance(details, Mapping) else None
    found = _OURS.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else SourceVersion(int(found[1]), found[2])


def write_overview(
    reader: Reader,
    path: Path,
    version: SourceVersion,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
    near: bool = False,
) -> None:
    """Makes all levels below the coarsest stored one in one pass over it, lossless, and writes the file anew.

    Args:
        reader: of the image; it should keep nothing of what it reads.
        path: the file to write.
        version: of the image, to be recorded.
        limit: bytes that the file may have.
        progress: told how far the pass is.
        near: the image's bytes lie on this machine.

    Raises:
        StoreFull: if the disk is full, or the file grows over the limit.
        WriteError: if the file cannot be written.
        SourceError: if the image cannot be read, or changes meanwhile.
        FormatError: if it does not decode.
    """
    info = reader.info
    level = len(info.levels) - 1
    sizes = made_sizes(info.levels[level].shape)
    predictor, encode = _packing(np.dtype(info.dtype))
    colours = 3 if info.colour_space in {ColourSpace.RGB, ColourSpace.SRGB} and info.bands >= 3 else 1  # noqa: PLR2004 - RGB
    strips = _within(halved_strips(reader, level, TILE, progress, near=near), path, limit)
    with (
        writing(str(path)),
        tempfile.TemporaryFile(dir=path.parent) as spool,
        ThreadPoolExecutor(thread_name_prefix="ziggurat-encode") as pool,
    ):
        cascade = Cascade(sizes, TILE, encode, spool, encode_all=pool.map, views=True)
        with TiffWriter(path, bigtiff=True, byteorder="<", kind="generic") as tiff:
            for number, size in enumerate(sizes):
                tiff.write(
                    cascade.spooled(number) if number else cascade.finest(strips),
                    shape=(*size, info.bands) if info.bands > 1 else tuple(size),
                    dtype=np.dtype(info.dtype).newbyteorder("<").str,
                    photometric="rgb" if colours > 1 else "minisblack",
                    planarconfig=1 if info.bands > 1 else None,
                    extrasamples=(0,) * (info.bands - colours) or None,
                    tile=(TILE, TILE),
                    compression=ZSTD,
                    predictor=predictor,
                    subfiletype=REDUCED,
                    description=None if number else f"Ziggurat overview of {version.size} bytes, version {version.tag}",
                    software=False,
                    metadata=None,
                )
        with path.open("rb") as file:
            os.fsync(file)


def _within(strips: Iterator[Samples], path: Path, limit: int | None) -> Iterator[Samples]:
    """The same, as long as what becomes of them stays within the limit."""
    for strip in strips:
        if limit is not None and path.stat().st_size > limit:
            raise StoreFull(
                f"{path.parent}: the levels do not fit into a cache of {limit} bytes; raise ZIGGURAT_CACHE_SIZE, or "
                "write them beside the image: ziggurat overview --beside"
            )
        yield strip


def _packing(dtype: np.dtype[np.generic]) -> tuple[int | None, Encode]:
    """Value of tag 317 and the encoder of tiles: differences for integers, as they are for the rest."""
    predictor = 2 if dtype.kind in "iu" and dtype.itemsize < 8 else None  # noqa: PLR2004 - libtiff 4.3 has none of 64 bits

    stored = dtype.newbyteorder("<")

    def encode(tile: Samples) -> bytes:
        data = np.empty(tile.shape, dtype)
        if predictor:
            data[:, 0] = tile[:, 0]
            np.subtract(tile[:, 1:], tile[:, :-1], out=data[:, 1:])
        else:
            data[:] = tile
        return bytes(imagecodecs.zstd_encode(data.astype(stored, copy=False), SPEED))

    return predictor, encode
