"""OME-Zarr over HTTP: ``/zarr/{id}/zarr.json``, ``/zarr/{id}/{level}/zarr.json``, ``/zarr/{id}/{level}/c/{y}/{x}``."""

import re
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from ziggurat.errors import SourceChanged, SourceNotFound
from ziggurat.interop.multiscale import PACKED, Grid, array, grids, group, samples
from ziggurat.model import JSON
from ziggurat.serve.call import Call, json_response
from ziggurat.serve.items import label
from ziggurat.serve.service import Looked, Service, etag
from ziggurat.serve.wire import Slab

MOST_AXES: Final = 3

_NUMBER: Final = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


async def zarr(service: Service, call: Call) -> Response:
    """Answers what lies below ``/zarr/``. What is not there is 404, which Zarr takes for a chunk of fill values.

    Raises:
        ZigguratError: as the request or the image deserves.
    """
    match call.segments[1:]:
        case [*parts, "zarr.json"] if parts:
            return await _document(service, call, parts)
        case [*parts] if (found := _place(parts)) is not None:
            return await _chunk(service, call, *found)
    raise SourceNotFound("there is nothing here; images are Zarr groups at /zarr/{id}/zarr.json")


async def _document(service: Service, call: Call, parts: Sequence[str]) -> Response:
    level = int(parts[-1]) if len(parts) > 1 and _NUMBER.fullmatch(parts[-1]) else None
    if level is not None:
        try:
            looked = await service.look("/".join(parts[:-1]))
        except SourceNotFound:
            # A proxy may have decoded the slashes of an identifier that ends like a level.
            level = None
        else:
            return _json(call, _array(looked, _grid(looked, level)))
    looked = await service.look("/".join(parts))
    pyramid = looked.facts.pyramid
    arrays = [_array(looked, grid) for grid in grids(pyramid)]
    return _json(call, group(pyramid, label(looked.found.id), arrays))


def _array(looked: Looked, grid: Grid) -> JSON:
    return array(grid, looked.facts.dtype, [samples(looked.facts.dtype), *PACKED])


def _json(call: Call, document: JSON) -> Response:
    response = json_response(document, headers={"Cache-Control": "no-cache"})
    tag = etag(bytes(response.body))
    response.headers["ETag"] = tag
    return Response(None, 304, {"Cache-Control": "no-cache", "ETag": tag}) if call.matches(tag) else response


def _place(parts: Sequence[str]) -> tuple[str, int, list[int]] | None:
    """The identifier's segment, the level and the numbers of a chunk's path."""
    count = 0
    while count < MOST_AXES and count < len(parts) and _NUMBER.fullmatch(parts[-1 - count]):
        count += 1
    head = parts[: len(parts) - count]
    if count < MOST_AXES - 1 or len(head) < 3 or head[-1] != "c" or not _NUMBER.fullmatch(head[-2]):  # noqa: PLR2004 - id, level, c
        return None
    return "/".join(head[:-2]), int(head[-2]), [int(part) for part in parts[len(parts) - count :]]


def _grid(looked: Looked, level: int) -> Grid:
    levels = grids(looked.facts.pyramid)
    if level >= len(levels):
        raise SourceNotFound(f"there is no level {level}; the coarsest one is {len(levels) - 1}")
    return levels[level]


async def _chunk(service: Service, call: Call, segment: str, level: int, place: list[int]) -> Response:
    try:
        looked = await service.look(segment)
    except SourceNotFound as error:
        # Not 404: a reader would take an image that has gone for one of fill values.
        raise SourceChanged(f"{error}; it may have been there a moment ago") from error
    grid = _grid(looked, level)
    part = grid.part(place)
    if part is None:
        raise SourceNotFound(f"level {level} has no chunk {'/'.join(map(str, place))}")
    bands, window = part.bands, part.window
    shape = (grid.together, *grid.chunk)
    key = service.slab_key(looked, f"{level}/{bands}/{window.y0},{window.x0},{window.y1},{window.x1}/{shape}")
    headers = {"ETag": etag(key), "Cache-Control": service.freshness}
    if call.matches(headers["ETag"]):
        return Response(None, 304, headers)
    data = service.ready_slab(key)
    if data is None:
        task = Slab(looked.found.url, looked.facts.version, level, window, bands, shape, key)
        data = await call.unless_gone(service.make_slab(looked, task))
    return Response(data, 200, headers, "application/octet-stream")
