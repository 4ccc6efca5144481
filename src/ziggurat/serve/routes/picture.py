"""What all routes do that end in a picture: entity tag, cache, worker, headers."""

from starlette.responses import Response

from ziggurat.serve.call import Call
from ziggurat.serve.plan import MEDIA_TYPES, Plan
from ziggurat.serve.service import Looked, Service, etag
from ziggurat.serve.wire import Kind


async def picture(service: Service, call: Call, looked: Looked, plan: Plan, link: str | None = None) -> Response:
    """The response that carries a picture, or says that the client has it.

    Args:
        service: makes it.
        call: the request.
        looked: the image.
        plan: what is made of it.
        link: Link header.
    """
    key = service.key(looked, plan)
    headers = {"ETag": etag(key), "Cache-Control": service.freshness}
    if link is not None:
        headers["Link"] = link
    if call.matches(headers["ETag"]):
        return Response(None, 304, headers)
    data = service.ready(key, plan)
    if data is None:
        answer = await call.unless_gone(service.make(looked, plan, key))
        data = answer.data
        if answer.kind is Kind.SKETCHED:
            headers |= {"Cache-Control": "no-store", "Ziggurat-Sketch": "1"}
            del headers["ETag"]
    return Response(data, 200, headers, MEDIA_TYPES[plan.encoding])
