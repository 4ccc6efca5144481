"""IIIF Presentation API 3.0: ``/presentation/3/collection.json`` and ``/presentation/3/{item}/manifest.json``."""

import asyncio
from typing import Final

from starlette.responses import Response

from ziggurat.errors import Overloaded, SourceNotFound, ZigguratError
from ziggurat.model import JSON
from ziggurat.serve.call import Call, json_response
from ziggurat.serve.catalogue import quoted, unquoted
from ziggurat.serve.items import label
from ziggurat.serve.service import Looked, Service

CONTEXT: Final = "http://iiif.io/api/presentation/3/context.json"

THUMBNAIL: Final = 240
"""Pixels of a thumbnail's longer side."""

AT_ONCE: Final = 16
"""Headers that are read side by side for one manifest: other requests must get through as well."""


async def presentation(service: Service, call: Call) -> Response:
    """Answers what lies below ``/presentation/3/``.

    Raises:
        ZigguratError: as the request deserves.
    """
    match call.segments[1:]:
        case ["3", "collection.json"]:
            document = await _collection(service, call)
        case ["3", *parts, "manifest.json"] if parts:
            document = await call.unless_gone(_manifest(service, call, "/".join(parts)))
        case _:
            raise SourceNotFound("there is nothing here; see /presentation/3/collection.json")
    response = json_response(document, headers={"Cache-Control": "no-cache", "Vary": "Accept"})
    response.headers["Content-Type"] = f'application/ld+json;profile="{CONTEXT}"'
    return response


async def _collection(service: Service, call: Call) -> JSON:
    contents = await service.contents()
    here = f"{call.base}/presentation/3"
    items: list[JSON] = [
        {"id": f"{here}/{quoted(item)}/manifest.json", "type": "Manifest", "label": _text(label(item))}
        for item in contents.items
    ]
    document: dict[str, JSON] = {
        "@context": CONTEXT,
        "id": f"{here}/collection.json",
        "type": "Collection",
        "label": _text(", ".join(root.title for root in service.catalogue.roots)),
        "items": items,
    }
    if not contents.complete:
        document["summary"] = _text(f"the first {service.settings.limits.listed} images; there are more")
    return document


async def _manifest(service: Service, call: Call, segment: str) -> JSON:
    item = unquoted(segment)
    pages = await service.pages(item)
    if pages is None:
        found = service.catalogue.decode(segment)
        item, pages = found.id, (found.id,)
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def look(identifier: str) -> Looked | ZigguratError:
        async with turnstile:
            try:
                return await service.facts(service.catalogue.find(identifier))
            except Overloaded:
                raise
            except ZigguratError as error:
                return error

    looked = await asyncio.gather(*map(look, pages))
    if len(looked) == 1 and isinstance(looked[0], ZigguratError):
        raise looked[0]
    base = f"{call.base}/presentation/3/{quoted(item)}"
    readable = [one for one in looked if isinstance(one, Looked)]
    document: dict[str, JSON] = {
        "@context": CONTEXT,
        "id": f"{base}/manifest.json",
        "type": "Manifest",
        "label": _text(label(item)),
        "items": [_canvas(service, call, one, f"{base}/canvas/{number}") for number, one in enumerate(readable, 1)],
    }
    if readable:
        document["thumbnail"] = [_thumbnail(call, readable[0])]
    if len(readable) < len(looked):
        document["summary"] = _text(f"{len(looked) - len(readable)} of {len(looked)} images cannot be read")
    return document


def _canvas(service: Service, call: Call, looked: Looked, uri: str) -> JSON:
    size = looked.facts.size
    sent = service.bounds.largest(size)
    image = _service(call, looked)
    body: JSON = {
        "id": f"{image}/full/max/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": sent.width,
        "height": sent.height,
        "service": [_reference(image)],
    }
    painting: JSON = {
        "id": f"{uri}/page/image",
        "type": "Annotation",
        "motivation": "painting",
        "body": body,
        "target": uri,
    }
    canvas: dict[str, JSON] = {
        "id": uri,
        "type": "Canvas",
        "label": _text(label(looked.found.id)),
        "width": size.width,
        "height": size.height,
        "thumbnail": [_thumbnail(call, looked)],
        "items": [{"id": f"{uri}/page", "type": "AnnotationPage", "items": [painting]}],
    }
    if service.settings.download:
        original = f"{call.base}/download/{quoted(looked.found.id)}"
        canvas["rendering"] = [
            {"id": original, "type": "Image", "label": _text(f"original ({looked.facts.format})")},
        ]
    return canvas


def _thumbnail(call: Call, looked: Looked) -> JSON:
    size = looked.facts.size
    scale = min(1.0, THUMBNAIL / max(size))
    width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
    image = _service(call, looked)
    return {
        "id": f"{image}/full/{width},{height}/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": [_reference(image)],
    }


def _service(call: Call, looked: Looked) -> str:
    return f"{call.base}/iiif/3/{quoted(looked.found.id)}"


def _reference(image: str) -> JSON:
    return {"id": image, "type": "ImageService3", "profile": "level2"}


def _text(text: str) -> JSON:
    return {"none": [text.encode("utf-8", "replace").decode()]}
