"""Writes a picture as a tiled pyramidal TIFF."""

import tempfile
from pathlib import Path
from typing import TypedDict

from tifffile import TiffWriter

from ziggurat import __version__
from ziggurat.errors import TooManyPixels
from ziggurat.format.exif import read_exif
from ziggurat.geometry import Size
from ziggurat.pyramid.cascade import Cascade, cascade_cost, level_sizes
from ziggurat.storage.stored import writing
from ziggurat.write.bands import BandPlan, plan_bands, tile_rows
from ziggurat.write.protocol import Picture
from ziggurat.write.ptiff.encode import Coding, coding
from ziggurat.write.ptiff.ome import ome_xml
from ziggurat.write.ptiff.options import PtiffOptions

SOFTWARE = f"Ziggurat {__version__}"

LONGEST_SIDE = (1 << 31) - 1
"""Pixels a side that readers of signed 32-bit sizes still take."""

REDUCED = 1
"""NewSubfileType of a coarser level, TIFF 6.0."""

TEXT_TAGS = (271, 272, 306, 315, 33432)
"""Make, Model, DateTime, Artist, Copyright: what the first directory takes over from EXIF."""

DIALECTS = ("<", "{", "Aperio", "ImageJ", "SCANIMAGE", "MetaSeries")
"""Beginnings of an ImageDescription by which readers recognise a dialect: OME-XML and other XML, JSON, slides."""

CENTIMETRE = 3
"""ResolutionUnit."""


class _Common(TypedDict):
    """Arguments of tifffile's writer that all levels share."""

    dtype: str
    photometric: int
    planarconfig: int | None
    extrasamples: tuple[int, ...] | None
    tile: tuple[int, int]
    compression: int
    predictor: int | None
    subsampling: tuple[int, int] | None
    iccprofile: bytes | None
    resolution: tuple[float, float] | None
    resolutionunit: int | None
    software: str
    metadata: None


class PtiffWriter:
    """Writes pyramidal TIFFs with the same options. Uses one thread."""

    def __init__(self, options: PtiffOptions | None = None) -> None:
        self._options = options or PtiffOptions()

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes of ``write``, reading included; above ``memory`` only where reading takes that much."""
        own = self._own_cost(picture)
        return own + self._plan(picture, memory).cost

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the file anew.

        A level equals ``ziggurat.pyramid.halve`` of the finer one before compression.

        Raises:
            UnsupportedFeature: if the compression or layout cannot hold this picture.
            TooManyPixels: if a side is longer than TIFF readers take.
            WriteError: if the file cannot be written.
        """
        if max(picture.size) > LONGEST_SIDE:
            raise TooManyPixels(
                f"{path}: a side of {max(picture.size)} pixels is longer than the {LONGEST_SIDE} that TIFF readers take"
            )
        chosen = coding(picture, self._options)
        plan = self._plan(picture, memory)
        with writing(str(path)), tempfile.TemporaryFile(dir=path.parent) as spool:
            cascade = Cascade(self._sizes(picture), self._options.tile, chosen.encode, spool)
            self._write_levels(picture, path, cascade, chosen, plan)

    def _sizes(self, picture: Picture) -> list[Size]:
        return level_sizes(picture.size, self._options.tile)

    def _plan(self, picture: Picture, memory: int) -> BandPlan:
        return plan_bands(picture, self._options.tile, memory=max(0, memory - self._own_cost(picture)))

    def _own_cost(self, picture: Picture) -> int:
        return cascade_cost(picture.size, self._options.tile, picture.bands * picture.dtype.itemsize)

    def _write_levels(self, picture: Picture, path: Path, cascade: Cascade, chosen: Coding, plan: BandPlan) -> None:
        sizes = self._sizes(picture)
        nested = self._options.pyramid != "pages" and len(sizes) > 1
        common = self._common(picture, chosen)
        description = ome_xml(picture, SOFTWARE) if self._options.pyramid == "ome" else None
        rows = tile_rows(picture, plan, self._options.tile)
        with TiffWriter(path, bigtiff=True, byteorder="<", kind="generic") as tiff:
            tiff.write(
                cascade.finest(rows),
                shape=_shape(sizes[0], picture.bands),
                subifds=len(sizes) - 1 if nested else None,
                description=_description(picture) if description is None else description,
                extratags=_extra_tags(picture),
                subfiletype=0,
                **common,
            )
            for level in range(1, len(sizes)):
                tiles = cascade.spooled(level)
                tiff.write(tiles, shape=_shape(sizes[level], picture.bands), subfiletype=REDUCED, **common)

    def _common(self, picture: Picture, chosen: Coding) -> _Common:
        resolution = picture.resolution
        return _Common(
            dtype=picture.dtype.newbyteorder("<").str,
            photometric=chosen.photometric,
            planarconfig=1 if picture.bands > 1 else None,
            extrasamples=chosen.extra or None,
            tile=(self._options.tile, self._options.tile),
            compression=chosen.compression,
            predictor=chosen.predictor if chosen.predictor != 1 else None,
            subsampling=chosen.subsampling,
            iccprofile=picture.icc,
            resolution=None if resolution is None else (resolution.x / 100, resolution.y / 100),
            resolutionunit=None if resolution is None else CENTIMETRE,
            software=SOFTWARE,
            metadata=None,
        )


def _shape(size: Size, bands: int) -> tuple[int, ...]:
    return (*size, bands) if bands > 1 else tuple(size)


def _description(picture: Picture) -> bytes | None:
    """ImageDescription (270) of the EXIF block, unless readers would take this file for the one it is from."""
    text = read_exif(picture.metadata.exif).get(270) if picture.metadata.exif else None
    if not isinstance(text, str) or not text or text.startswith(DIALECTS):
        return None
    return text.encode()


def _extra_tags(picture: Picture) -> list[tuple[int, int, int, bytes, bool]]:
    """XMP (700, bytes), IPTC (33723, undefined), as XMP specification part 3 has them, and EXIF's texts."""
    blocks = ((700, 1, picture.metadata.xmp), (33723, 7, picture.metadata.iptc))
    tags = [(code, kind, len(block), block, True) for code, kind, block in blocks if block]
    exif = read_exif(picture.metadata.exif) if picture.metadata.exif else {}
    for code in TEXT_TAGS:
        text = exif.get(code)
        if isinstance(text, str) and text:
            tags.append((code, 2, 0, text.encode(), True))
    return tags
