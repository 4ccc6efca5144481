"""Opens a Zarr by its documents and reads windows of its levels."""

from types import MappingProxyType
from typing import Final

from ziggurat.format.foreign import foreign_errors
from ziggurat.format.notes import Notes, understood
from ziggurat.format.zarr.choose import Chosen, choose
from ziggurat.format.zarr.documents import mapping
from ziggurat.format.zarr.level import LevelArray
from ziggurat.format.zarr.ome import ATTRIBUTE, PICTURE, channels, resolution
from ziggurat.format.zarr.zipped import ZippedFolder
from ziggurat.geometry import Window
from ziggurat.model import JSON, ColourSpace, ImageInfo, Level, SampleKind, Samples
from ziggurat.storage.folder import FolderSource
from ziggurat.storage.protocol import ByteSource

KINDS: Final[dict[str, SampleKind]] = {"u": "unsigned", "i": "signed", "f": "float"}

RGB: Final = ("FF0000", "00FF00", "0000FF")
"""Colours of channels that are the red, green and blue of one picture."""


class ZarrReader:
    """One image of a Zarr. Safe to use from several threads."""

    def __init__(self, info: ImageInfo, levels: tuple[LevelArray, ...], warnings: tuple[str, ...]) -> None:
        self._info = info
        self._levels = levels
        self.warnings = warnings

    @property
    def info(self) -> ImageInfo:
        """What the documents say."""
        return self._info

    def read(self, level: int, window: Window) -> Samples:
        """Pixels of a window of a level, from only the chunks that it touches.

        Returns:
            Array (y, x, band).

        Raises:
            CorruptImage: if a chunk does not decode.
            LimitExceeded: if more chunks are touched than make sense.
        """
        return self._levels[level].read(window)

    def read_cost(self, level: int, window: Window) -> int:
        """Peak bytes of ``read``, by the shapes of chunks and shards."""
        return self._levels[level].cost(window)


def open_reader(source: ByteSource) -> ZarrReader:
    """Opens the first image of a folder, or of a ZIP of one.

    Raises:
        CorruptImage: if the documents are damaged.
        UnsupportedFeature: if there is no image, or it is one of a collection that is opened by its path.
    """
    with foreign_errors(f"{source.url}: its documents"):
        if isinstance(source, FolderSource):
            chosen, name = choose(source), "zarr"
        else:
            chosen, name = choose(ZippedFolder(source)), "ozx"
        info = _info(chosen, name)  # which may add to the notes
        return ZarrReader(info, chosen.levels, tuple(chosen.notes))


def _info(chosen: Chosen, name: str) -> ImageInfo:
    first = chosen.levels[0]
    axes, image, notes = first.axes, chosen.image, _notes(chosen)
    stated = None if image is None else resolution(image.axes, image.scale, axes.y, axes.x)
    return ImageInfo(
        format=name,
        levels=tuple(Level(level.axes.size, level.tile) for level in chosen.levels),
        bands=axes.bands,
        dtype=first.dtype.name,
        bit_depth=notes.bit_depth or first.bit_depth,
        kind=KINDS[first.dtype.kind],
        colour_space=_colours(chosen) if notes.colour_space is None else notes.colour_space,
        alpha=notes.alpha,
        icc=notes.icc,
        resolution=notes.resolution or stated,
        metadata=notes.metadata,
        details=MappingProxyType(_details(chosen)),
    )


def _notes(chosen: Chosen) -> Notes:
    """What the group says beyond OME-Zarr; what is not of this image's bands is left out, and that is told."""
    said = mapping(chosen.attributes.get(ATTRIBUTE)).get(PICTURE)
    if said is None:
        return Notes()
    try:
        return _fitting(understood(said), chosen.levels[0])
    except (ValueError, TypeError) as error:
        chosen.notes.append(f"its attributes {ATTRIBUTE}.{PICTURE} are left out: {error}")
        return Notes()


def _fitting(notes: Notes, level: LevelArray) -> Notes:
    """Notes that can be true of a level's samples.

    Raises:
        ValueError: if they cannot.
    """
    bands = level.axes.bands
    colours = None if notes.colour_space is None else notes.colour_space.bands
    if colours not in {None, bands - (notes.alpha is not None)} or (notes.alpha is not None and bands == 1):
        raise ValueError(f"{notes.colour_space}, opacity {notes.alpha}, of {bands} bands")
    if notes.bit_depth is not None and not 1 <= notes.bit_depth <= level.bit_depth:
        raise ValueError(f"{notes.bit_depth} bits in samples of {level.bit_depth}")
    return notes


def _colours(chosen: Chosen) -> ColourSpace:
    """Three bands of bytes are a picture's where their file says so, or has them within each pixel."""
    first = chosen.levels[0]
    axes = first.axes
    if axes.bands == 1:
        return ColourSpace.GREY
    if axes.bands != len(RGB) or first.dtype.name != "uint8":
        return ColourSpace.UNKNOWN
    said = tuple(one.get("color") for one in channels(chosen.ome) if isinstance(one, dict))
    within = axes.band is not None and axes.band > max(axes.y, axes.x)
    return ColourSpace.RGB if said == RGB or within else ColourSpace.UNKNOWN


def _details(chosen: Chosen) -> dict[str, JSON]:
    first = chosen.levels[0]
    image = chosen.image
    found: dict[str, JSON] = {"version": chosen.version, **first.facts()}
    if first.named:
        said = ({"name": axis.name, "type": axis.kind, "unit": axis.unit} for axis in first.named)
        found["axes"] = [{key: value for key, value in axis.items() if value} for axis in said]
    if first.axes.first_of:
        names = [axis.name for axis in first.named] or [""] * len(first.axes.lengths)
        found["first_plane_of"] = [
            {"axis": axis, "length": first.axes.lengths[axis], "name": names[axis]} for axis in first.axes.first_of
        ]
    if image is not None:
        found |= {"ome": image.version, "name": image.name, "scale": list(image.scale)}
    if chosen.others:
        found["others"] = list(chosen.others[:100])
    details: dict[str, JSON] = {"zarr": found}
    told = channels(chosen.ome)
    return details | {"channels": told} if told else details
