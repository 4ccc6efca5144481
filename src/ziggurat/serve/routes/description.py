"""``/openapi.json``: what the server answers, for programs and for tests that try everything."""

from typing import Final

from starlette.responses import Response

from ziggurat import __version__
from ziggurat.model import JSON
from ziggurat.serve.call import STATUS, Call, json_response
from ziggurat.serve.colourmaps import COLOUR_MAPS
from ziggurat.serve.desk import LONGEST_NOTE, MOST_PAIRS
from ziggurat.serve.plan import MEDIA_TYPES, QUALITIES
from ziggurat.serve.routes.api import DEGREES
from ziggurat.serve.routes.job import LONGEST_NAME
from ziggurat.serve.service import Service
from ziggurat.serve.view import BANDS, NUMBER, PAIR, STRETCHES

MOST: Final = 999_999_999
"""Of numbers of levels, rows and columns."""

_ERROR: Final[JSON] = {
    "type": "object",
    "required": ["status", "error", "message"],
    "properties": {
        "status": {"type": "integer"},
        "error": {"type": "string"},
        "message": {"type": "string"},
    },
}

_MEANINGS: Final = {
    400: "The request makes no sense.",
    401: "The secret is missing or wrong.",
    403: "The file may not be read by this server, or a page of another site wants to write.",
    404: "There is no such image.",
    405: "Only GET, HEAD and OPTIONS are possible.",
    500: "The file does not decode.",
    501: "The request makes sense and is not offered.",
    503: "Too much is asked for at once, or the store does not answer; try again.",
    504: "It took too long.",
}

_NUMBER: Final = r"([0-9]{1,10}(\.[0-9]{1,20})?|\.[0-9]{1,20})"
_WHOLE: Final = "[0-9]{1,10}"
_REGION: Final = f"^(full|square|{_WHOLE}(,{_WHOLE}){{3}}|pct:{_NUMBER}(,{_NUMBER}){{3}})$"
_SIZE: Final = f"^\\^?(max|full|pct:{_NUMBER}|{_WHOLE},|,{_WHOLE}|!?{_WHOLE},{_WHOLE})$"
_ROTATION: Final = f"^!?{_NUMBER}$"


async def description(service: Service, call: Call) -> Response:
    """The description of this server, in OpenAPI 3.1."""
    paths: dict[str, JSON] = {
        "/presentation/3/collection.json": _get("All items.", "application/ld+json"),
        "/presentation/3/{item}/manifest.json": _get("An item's images.", "application/ld+json", _text("item")),
        "/deepzoom/{id}.dzi": _get("A Deep Zoom image.", "application/xml", _text("id")),
        "/deepzoom/{id}_files/{level}/{column}_{row}.{format}": _picture(
            "A tile of a Deep Zoom image.", _text("id"), *map(_number, ("level", "column", "row"))
        ),
        "/xyz/{id}/{z}/{x}/{y}.{format}": _picture("A map tile.", _text("id"), *map(_number, ("z", "x", "y"))),
        "/zarr/{id}/zarr.json": _get("An image as a Zarr group of its levels.", "application/json", _text("id")),
        "/zarr/{id}/{resolution}/zarr.json": _get(
            "A level as a Zarr array.", "application/json", _text("id"), _number("resolution")
        ),
        "/api/site": _get("What the viewer must know of this server.", "application/json"),
        "/api/items": _get(
            "A page of the images, all or those that a search finds.",
            "application/json",
            *map(_asked, ("q", "under", "folder", "item", "state")),
            *(_asked(name, "^[0-9]{1,9}$") for name in ("offset", "limit")),
        ),
        "/api/folders": _get("The folders below one.", "application/json", _asked("under")),
        "/api/image/{id}": _get("All that is known of an image.", "application/json", _text("id")),
        "/api/place/{id}": _get("Where an image stands in its folder.", "application/json", _text("id")),
        "/api/values/{id}": _get(
            "The samples of a pixel.",
            "application/json",
            _text("id"),
            *(_asked(name, "^[0-9]{1,9}$", required=True) for name in ("x", "y")),
        ),
        "/api/pixel/{id}": _get(
            "The pixel of a place on the sky.",
            "application/json",
            _text("id"),
            *(_asked(name, DEGREES, required=True) for name in ("ra", "dec")),
        ),
        "/healthz": _get("Whether requests are answered.", "application/json"),
        "/metrics": _get("Counters for Prometheus.", "text/plain"),
    }
    for version in ("2", "3"):
        begin = f"/iiif/{version}/{{id}}"
        paths[f"{begin}/info.json"] = _get("An image's information.", "application/json", _text("id"))
        paths[f"{begin}/{{region}}/{{size}}/{{rotation}}/{{quality}}.{{format}}"] = _picture(
            "A picture.",
            _text("id"),
            _text("region", pattern=_REGION),
            _text("size", pattern=_SIZE),
            _text("rotation", pattern=_ROTATION),
            _text("quality", enum=list(QUALITIES)),
        )
    if service.desk is not None:
        paths |= _job()
    if service.settings.download:
        paths["/download/{id}"] = _get("The original file.", "*/*", _text("id"))
    document: JSON = {
        "openapi": "3.1.0",
        "info": {"title": "Ziggurat", "version": __version__},
        "servers": [{"url": call.base}],
        "paths": paths,
    }
    return json_response(document, headers={"Cache-Control": "no-cache"})


