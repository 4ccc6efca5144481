"""The ``info.json`` of an image (Image API 3.0 section 5, 2.1 section 5): tiles and sizes that are cheap for it."""

from typing import Final

from ziggurat.geometry import Size
from ziggurat.model import JSON
from ziggurat.serve.facts import Facts
from ziggurat.serve.iiif.syntax import Bounds, Version

SMALLEST_TILE: Final = 256
LARGEST_TILE: Final = 1024
USUAL_TILE: Final = 512
"""Pixels a side where the file has no tiles, or only such as nobody would want to fetch."""

JPEG_2000: Final = frozenset({"jp2", "j2k", "jph"})

CONTEXTS: Final = {"2": "http://iiif.io/api/image/2/context.json", "3": "http://iiif.io/api/image/3/context.json"}

PROFILES: Final = {"2": "http://iiif.io/api/image/2/level2.json", "3": "http://iiif.io/api/image/3/level2.json"}

FORMATS: Final = ("webp", "avif")
"""What is offered beyond level 2."""

FEATURES_3: Final = (
    "canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeUpscaling",
)  # fmt: skip

FEATURES_2: Final = (
    "canonicalLinkHeader", "mirroring", "profileLinkHeader", "regionSquare", "rotationArbitrary", "sizeAboveFull",
    "sizeByH", "sizeByPct", "sizeByW", "sizeByWh", "sizeByConfinedWh", "sizeByDistortedWh",
    "regionByPct", "regionByPx", "rotationBy90s", "baseUriRedirect", "cors", "jsonldMediaType",
)  # fmt: skip


def tile_size(facts: Facts) -> Size:
    """Height and width of the tiles to ask for: the file's own, doubled until they are worth a request.

    Those of JPEG 2000 are halved where they are large: a part of one costs little more than its own pixels.
    """
    if facts.tile is None:
        return Size(USUAL_TILE, USUAL_TILE)
    height, width = facts.tile
    while facts.format in JPEG_2000 and max(height, width) > USUAL_TILE and not (height % 2 or width % 2):
        height, width = height // 2, width // 2
    while min(height, width) < SMALLEST_TILE and max(height, width) * 2 <= LARGEST_TILE:
        height, width = height * 2, width * 2
    if max(height, width) > LARGEST_TILE or min(height, width) < SMALLEST_TILE:
        return Size(USUAL_TILE, USUAL_TILE)
    return Size(height, width)


def scale_factors(facts: Facts, tile: Size) -> list[int]:
    """Powers of two up to the one at which the image fits into a tile."""
    factors = [1]
    while facts.size.height > factors[-1] * tile.height or facts.size.width > factors[-1] * tile.width:
        factors.append(factors[-1] * 2)
    return factors


def sizes(facts: Facts, bounds: Bounds) -> list[JSON]:
    """The levels that are sent whole, smallest first."""
    fitting = sorted({level for level in facts.levels if bounds.hold(level)}, key=lambda level: level.pixels)
    return [{"width": size.width, "height": size.height} for size in fitting]


def info(facts: Facts, uri: str, bounds: Bounds, version: Version) -> dict[str, JSON]:
    """The document.

    Args:
        facts: of the image.
        uri: its base URI.
        bounds: of what is sent.
        version: of the API.
    """
    tile = tile_size(facts)
    tiles: dict[str, JSON] = {"width": tile.width, "height": tile.height, "scaleFactors": scale_factors(facts, tile)}
    if tile.width == tile.height:
        del tiles["height"]
    shape: dict[str, JSON] = {
        "protocol": "http://iiif.io/api/image",
        "width": facts.size.width,
        "height": facts.size.height,
    }
    more: dict[str, JSON] = {"sizes": sizes(facts, bounds), "tiles": [tiles]}
    limits: dict[str, JSON] = {"maxWidth": bounds.side, "maxHeight": bounds.side, "maxArea": bounds.pixels}
    if version == "3":
        return {
            "@context": CONTEXTS["3"], "id": uri, "type": "ImageService3", "profile": "level2",
            **shape, **limits, **more,
            "extraFormats": list(FORMATS), "extraQualities": ["color", "gray", "bitonal"],
            "extraFeatures": list(FEATURES_3),
        }  # fmt: skip
    offered: dict[str, JSON] = {
        "formats": ["jpg", "png", *FORMATS], "qualities": ["default", "color", "gray", "bitonal"],
        "supports": list(FEATURES_2), **limits,
    }  # fmt: skip
    return {
        "@context": CONTEXTS["2"], "@id": uri, "profile": [PROFILES["2"], offered], **shape, **more,
    }  # fmt: skip
