"""IIIF Presentation API 3.0: ``/presentation/3/collection.json`` and ``/presentation/3/{item}/manifest.json``."""

import asyncio
import gzip
import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Final

from starlette.responses import Response

from ziggurat.errors import Overloaded, SourceNotFound, ZigguratError
from ziggurat.model import JSON
from ziggurat.serve.call import Call
from ziggurat.serve.catalogue import quoted, unquoted
from ziggurat.serve.items import Contents, Item, Page, Pairs, item_of, label, section_parts
from ziggurat.serve.service import Looked, Service, etag

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
            contents = await service.contents()
            build = partial(_collection, service, call.base, contents)
        case ["3", *parts, "manifest.json"] if parts:
            item, looked = await call.unless_gone(_looked(service, "/".join(parts)))
            build = partial(_manifest, service, call.base, item, looked)
        case _:
            raise SourceNotFound("there is nothing here; see /presentation/3/collection.json")
    zipped = "gzip" in call.header(b"accept-encoding")
    # A collection of a hundred thousand items takes half a second, in which others must be answered.
    body = await asyncio.to_thread(_packed, build, zipped=zipped)
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding", "ETag": etag(body)}
    if call.matches(headers["ETag"]):
        return Response(None, 304, headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(body, 200, headers, f'application/ld+json;profile="{CONTEXT}"')


def _packed(build: Callable[[], JSON], *, zipped: bool) -> bytes:
    body = json.dumps(build(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    # Without the time of day, so that the same document is the same bytes.
    return gzip.compress(body, compresslevel=4, mtime=0) if zipped else body


def _collection(service: Service, base: str, contents: Contents) -> JSON:
    here = f"{base}/presentation/3"
    items: list[JSON] = [
        {
            "id": f"{here}/{quoted(item)}/manifest.json",
            "type": "Manifest",
            "label": _text(contents.labels.get(item) or label(item)),
        }
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


async def _looked(service: Service, segment: str) -> tuple[Item, list[Looked | ZigguratError]]:
    """An item, and what is known of its images."""
    item = await service.item(unquoted(segment))
    if item is None:
        found = service.catalogue.decode(segment)
        item = item_of(found.id, label(found.id), [Page(found.id)])
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def look(identifier: str) -> Looked | ZigguratError:
        async with turnstile:
            try:
                return await service.facts(service.catalogue.find(identifier))
            except Overloaded:
                raise
            except ZigguratError as error:
                return error

    looked = await asyncio.gather(*(look(page.id) for page in item.pages))
    if len(looked) == 1 and isinstance(looked[0], ZigguratError):
        raise looked[0]
    return item, looked


def _manifest(service: Service, base: str, item: Item, looked: list[Looked | ZigguratError]) -> JSON:
    here = f"{base}/presentation/3/{quoted(item.id)}"
    readable = [(page, one) for page, one in zip(item.pages, looked, strict=True) if isinstance(one, Looked)]
    canvases = [(page, one, f"{here}/canvas/{number}") for number, (page, one) in enumerate(readable, 1)]
    document: dict[str, JSON] = {
        "@context": CONTEXT,
        "id": f"{here}/manifest.json",
        "type": "Manifest",
        "label": _text(item.label),
        "items": [_canvas(service, base, (page, one), uri) for page, one, uri in canvases],
    }
    if item.metadata:
        document["metadata"] = _metadata(item.metadata)
    if readable:
        document["thumbnail"] = [_thumbnail(base, readable[0][1])]
    if len(readable) < len(looked):
        document["summary"] = _text(f"{len(looked) - len(readable)} of {len(looked)} images cannot be read")
    parts = _ranges(f"{here}/range", [(section_parts(page.section), uri) for page, _, uri in canvases])
    ranges: list[JSON] = [part for part in parts if part["type"] == "Range"]
    if ranges:
        document["structures"] = ranges
    return document


def _ranges(here: str, sections: Sequence[tuple[tuple[str, ...], str]]) -> list[dict[str, JSON]]:
    """A Range for every run of canvases of one section, with those of its parts inside; canvases of none stay as such.

    Args:
        here: what the identifiers of ranges begin with.
        sections: of every canvas the section's parts, outermost first, and its identifier.
    """
    found: list[dict[str, JSON]] = []
    number = 0
    for name, run in groupby(sections, key=lambda one: one[0][:1]):
        if not name:
            found += [{"id": uri, "type": "Canvas"} for _, uri in run]
            continue
        number += 1
        inside = f"{here}/{number}"
        items: list[JSON] = [*_ranges(inside, [(parts[1:], uri) for parts, uri in run])]
        found.append({"id": inside, "type": "Range", "label": _text(name[0]), "items": items})
    return found


def _metadata(pairs: Pairs) -> list[JSON]:
    return [{"label": _text(name), "value": _text(value)} for name, value in pairs]


def _canvas(service: Service, base: str, shown: tuple[Page, Looked], uri: str) -> JSON:
    page, looked = shown
    size = looked.facts.size
    sent = service.bounds.largest(size)
    image = _service(base, looked)
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
        "label": _text(page.label or label(looked.found.id)),
        "width": size.width,
        "height": size.height,
        "thumbnail": [_thumbnail(base, looked)],
        "items": [{"id": f"{uri}/page", "type": "AnnotationPage", "items": [painting]}],
    }
    if page.metadata:
        canvas["metadata"] = _metadata(page.metadata)
    if service.settings.download:
        original = f"{base}/download/{quoted(looked.found.id)}"
        canvas["rendering"] = [
            {"id": original, "type": "Image", "label": _text(f"original ({looked.facts.format})")},
        ]
    return canvas


def _thumbnail(base: str, looked: Looked) -> JSON:
    size = looked.facts.size
    scale = min(1.0, THUMBNAIL / max(size))
    width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
    image = _service(base, looked)
    return {
        "id": f"{image}/full/{width},{height}/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": [_reference(image)],
    }


def _service(base: str, looked: Looked) -> str:
    return f"{base}/iiif/3/{quoted(looked.found.id)}"


def _reference(image: str) -> JSON:
    return {"id": image, "type": "ImageService3", "profile": "level2"}


def _text(text: str) -> JSON:
    return {"none": [text.encode("utf-8", "replace").decode()]}