def _job() -> dict[str, JSON]:
    count: JSON = {"name": "count", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MOST_PAIRS}}
    review: JSON = {
        "type": "object",
        "required": ["verdict"],
        "properties": {
            "verdict": {"enum": ["accept", "reject", None]},
            "note": {"type": "string", "maxLength": LONGEST_NOTE},
            "reviewer": {"type": "string", "maxLength": LONGEST_NAME},
        },
    }
    failures = {str(status): {"description": _MEANINGS[status]} for status in (400, 401, 403, 404, 500, 503)}
    return {
        "/api/job": _get("How far the job is.", "application/json"),
        "/api/job/review": _get("Pairs to compare.", "application/json", count),
        "/api/job/review/{item}": {
            "post": {
                "summary": "Says what somebody thinks of a pair.",
                "parameters": [_text("item")],
                "requestBody": {"required": True, "content": {"application/json": {"schema": review}}},
                "responses": {"204": {"description": "It is written down."}} | failures,
            }
        },
    }


def _get(summary: str, media_type: str, *parameters: JSON) -> JSON:
    failures: dict[str, JSON] = {
        str(status): {"description": _MEANINGS[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in sorted({401, *(status for _, status in STATUS)})
    }
    answers: dict[str, JSON] = {
        "200": {"description": summary, "content": {media_type: {}}},
        "304": {"description": "The client has it already."},
    }
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers | failures}}


def _picture(summary: str, *parameters: JSON) -> JSON:
    query: list[JSON] = [
        _asked("bands", f"^{BANDS}$"),
        _asked("range", f"^{PAIR}$"),
        _asked("percentile", f"^{PAIR}$"),
        _asked("gamma", f"^{NUMBER}$"),
        {"name": "stretch", "in": "query", "schema": {"type": "string", "enum": list(STRETCHES)}},
        {"name": "colormap", "in": "query", "schema": {"type": "string", "enum": list(COLOUR_MAPS)}},
        {"name": "invert", "in": "query", "schema": {"type": "string", "enum": ["0", "1"]}},
    ]
    return _get(summary, "image/*", *parameters, _text("format", enum=list(MEDIA_TYPES)), *query)


def _text(name: str, **schema: JSON) -> JSON:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, **schema}}


def _number(name: str) -> JSON:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0, "maximum": MOST}}


def _asked(name: str, pattern: str = "", *, required: bool = False) -> JSON:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string", "pattern": pattern}}
