"""What OME-Zarr says of an image: https://ngff.openmicroscopy.org/, versions 0.1 to 0.6. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.zarr.documents import Fields, mapping, objects
from ziggurat.model import JSON, Resolution

MOST_LEVELS: Final = 64
"""Datasets that are looked at: a further one would be less than a pixel."""

USUAL_AXES: Final = "tczyx"
"""What axes are called where nothing is said (versions 0.1 and 0.2)."""

METRES: Final = {
    "attometer": 1e-18, "femtometer": 1e-15, "picometer": 1e-12, "angstrom": 1e-10, "nanometer": 1e-9,
    "micrometer": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "inch": 0.0254, "decimeter": 0.1, "foot": 0.3048,
    "yard": 0.9144, "meter": 1.0, "decameter": 10.0, "hectometer": 100.0, "kilometer": 1e3, "mile": 1609.344,
    "megameter": 1e6, "gigameter": 1e9, "parsec": 3.0856775814913673e16,
}  # fmt: skip
"""Units of length of section 2.1 of the specification, by their names in UDUNITS-2, and what people write."""

METRES_SHORT: Final = {"nm": 1e-9, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3}

ATTRIBUTE: Final = "ziggurat"
PICTURE: Final = "picture"
"""Where a group's attributes hold what OME-Zarr has no words for (``ziggurat.format.notes``)."""

LONGEST_TEXT: Final = 200
"""Characters of a name that are told."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        name: as its file says; "" where it says nothing.
        kind: "time", "channel", "space", ...; "" where it is not said.
        unit: as its file says.
    """

    name: str
    kind: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One image of a group.

    Attributes:
        name: what it is called.
        version: of OME-Zarr.
        axes: of all arrays.
        paths: of the arrays below the group, finest first.
        scale: of a pixel of the finest, one figure an axis; () where nothing is said.
    """

    name: str
    version: str
    axes: tuple[Axis, ...]
    paths: tuple[str, ...]
    scale: tuple[float, ...]


def ome_of(attributes: Fields) -> Fields:
    """What OME-Zarr says in a group's attributes: below "ome" since 0.5, among all others before."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def multiscale(ome: Fields, where: str) -> Multiscale:
    """The first image of a group.

    Raises:
        CorruptImage: if what is said cannot be.
    """
    found = objects(ome.get("multiscales"))
    datasets = objects(found[0].get("datasets")) if found else []
    paths = [dataset.get("path") for dataset in datasets[:MOST_LEVELS]]
    if not paths or not all(isinstance(path, str) for path in paths):
        raise CorruptImage(f"{where}: its multiscales name no arrays")
    said = found[0]
    version = ome.get("version", said.get("version"))
    return Multiscale(
        name=text(said.get("name")),
        version=text(version) or "0.1",
        axes=_axes(said, datasets[0]),
        paths=tuple(map(str, paths)),
        scale=_scale(said, datasets[0]),
    )


def _axes(said: Fields, dataset: Fields) -> tuple[Axis, ...]:
    axes = said.get("axes")
    if not isinstance(axes, list):
        axes = _of_system(said, dataset)
    if not isinstance(axes, list):
        axes = list(USUAL_AXES)
    return tuple(
        Axis(text(axis))
        if isinstance(axis, str)
        else Axis(*(text(mapping(axis).get(k)) for k in ("name", "type", "unit")))
        for axis in axes[:16]
    )


def _of_system(said: Fields, dataset: Fields) -> object:
    """The axes of the coordinate system that the first dataset is brought into (0.6, RFC-5)."""
    systems = objects(said.get("coordinateSystems"))
    steps = objects(dataset.get("coordinateTransformations"))
    output = steps[0].get("output") if steps else None
    name = mapping(output).get("name", output)
    fitting = [system for system in systems if system.get("name") == name] or systems
    return fitting[0].get("axes") if fitting else None


def _scale(said: Fields, dataset: Fields) -> tuple[float, ...]:
    """What the transformations of a dataset, and those of all datasets, make of a pixel."""
    result: tuple[float, ...] = ()
    for step in _steps(dataset) + _steps(said):
        scale = step.get("scale") if step.get("type") == "scale" else None
        if not isinstance(scale, list) or not all(isinstance(part, int | float) for part in scale):
            continue
        factors = tuple(map(float, scale))
        result = tuple(a * b for a, b in zip(result, factors, strict=False)) if result else factors
    return result


def _steps(said: Fields) -> list[Fields]:
    """Transformations, those in a sequence one by one."""
    steps = objects(said.get("coordinateTransformations"))
    return [part for step in steps for part in (objects(step.get("transformations")) or [step])]


def resolution(axes: Sequence[Axis], scale: Sequence[float], y: int, x: int) -> Resolution | None:
    """Pixels per metre; None where the axes have no length."""
    if max(y, x) >= len(scale) or max(y, x) >= len(axes):
        return None
    sides = [
        scale[axis] * METRES.get(unit, METRES_SHORT.get(unit, 0.0)) for axis in (y, x) for unit in (axes[axis].unit,)
    ]
    if not all(math.isfinite(side) and side > 0 and math.isfinite(1 / side) for side in sides):
        return None
    return Resolution(1 / sides[0], 1 / sides[1])


def channels(ome: Fields) -> list[JSON]:
    """Label, colour and window of each channel, as far as they are said."""
    told: list[JSON] = []
    for channel in objects(mapping(ome.get("omero")).get("channels")):
        window = mapping(channel.get("window"))
        numbers = {k: v for k, v in window.items() if k in {"start", "end", "min", "max"} and _is_finite(v)}
        one: dict[str, JSON] = {k: text(channel[k]) for k in ("label", "color") if isinstance(channel.get(k), str)}
        if isinstance(channel.get("active"), bool):
            one["active"] = channel["active"]
        told.append(one | ({"window": numbers} if numbers else {}))
    return told


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def refuse_collection(ome: Fields, where: str) -> None:
    """Says how to open one image of what is a collection of images.

    Raises:
        UnsupportedFeature: if it is one.
    """
    if "plate" in ome:
        wells = [text(well.get("path")) for well in objects(mapping(ome["plate"]).get("wells"))]
        raise UnsupportedFeature(
            f"{where} is a plate of {len(wells)} wells; open a field of one: {where}/{wells[0] if wells else 'A/1'}/0"
        )
    if "well" in ome:
        fields = [text(image.get("path")) for image in objects(mapping(ome["well"]).get("images"))]
        raise UnsupportedFeature(
            f"{where} is a well of {len(fields)} fields; open one of them: {where}/{fields[0] if fields else '0'}"
        )
    if isinstance(ome.get("labels"), list):
        names = [text(name) for name in ome["labels"]]
        raise UnsupportedFeature(
            f"{where} holds {len(names)} label images ({', '.join(names[:5])}); open one of them: "
            f"{where}/{names[0] if names else 'NAME'}"
        )


def text(value: object) -> str:
    """A short text; "" for what is none."""
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""
