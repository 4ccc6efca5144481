"""Original files: ``/download/{id}``, whole or one range of bytes."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from ziggurat.errors import SourceNotFound
from ziggurat.format.table import FOLDER
from ziggurat.serve.call import Call
from ziggurat.serve.service import Service, etag
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source

PIECE: Final = 1 << 20
"""Bytes sent at a time."""

TYPES: Final = {
    "jp2": "image/jp2", "j2k": "image/j2c", "tiff": "image/tiff", "jpeg": "image/jpeg", "png": "image/png",
    "webp": "image/webp", "avif": "image/avif", "jxl": "image/jxl", "fits": "image/fits",
    "ozx": "application/zip",
}  # fmt: skip

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


async def original(service: Service, call: Call) -> Response:
    """Sends a file as it is. Several ranges in one request are answered with the whole file, as RFC 9110 14.2 allows.

    Raises:
        SourceNotFound: if there is no such image, or files are not handed out.
        ZigguratError: if it cannot be read.
    """
    if not service.settings.download:
        raise SourceNotFound("original files are not handed out here")
    looked = await service.look("/".join(call.segments[1:]))
    if looked.facts.format == FOLDER:
        raise SourceNotFound(f"{looked.found.id!a} is a folder of many files, none of which is the image")
    size, version = looked.facts.version
    tag = etag(f"original\0{looked.found.url}\0{size}\0{version}")
    name = quote(looked.found.id.rpartition("/")[2], safe="", errors="replace")
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": service.freshness,
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
    }
    if call.matches(tag):
        return Response(None, 304, headers)
    span, status = ByteRange(0, size), 200
    condition = call.header(b"if-range")
    if not condition or condition == tag:
        wanted = parse_range(call.header(b"range"), size)
        if wanted == "unsatisfiable":
            return Response(None, 416, {"Content-Range": f"bytes */{size}"})
        if isinstance(wanted, ByteRange):
            span, status = wanted, 206
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    headers["Content-Length"] = str(span.length)
    media_type = TYPES.get(looked.facts.format, "application/octet-stream")
    if call.scope["method"] == "HEAD" or not span.length:
        return Response(None, status, headers, media_type)
    source = await asyncio.to_thread(open_source, looked.found.url, network=service.settings.network)
    if (source.version.size, source.version.tag) != looked.facts.version:
        source.close()
        service.forget(looked.found)
        raise SourceNotFound(f"{looked.found.url} was changed a moment ago; ask again")
    return StreamingResponse(_pieces(source, span), status, headers, media_type)


def parse_range(header: str, size: int) -> ByteRange | str | None:
    """The one range that a Range header asks for (RFC 9110 14.1.2).

    Returns:
        None where the header is to be ignored, "unsatisfiable" where it lies behind the end.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return ByteRange(size - length, size) if length else "unsatisfiable"
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    return ByteRange(start, end) if start < size else "unsatisfiable"


async def _pieces(source: ByteSource, span: ByteRange) -> AsyncIterator[bytes]:
    try:
        for start in range(span.start, span.end, PIECE):
            piece = ByteRange(start, min(start + PIECE, span.end))
            yield (await asyncio.to_thread(source.read_ranges, [piece]))[0]
    finally:
        source.close()
