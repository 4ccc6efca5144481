"""Which arrays of a Zarr are the levels of its first image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ziggurat.errors import CorruptImage, FormatError, SourceNotFound, UnsupportedFeature
from ziggurat.format.zarr.documents import Fields, Folder, Node, arrays_within, node_at
from ziggurat.format.zarr.level import LevelArray
from ziggurat.format.zarr.ome import Axis, Multiscale, multiscale, ome_of, refuse_collection, text
from ziggurat.storage.folder import check_inside

SERIES = "bioformats2raw.layout"
"""Attribute of a group of images that are numbered (OME-Zarr, "bioformats2raw.layout")."""

DEEPEST = 8
"""Groups of images within each other."""

MOST_ARRAYS = 100
"""Arrays of a group without OME-Zarr that are looked at."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The first image.

    Attributes:
        levels: finest first, at least one.
        image: what OME-Zarr says of it; None where it says nothing.
        ome: all that OME-Zarr says.
        version: of Zarr.
        path: of the image below the folder.
        notes: what was left out, and why.
        others: paths of further images beside it, as far as they are known.
        attributes: all of its group.
    """

    levels: tuple[LevelArray, ...]
    image: Multiscale | None
    ome: Fields
    version: int
    path: str
    notes: list[str] = field(default_factory=list)
    others: tuple[str, ...] = ()
    attributes: Fields = field(default_factory=dict)


def choose(folder: Folder, path: str = "", deep: int = 0) -> Chosen:
    """Finds the levels of the first image.

    Raises:
        CorruptImage: if the documents make no sense.
        UnsupportedFeature: if there is no image, or it is one of a collection.
    """
    where = f"{folder.url}/{path}" if path else folder.url
    node = node_at(folder, path)
    if node is None:
        raise CorruptImage(f"{where}: there is neither an array nor a group")
    if node.kind == "array":
        return Chosen((LevelArray(folder, node),), None, {}, node.version, path)
    ome = ome_of(node.attributes)
    if "multiscales" in ome:
        return _multiscale(folder, node, ome, where)
    refuse_collection(ome, where)
    if SERIES in ome or SERIES in node.attributes:
        return _series(folder, path, where, deep)
    return _plain(folder, node, where)


def _multiscale(folder: Folder, group: Node, ome: Fields, where: str) -> Chosen:
    image = multiscale(ome, where)
    notes: list[str] = []
    found = _arrays(folder, group.path, image.paths, image.axes, notes)
    levels = _shrinking(found, notes)
    if not levels:
        raise CorruptImage(f"{where}: none of its levels is there: {'; '.join(notes)[:500]}")
    return Chosen(levels, image, ome, group.version, group.path, notes, attributes=group.attributes)


def _arrays(
    folder: Folder, above: str, names: Sequence[str], axes: Sequence[Axis], notes: list[str]
) -> Iterator[LevelArray]:
    """The arrays of these names, below a group; what is wrong with coarser ones is noted."""
    for number, name in enumerate(names):
        check_inside(name, folder.url)
        path = f"{above}/{name}" if above else name
        try:
            node = node_at(folder, path)
            if node is None or node.kind != "array":
                raise CorruptImage(f"{folder.url}/{path} is no array; if it is a group, open it by this path")
            yield LevelArray(folder, node, axes)
        except (FormatError, SourceNotFound) as error:
            if not number:
                raise
            notes.append(f"level {name} is left out: {error}")


def _shrinking(found: Iterator[LevelArray], notes: list[str]) -> tuple[LevelArray, ...]:
    """Those that are coarser than the one before, with the same samples."""
    levels: list[LevelArray] = []
    for level in found:
        if levels and not _fits(level, levels[-1]):
            notes.append(f"{level.where} is left out: it is no coarser level of {levels[-1].where}")
            continue
        levels.append(level)
    return tuple(levels)


def _fits(level: LevelArray, finer: LevelArray) -> bool:
    a, b = level.axes.size, finer.axes.size
    return (
        a.height <= b.height
        and a.width <= b.width
        and a.pixels < b.pixels
        and (level.dtype, level.bit_depth, level.axes.bands) == (finer.dtype, finer.bit_depth, finer.axes.bands)
    )


def _series(folder: Folder, path: str, where: str, deep: int) -> Chosen:
    """The first of numbered images; their order is told in a group OME, if at all."""
    if deep >= DEEPEST:
        raise CorruptImage(f"{where}: its groups lie more than {DEEPEST} deep in each other")
    below = f"{path}/" if path else ""
    listed = node_at(folder, f"{below}OME")
    told = ome_of(listed.attributes).get("series") if listed is not None else None
    names = [text(name) for name in told if text(name)] if isinstance(told, list) else ["0"]
    if not names:
        raise UnsupportedFeature(f"{where} holds no images")
    for name in names:
        check_inside(name, folder.url)
    chosen = choose(folder, f"{below}{names[0]}", deep + 1)
    others = tuple(f"{below}{name}" for name in names[1:])
    advice = f"further images are opened by their paths: {where}/{names[1] if others else '1'}"
    return Chosen(
        chosen.levels, chosen.image, chosen.ome, chosen.version, chosen.path,
        [*chosen.notes, *([advice] if others else [])], others, chosen.attributes,
    )  # fmt: skip


def _plain(folder: Folder, group: Node, where: str) -> Chosen:
    """Arrays called 0, 1, 2, ... are levels; of others the first that is an image is taken."""
    names = arrays_within(folder, group)[:MOST_ARRAYS]
    numbered = [name for name in names if name.isdecimal()]
    notes: list[str] = []
    if numbered:
        levels = _shrinking(_arrays(folder, group.path, numbered, (), notes), notes)
        return Chosen(levels, None, {}, group.version, group.path, notes)
    for number, name in enumerate(names):
        try:
            levels = tuple(_arrays(folder, group.path, [name], (), notes))
        except FormatError as error:
            notes.append(str(error))
            continue
        rest = tuple(names[number + 1 :])
        if rest:
            notes = [f"further arrays are opened by their paths: {where}/{rest[0]}"]
        return Chosen(levels, None, {}, group.version, group.path, notes, rest)
    told = ", ".join(names[:10]) or "none is told"
    raise UnsupportedFeature(f"{where} is a group without an image; open one of its groups by its path ({told})")
