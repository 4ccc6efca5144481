"""IIIF Image API: ``/iiif/3/{id}/...`` and ``/iiif/2/{id}/...``."""

from functools import lru_cache
from typing import Final

from starlette.responses import Response

from ziggurat.errors import SourceNotFound
from ziggurat.serve.call import Call, json_response
from ziggurat.serve.catalogue import quoted, unquoted
from ziggurat.serve.iiif.info import CONTEXTS, PROFILES, info
from ziggurat.serve.iiif.syntax import Bounds, Request, Version, resolve
from ziggurat.serve.routes.picture import picture
from ziggurat.serve.service import Service
from ziggurat.serve.view import parse_view

PARAMETERS: Final = 4
"""Segments that follow the identifier: region, size, rotation, and quality with the format."""

VERSIONS: Final[dict[str, Version]] = {"2": "2", "3": "3"}

_resolve = lru_cache(maxsize=8192)(resolve)
_view = lru_cache(maxsize=1024)(parse_view)


async def image_api(service: Service, call: Call) -> Response:
    """Answers what lies below ``/iiif/``.

    Raises:
        ZigguratError: as the request or the image deserves.
    """
    version = VERSIONS.get(call.segments[1]) if len(call.segments) > 2 else None  # noqa: PLR2004 - iiif, 3, id
    if version is None:
        raise SourceNotFound("there is nothing here; image requests begin with /iiif/3/{id}/ or /iiif/2/{id}/")
    rest = call.segments[2:]
    if rest[-1] == "info.json" and len(rest) > 1:
        return await _info(service, call, "/".join(rest[:-1]), version)
    if len(rest) > PARAMETERS:
        return await _picture(service, call, rest, version)
    found = service.catalogue.decode("/".join(rest).removesuffix("/"))
    return Response(None, 303, {"Location": f"{call.base}/iiif/{version}/{quoted(found.id)}/info.json"})


async def _picture(service: Service, call: Call, rest: list[str], version: Version) -> Response:
    looked = await service.look("/".join(rest[:-PARAMETERS]))
    region, size, rotation, last = (unquoted(part) if "%" in part else part for part in rest[-PARAMETERS:])
    quality, _, encoding = last.rpartition(".")
    request = Request(region, size, rotation, quality, encoding)
    view = _view(call.query)
    resolved = _resolve(request, looked.facts.size, service.bounds, version, view)
    shown = f"?{view.key}" if view.key else ""
    uri = f"{call.base}/iiif/{version}/{quoted(looked.found.id)}/{resolved.canonical}{shown}"
    link = f'<{uri}>;rel="canonical",<{PROFILES[version]}>;rel="profile"'
    return await picture(service, call, looked, resolved.plan, link)


async def _info(service: Service, call: Call, segment: str, version: Version) -> Response:
    looked = await service.look(segment)
    uri = f"{call.base}/iiif/{version}/{quoted(looked.found.id)}"
    document = info(looked.facts, uri, Bounds(service.bounds.pixels), version)
    profile = f'<{PROFILES[version]}>;rel="profile"'
    headers = {"Cache-Control": "no-cache", "Vary": "Accept", "Link": profile}
    response = json_response(document, headers=headers)
    if "application/ld+json" in call.header(b"accept"):
        response.headers["Content-Type"] = f'application/ld+json;profile="{CONTEXTS[version]}"'
    else:
        context = f'<{CONTEXTS[version]}>;rel="http://www.w3.org/ns/json-ld#context";type="application/ld+json"'
        response.headers["Link"] = f"{context},{profile}"
    return response
