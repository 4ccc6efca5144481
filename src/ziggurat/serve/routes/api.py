"""What the viewer asks for besides images, by the second segment of the path."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import Response

from ziggurat.errors import SourceNotFound
from ziggurat.serve.call import Call
from ziggurat.serve.routes.job import job
from ziggurat.serve.service import Service

type Handler = Callable[[Service, Call], Awaitable[Response]]

API: Final[Mapping[str, Handler]] = {"job": job}


async def api(service: Service, call: Call) -> Response:
    """Answers what lies below ``/api/``.

    Raises:
        ZigguratError: as the request deserves.
    """
    handler = API.get(call.segments[1] if len(call.segments) > 1 else "")
    if handler is None:
        raise SourceNotFound(f"there is nothing here; there are {', '.join(f'/api/{name}' for name in API)}")
    return await handler(service, call)
