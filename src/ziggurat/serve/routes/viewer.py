"""The viewer's pages and their files: HTML, style sheets and plain modules, as they lie in ``serve/viewer/``.

Every address in them is relative, so that they work below any path that a proxy shows the server under.
"""

import asyncio
import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

from starlette.responses import Response

from ziggurat.errors import SourceNotFound
from ziggurat.serve.call import Call
from ziggurat.serve.service import Service, etag

FOLDER: Final = Path(__file__).parents[1] / "viewer"

PAGES: Final = {
    "": "collection.html",
    "image": "image.html",
    "compare": "compare.html",
    "job": "job.html",
    "review": "review.html",
}
"""By the path; what follows a question mark is for the page itself."""

DRAWING: Final = "vendor/openseadragon.min.js"
"""What the package's build fetches."""

NEED_DRAWING: Final = frozenset({"image", "compare", "review"})

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Nothing comes from elsewhere, and nothing that stands in a page itself is run."""


async def page(service: Service, call: Call) -> Response:  # noqa: ARG001 - as all routes
    """Answers ``/``, ``/image``, ``/compare``, ``/job`` and ``/review``.

    Raises:
        SourceNotFound: if there is nothing below these.
    """
    name = call.segments[0]
    if len(call.segments) > 1:
        raise SourceNotFound(f"there is nothing below /{name}; images are /image?id={{id}}")
    path = call.scope["path"]
    if not name and not path.endswith("/"):
        # Relative addresses begin behind the last slash.
        return Response(None, 307, {"Location": f"{call.base}/"})
    missing = name in NEED_DRAWING and not (FOLDER / DRAWING).is_file()
    return await _file(call, "missing.html" if missing else PAGES[name], 501 if missing else 200)


async def static(service: Service, call: Call) -> Response:  # noqa: ARG001 - as all routes
    """Answers ``/static/...``.

    Raises:
        SourceNotFound: if there is no such file.
    """
    name = "/".join(call.segments[1:])
    if name not in await asyncio.to_thread(_names):
        raise SourceNotFound(f"there is nothing at /static/{name[:80]}; reinstall the package if it should be there")
    return await _file(call, name, 200)


def _names() -> frozenset[str]:
    """The files that are handed out."""
    found = (path for path in FOLDER.rglob("*") if path.suffix in TYPES and path.is_file())
    return frozenset(path.relative_to(FOLDER).as_posix() for path in found)


async def _file(call: Call, name: str, status: int) -> Response:
    path = FOLDER / name
    try:
        when = path.stat().st_mtime_ns
        plain, packed, tag = await asyncio.to_thread(_read, path, when)
    except OSError as error:
        raise SourceNotFound(f"the viewer's {name} cannot be read; reinstall the package") from error
    headers = {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept-Encoding"}
    if path.suffix == ".html":
        headers |= {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
    if status == 200 and call.matches(tag):  # noqa: PLR2004 - OK
        return Response(None, 304, headers)
    if "gzip" in call.header(b"accept-encoding"):
        return Response(packed, status, headers | {"Content-Encoding": "gzip"}, TYPES[path.suffix])
    return Response(plain, status, headers, TYPES[path.suffix])


@lru_cache(maxsize=128)
def _read(path: Path, when: int) -> tuple[bytes, bytes, str]:  # noqa: ARG001 - another version is another entry
    """A file's bytes, the same packed, and the entity tag."""
    data = path.read_bytes()
    return data, gzip.compress(data, mtime=0), etag(data)
