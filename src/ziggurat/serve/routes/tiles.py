"""Tiles by number: Deep Zoom, and XYZ as web maps have them."""

import re
from typing import Final

from starlette.responses import Response

from ziggurat.codec.pictures import Encoding
from ziggurat.errors import SourceNotFound, UsageError
from ziggurat.geometry import Size, Window
from ziggurat.serve.call import Call
from ziggurat.serve.facts import Facts
from ziggurat.serve.iiif.syntax import parse_format
from ziggurat.serve.plan import Plan
from ziggurat.serve.routes.picture import picture
from ziggurat.serve.service import Service
from ziggurat.serve.view import View, parse_view

TILE: Final = 254
OVERLAP: Final = 1
"""Deep Zoom's customary figures: with its neighbours' edges a tile is 256 pixels wide."""

XYZ_TILE: Final = 256

_PLACE = re.compile(r"(\d{1,9})_(\d{1,9})\.(\w{1,8})", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


async def deep_zoom(service: Service, call: Call) -> Response:
    """Answers ``/deepzoom/{id}.dzi`` and ``/deepzoom/{id}_files/{level}/{column}_{row}.{format}``.

    Raises:
        ZigguratError: as the request or the image deserves.
    """
    match call.segments[1:]:
        case [*parts, last] if last.endswith(".dzi"):
            looked = await service.look("/".join([*parts, last.removesuffix(".dzi")]))
            size = looked.facts.size
            text = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
                f'Format="jpg" Overlap="{OVERLAP}" TileSize="{TILE}"><Size Width="{size.width}" '
                f'Height="{size.height}"/></Image>\n'
            )
            return Response(text, 200, {"Cache-Control": "no-cache"}, "application/xml")
        case [*parts, level, place] if parts and parts[-1].endswith("_files"):
            looked = await service.look("/".join(parts).removesuffix("_files"))
            found = _PLACE.fullmatch(place)
            if found is None or _NUMBER.fullmatch(level) is None:
                raise UsageError(f"{level}/{place[:80]!a} is not LEVEL/COLUMN_ROW.FORMAT, such as 12/0_0.jpg")
            column, row, encoding = int(found[1]), int(found[2]), parse_format(found[3])
            plan = deep_zoom_plan(looked.facts, int(level), (row, column), encoding, parse_view(call.query))
            return await picture(service, call, looked, plan)
    raise SourceNotFound("there is nothing here; Deep Zoom images are /deepzoom/{id}.dzi")


def deep_zoom_plan(facts: Facts, level: int, place: tuple[int, int], encoding: Encoding, view: View) -> Plan:
    """The tile of a row and column of a level; level 0 is one pixel, each further one twice as large.

    Raises:
        SourceNotFound: if there is no such tile.
    """
    top = (max(facts.size) - 1).bit_length()
    if level > top:
        raise SourceNotFound(f"there is no level {level}; the finest one is {top}")
    halvings, size = top - level, facts.size.halved(top - level)
    (y0, y1), (x0, x1) = (_span(number, side) for number, side in zip(place, size, strict=True))
    if y0 >= y1 or x0 >= x1:
        raise SourceNotFound(f"level {level} has no tile in row {place[0]}, column {place[1]}")
    return Plan(
        region=_at_full(Window(y0, x0, y1, x1), halvings, facts.size),
        size=Size(y1 - y0, x1 - x0),
        encoding=encoding,
        view=view,
    )


def _span(number: int, side: int) -> tuple[int, int]:
    start = number * TILE
    return (start - OVERLAP if number else 0), min(start + TILE + OVERLAP, side) if start < side else start - OVERLAP


def _at_full(window: Window, halvings: int, full: Size) -> Window:
    return Window(
        window.y0 << halvings,
        window.x0 << halvings,
        min(window.y1 << halvings, full.height),
        min(window.x1 << halvings, full.width),
    )


async def xyz(service: Service, call: Call) -> Response:
    """Answers ``/xyz/{id}/{z}/{x}/{y}.{format}``: at z = 0 all of the image lies in one tile.

    Raises:
        ZigguratError: as the request or the image deserves.
    """
    if len(call.segments) < 5:  # noqa: PLR2004 - xyz, id, z, x, y
        raise SourceNotFound("there is nothing here; map tiles are /xyz/{id}/{z}/{x}/{y}.{format}")
    *parts, z, x, last = call.segments[1:]
    y, _, name = last.partition(".")
    if not all(_NUMBER.fullmatch(number) for number in (z, x, y)):
        raise UsageError(f"{z[:20]}/{x[:20]}/{last[:40]} is not Z/X/Y.FORMAT, such as 0/0/0.png")
    looked = await service.look("/".join(parts))
    plan = xyz_plan(looked.facts, int(z), (int(y), int(x)), parse_format(name), parse_view(call.query))
    return await picture(service, call, looked, plan)


def xyz_plan(facts: Facts, z: int, place: tuple[int, int], encoding: Encoding, view: View) -> Plan:
    """The tile of a row and column of a zoom, on a sheet of full size where it reaches over the image's edge.

    Raises:
        SourceNotFound: if there is no such tile.
    """
    top = max(0, (max(facts.size) - 1) // XYZ_TILE).bit_length()
    if z > top:
        raise SourceNotFound(f"there is no zoom {z}; the finest one is {top}")
    size = facts.size.halved(top - z)
    y0, x0 = place[0] * XYZ_TILE, place[1] * XYZ_TILE
    y1, x1 = min(y0 + XYZ_TILE, size.height), min(x0 + XYZ_TILE, size.width)
    if y0 >= y1 or x0 >= x1:
        raise SourceNotFound(f"zoom {z} has no tile x {place[1]}, y {place[0]}")
    return Plan(
        region=_at_full(Window(y0, x0, y1, x1), top - z, facts.size),
        size=Size(y1 - y0, x1 - x0),
        encoding=encoding,
        canvas=Size(XYZ_TILE, XYZ_TILE),
        view=view,
    )
