"""What the viewer asks the server, as JSON: everything below ``/api/``."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

from starlette.responses import Response

from ziggurat import __version__
from ziggurat.errors import SourceNotFound, UsageError
from ziggurat.model import JSON
from ziggurat.serve.call import Call, json_response
from ziggurat.serve.catalogue import quoted
from ziggurat.serve.colourmaps import COLOUR_MAPS
from ziggurat.serve.items import Entry, Wanted, label
from ziggurat.serve.routes.job import job
from ziggurat.serve.service import Looked, Service
from ziggurat.serve.view import STRETCHES

type Handler = Callable[[Service, Call], Awaitable[Response]]

MOST: Final = 500
"""Images in one answer."""

NO_STORE: Final = {"Cache-Control": "no-store"}

DEGREES: Final = r"^[-+]?[0-9]{1,2}(\.[0-9]{1,12})?$"
"""What an angle of a query looks like to programs; whether it makes sense is another question."""

_WHOLE = re.compile(r"\d{1,9}", re.ASCII)


async def api(service: Service, call: Call) -> Response:
    """Answers what lies below ``/api/``.

    Raises:
        ZigguratError: as the request or the image deserves.
    """
    name = call.segments[1] if len(call.segments) > 1 else ""
    handler = ANSWERS.get(name)
    if handler is None:
        raise SourceNotFound(f"there is nothing at /api/{name[:80]}; there are {', '.join(sorted(ANSWERS))}")
    return await handler(service, call)


async def _site(service: Service, call: Call) -> Response:  # noqa: ARG001 - as all of them
    """What the pages must know before they can ask for anything."""
    document: JSON = {
        "title": ", ".join(root.title for root in service.catalogue.roots),
        "version": __version__,
        "download": service.settings.download,
        "job": service.desk is not None,
        "columns": list(await asyncio.to_thread(service.catalogue.columns)),
        "colormaps": list(COLOUR_MAPS),
        "stretches": list(STRETCHES),
    }
    return json_response(document, headers=NO_STORE)


async def _items(service: Service, call: Call) -> Response:
    """A page of the images that all fields are true of."""
    asked = _fields(call)
    offset, limit = _whole(asked, "offset", 0), min(_whole(asked, "limit", 100), MOST)
    wanted = Wanted(
        asked.get("q", ""),
        state=asked.get("state") or None,
        item=asked.get("item") or None,
        under=asked.get("under", ""),
        folder=asked.get("folder"),
    )
    await _listed(service)
    hits = await asyncio.to_thread(service.catalogue.search, wanted, offset, limit)
    document: dict[str, JSON] = {
        "total": hits.total,
        "complete": hits.complete,
        "items": [_item(service, entry) for entry in hits.entries],
    }
    return json_response(document, headers=NO_STORE)


def _item(service: Service, entry: Entry) -> JSON:
    facts = service.known(entry.id)
    return {
        "id": _shown(entry.id),
        "ref": quoted(entry.id),
        "width": None if facts is None else facts.size.width,
        "height": None if facts is None else facts.size.height,
        **_belonging(entry),
    }


def _belonging(entry: Entry) -> dict[str, JSON]:
    """What an image is called, and where it belongs."""
    equal = entry.psnr is not None and math.isinf(entry.psnr)
    return {
        "name": entry.label,
        "folder": _shown(entry.folder),
        "item": quoted(entry.item),
        "title": None if entry.title is None else _shown(entry.title),
        "side": entry.side,
        "state": entry.state,
        "counterpart": None if entry.counterpart is None else quoted(entry.counterpart),
        "fidelity": {"psnr": None if equal else entry.psnr, "ssimulacra2": entry.ssimulacra2},
        "identical": equal,
    }


async def _folders(service: Service, call: Call) -> Response:
    """The folders directly below one, and how many images each holds."""
    asked = _fields(call)
    under = asked.get("under", "")
    await _listed(service)
    found = await asyncio.to_thread(service.catalogue.folders, under)
    offset, limit = _whole(asked, "offset", 0), min(_whole(asked, "limit", MOST), MOST)
    document: JSON = {
        "under": _shown(under),
        "total": len(found),
        "folders": [
            {
                "folder": _shown(folder),
                "ref": quoted(folder),
                "name": _shown(folder.rpartition("/")[2]),
                "count": count,
            }
            for folder, count in found[offset : offset + limit]
        ],
    }
    return json_response(document, headers=NO_STORE)


async def _image(service: Service, call: Call) -> Response:
    """Everything that is known of an image."""
    looked = await _looked(service, call)
    facts, identifier = looked.facts, looked.found.id
    told: dict[str, JSON] = json.loads(await call.unless_gone(service.details(looked)))
    document: dict[str, JSON] = {
        "id": _shown(identifier),
        "ref": quoted(identifier),
        "width": facts.size.width,
        "height": facts.size.height,
        "bytes": facts.version[0],
        **told,
    }
    if facts.resolution is not None:
        document["resolution"] = list(facts.resolution)
    entry = await asyncio.to_thread(service.catalogue.entry, identifier)
    if entry is None:
        document |= {"name": label(identifier), "folder": _shown(identifier.rpartition("/")[0])}
    else:
        described: list[JSON] = [{"label": name, "value": value} for name, value in entry.metadata]
        document |= {**_belonging(entry), "described": described}
    return json_response(document, headers={"Cache-Control": "no-cache"})


async def _place(service: Service, call: Call) -> Response:
    """Where an image stands among those beside it: those of its item, or else of its folder."""
    found = service.catalogue.decode(_segment(call))
    await _listed(service)
    place = await asyncio.to_thread(service.catalogue.place, found.id)
    item, folder = place.beside.item, place.beside.folder
    document: JSON = {
        "ref": quoted(found.id),
        "item": quoted(place.item),
        "title": None if place.title is None else _shown(place.title),
        "beside": f"folder={quoted(folder or '')}" if item is None else f"item={quoted(item)}",
        "index": place.index,
        "total": place.total,
    }
    return json_response(document, headers=NO_STORE)


async def _values(service: Service, call: Call) -> Response:
    """The samples of a pixel."""
    looked = await _looked(service, call)
    asked = _fields(call)
    y, x = _whole(asked, "y", None), _whole(asked, "x", None)
    size = looked.facts.size
    if y >= size.height or x >= size.width:
        raise UsageError(f"pixel x={x}, y={y} is outside of {size.width} x {size.height}; both are counted from 0")
    data = await call.unless_gone(service.values(looked, y, x))
    return Response(data, 200, {"Cache-Control": service.freshness}, "application/json")


async def _pixel(service: Service, call: Call) -> Response:
    """The pixel of a place on the sky."""
    asked = _fields(call)
    ra, dec = _degrees(asked, "ra", 360), _degrees(asked, "dec", 90)
    looked = await _looked(service, call)
    data = await call.unless_gone(service.pixel(looked, ra, dec))
    return Response(data, 200, {"Cache-Control": service.freshness}, "application/json")


async def _looked(service: Service, call: Call) -> Looked:
    return await service.look(_segment(call))


def _segment(call: Call) -> str:
    segment = "/".join(call.segments[2:])
    if not segment:
        raise SourceNotFound(f"there is nothing here; it is /api/{call.segments[1]}/{{id}}")
    return segment


async def _listed(service: Service) -> None:
    """Sees to it that what places hold is listed, and not too long ago."""
    if service.catalogue.holds_images:
        await service.seen()


def _shown(text: str) -> str:
    """A name with bytes that are no UTF-8 replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _fields(call: Call) -> dict[str, str]:
    try:
        found = parse_qs(call.query, keep_blank_values=True, max_num_fields=20, errors="surrogateescape")
    except ValueError:
        raise UsageError("the query has too many fields; give each once") from None
    return {name: values[0] for name, values in found.items()}


def _whole(asked: dict[str, str], name: str, usual: int | None) -> int:
    text = asked.get(name)
    if text is None and usual is not None:
        return usual
    if text is None or _WHOLE.fullmatch(text) is None:
        raise UsageError(f"{name}={(text or '')[:20]!a} is not a whole number from 0")
    return int(text)


def _degrees(asked: dict[str, str], name: str, most: float) -> float:
    """An angle of a query.

    Raises:
        UsageError: if it is none.
    """
    try:
        angle = float(asked.get(name, ""))
    except ValueError:
        angle = math.nan
    if not abs(angle) <= most:
        raise UsageError(f"{name}={asked.get(name, '')[:40]!a} is no number of degrees up to {most}")
    return angle


ANSWERS: Final[dict[str, Handler]] = {
    "site": _site,
    "items": _items,
    "folders": _folders,
    "image": _image,
    "place": _place,
    "values": _values,
    "pixel": _pixel,
    "job": job,
}
"""By the second segment of the path."""
