"""Writes a picture as an OME-Zarr group in a folder."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ziggurat.errors import UnsupportedFeature
from ziggurat.format.notes import told
from ziggurat.format.zarr.ome import ATTRIBUTE, PICTURE
from ziggurat.geometry import Size
from ziggurat.interop.decoded import dumped
from ziggurat.interop.multiscale import Grid, Pyramid, array, group
from ziggurat.model import JSON
from ziggurat.pyramid.cascade import Cascade, cascade_cost, level_sizes
from ziggurat.storage.stored import writing
from ziggurat.write.bands import BandPlan, plan_bands, tile_rows
from ziggurat.write.notes import notes_of
from ziggurat.write.omezarr.encode import codecs, encoder
from ziggurat.write.omezarr.options import OmeZarrOptions
from ziggurat.write.omezarr.references import Prefixes
from ziggurat.write.omezarr.shards import Sharding, write_shards
from ziggurat.write.protocol import Picture

REFERENCES: Final = "references.json"
"""The virtual levels' document, in the group's folder."""

SMALLEST: Final = 16
"""Pixels a side of a virtual level's chunks: smaller ones are not worth a request."""

REFERENCE: Final = 500
"""Bytes of a reference while its document is made or read."""


class OmeZarrWriter:
    """Writes OME-Zarr groups with the same options. Uses one thread."""

    def __init__(self, options: OmeZarrOptions | None = None) -> None:
        self._options = options or OmeZarrOptions()

    def write_cost(self, picture: Picture, *, memory: int) -> int:
        """Peak bytes of ``write``, reading included; above ``memory`` only where reading takes that much."""
        return self._own_cost(picture) + max(self._plan(one, memory, picture).cost for one in self._pictures(picture))

    def write(self, picture: Picture, path: Path, *, memory: int) -> None:
        """Writes the folder anew; there must be none.

        A stored level equals ``ziggurat.pyramid.halve`` of the finer one before compression, or the source's own.

        Raises:
            UnsupportedFeature: if the codec cannot hold such samples.
            WriteError: if a file cannot be written.
        """
        if picture.dtype.name == "bool":
            raise UnsupportedFeature(f"{path}: samples of one bit make no levels")
        with writing(str(path)):
            path.mkdir()
            if self._options.levels == "virtual":
                self._write_virtual(picture, path, memory)
            else:
                self._write_stored(picture, path, memory)

    def _write_stored(self, picture: Picture, path: Path, memory: int) -> None:
        tile, chunk = self._options.side, self._chunk(picture)
        shardings = [Sharding.of(size, picture.bands, chunk) for size in level_sizes(picture.size, tile)]
        encode = encoder(picture, self._options, chunk)
        pictures = self._pictures(picture)
        for first, one in enumerate(pictures):
            # Below the last one levels are made.
            made = shardings[first:] if one is pictures[-1] else shardings[first : first + 1]
            with tempfile.TemporaryFile(dir=path.parent) as spool:
                cascade = Cascade([item.size for item in made], tile, encode, spool)
                finest = cascade.finest(tile_rows(one, self._plan(one, memory, picture), tile))
                for level, sharding in enumerate(made):
                    write_shards(cascade.spooled(level) if level else finest, sharding, path / str(first + level))
        own = codecs(picture, self._options)
        arrays = [array(item.grid, picture.dtype.name, [item.codec(own)]) for item in shardings]
        _write_documents(path, _documents(picture, [item.size for item in shardings], arrays))

    def _pictures(self, picture: Picture) -> list[Picture]:
        """The picture, and the levels that are copied."""
        if self._options.levels != "source":
            return [picture]
        return [picture, *picture.coarser[: len(level_sizes(picture.size, self._options.side)) - 1]]

    def _write_virtual(self, picture: Picture, path: Path, memory: int) -> None:
        tile, chunk = self._options.side, self._chunk(picture)
        levels = self._virtual_levels(picture)
        sizes = [picture.size.halved(level) for level in range(levels)]
        finest = Sharding.of(picture.size, picture.bands, chunk)
        prefixes = Prefixes(encoder(picture, self._options, chunk, levels))
        with tempfile.TemporaryFile(dir=path.parent) as spool:
            cascade = Cascade([picture.size], tile, prefixes.encode, spool)
            rows = tile_rows(picture, self._plan(picture, memory, picture), tile)
            starts = write_shards(cascade.finest(rows), finest, path / "0")
        grids = [Grid(size, picture.bands, chunk.halved(level), picture.bands) for level, size in enumerate(sizes)]
        kind = picture.dtype.name
        arrays = [array(finest.grid, kind, [finest.codec(codecs(picture, self._options))])]
        _write_documents(path, _documents(picture, sizes[:1], arrays))
        arrays += [array(grids[level], kind, codecs(picture, self._options, level)) for level in range(1, levels)]
        documents = _documents(picture, sizes, arrays)
        refs: dict[str, JSON] = {key: document.decode() for key, document in documents.items()}
        refs |= prefixes.references(finest, starts, levels)
        text = json.dumps({"version": 1, "refs": refs}, separators=(",", ":"))
        (path / REFERENCES).write_text(text, encoding="utf-8")

    def _virtual_levels(self, picture: Picture) -> int:
        """With the finest: down to one chunk, or to chunks that are too small."""
        wanted = len(level_sizes(picture.size, self._options.side))
        return min(wanted, max(1, (min(self._chunk(picture)) // SMALLEST).bit_length()))

    def _chunk(self, picture: Picture) -> Size:
        """As large in all levels, so that tiles are cut alike."""
        return Size(min(self._options.side, picture.size.height), min(self._options.side, picture.size.width))

    def _plan(self, level: Picture, memory: int, picture: Picture) -> BandPlan:
        """How a level is read of a picture."""
        return plan_bands(level, self._options.side, memory=max(0, memory - self._own_cost(picture)))

    def _own_cost(self, picture: Picture) -> int:
        own = cascade_cost(picture.size, self._options.side, picture.bands * picture.dtype.itemsize)
        if self._options.levels == "virtual":
            chunks = -(-picture.size.height // self._options.side) * -(-picture.size.width // self._options.side)
            own += REFERENCE * chunks * self._virtual_levels(picture)
        return own


def _documents(picture: Picture, sizes: Sequence[Size], arrays: Sequence[JSON]) -> dict[str, bytes]:
    """Of the group and of the arrays, by key."""
    pyramid = Pyramid(
        levels=tuple(sizes),
        tile=None,
        bands=picture.bands,
        dtype=picture.dtype.name,
        depth=picture.bit_depth,
        resolution=picture.resolution,
    )
    more: dict[str, JSON] = {ATTRIBUTE: {PICTURE: told(notes_of(picture))}}
    return dumped(group(pyramid, picture.name, arrays, more), arrays)


def _write_documents(path: Path, documents: dict[str, bytes]) -> None:
    for key, document in documents.items():
        (path / key).write_bytes(document)
