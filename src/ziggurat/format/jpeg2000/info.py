"""What the header of a JPEG 2000 image says, in the words of ``ImageInfo``."""

from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.codestream.markers import MainHeader
from ziggurat.errors import CorruptImage, UnsupportedFeature
from ziggurat.format.exif import orientation
from ziggurat.format.jpeg2000.bands import BandPlan
from ziggurat.format.jpeg2000.colour import describe, lab_parameters
from ziggurat.format.jpeg2000.container import Container
from ziggurat.format.jpeg2000.grid import Grid
from ziggurat.geometry import Size
from ziggurat.model import JSON, ImageInfo, Level, Resolution

_TRANSFORMS: Mapping[int, str] = MappingProxyType({0: "9-7", 1: "5-3"})

_WIDEST = 1 << 15
"""Side of a precinct that divides nothing."""

_FLOAT_MARKER = "NLT"


def build_info(container: Container, plan: BandPlan) -> ImageInfo:
    """The description of an image.

    Raises:
        CorruptImage: if no component has a sample.
        UnsupportedFeature: if samples pass through a non-linearity.
    """
    main = container.main
    if _FLOAT_MARKER in main.markers:
        raise UnsupportedFeature("samples with a non-linear point transform (marker NLT) are not read")
    resolutions = container.header.resolutions
    density = resolutions.capture or resolutions.display
    return ImageInfo(
        format=container.format,
        levels=_levels(main, plan),
        bands=len(plan.bands),
        dtype=plan.dtype,
        bit_depth=plan.depth,
        kind="signed" if plan.signed else "unsigned",
        colour_space=plan.space,
        alpha=plan.alpha,
        icc=plan.icc,
        orientation=orientation(container.metadata.exif),
        resolution=Resolution(*density) if density else None,
        metadata=container.metadata,
        details=MappingProxyType({"jpeg2000": _details(container, plan)}),
    )


def _levels(main: MainHeader, plan: BandPlan) -> tuple[Level, ...]:
    """The levels that every component has samples in.

    The wavelet mixes palette indexes into meaningless ones: an image with a palette has one level.
    """
    grid = Grid.of(main.siz)
    components = range(len(main.siz.components))
    levels: list[Level] = []
    for level in range(1 if plan.palette else main.levels + 1):
        if any(grid.component_size(component, level).pixels <= 0 for component in components):
            break
        size = grid.size(level)
        levels.append(Level(size, grid.tile(level) or _unit(main, size)))
        if size.pixels == 1:
            break
    if not levels:
        raise CorruptImage("marker SIZ: a component has not a single sample inside the image area")
    return tuple(levels)


def _unit(main: MainHeader, size: Size) -> Size | None:
    """What of a single tile is read without waste: a precinct, else what one code-block of each finest subband covers.

    Every level is the finest of what is left of it, so that it is the same for all; None where it is all of the level.
    """
    style = main.cod.style
    height = min(style.precincts[-1][0], _WIDEST) if style.levels else style.block_height
    width = min(style.precincts[-1][1], _WIDEST) if style.levels else style.block_width
    unit = Size(
        height if height < _WIDEST else 2 * style.block_height, width if width < _WIDEST else 2 * style.block_width
    )
    return None if unit.height >= size.height and unit.width >= size.width else unit


def _details(container: Container, plan: BandPlan) -> Mapping[str, JSON]:
    """What only JPEG 2000 has.

    ``precincts`` are [height, width] per resolution, the coarsest first; ``tile_parts`` is there only where TLM
    tells it; ``subsampling`` is [dy, dx] per component; ``missing_bytes`` is how far a truncated file falls short.
    """
    main, header = container.main, container.header
    siz, style = main.siz, main.cod.style
    details: dict[str, JSON] = {
        "brand": container.brand,
        "progression": main.cod.progression.name,
        "layers": main.cod.layers,
        "decomposition_levels": style.levels,
        "transform": _TRANSFORMS.get(style.transform, f"kernel {style.transform}"),
        "code_block": [style.block_height, style.block_width],
        "precincts": [list(size) for size in style.precincts],
        "tile": [siz.tile_height, siz.tile_width],
        "tiles": siz.tiles,
        "tile_parts": len(main.tlm) or None,
        "mct": main.cod.component_transform != 0,
        "markers": list(dict.fromkeys((*main.markers, "SOT", *container.tile_markers))),
        "ht": main.ht,
        "capabilities": siz.capabilities,
        "components": len(siz.components),
        "depths": [component.depth for component in siz.components],
        "signed": [component.signed for component in siz.components],
        "subsampling": [[component.dy, component.dx] for component in siz.components],
        "origin": [siz.y0, siz.x0],
        "comments": list(main.comments),
        "colour_boxes": [describe(colour) for colour in header.colours],
        "palette": len(header.palette.entries) if header.palette else None,
        "notes": [*container.notes, *plan.notes],
    }
    optional: dict[str, JSON] = {
        "stored_colour_space": plan.encoding.name if plan.encoding else None,
        "cielab": lab_parameters(header.colours),
        "xml": list(container.xml) or None,
        "geotiff_bytes": container.geotiff,
        "missing_bytes": container.truncated or None,
    }
    details.update({name: value for name, value in optional.items() if value is not None})
    return MappingProxyType(details)
