"""How the server is: ``/healthz`` and ``/metrics`` (Prometheus' text format)."""

from starlette.responses import Response

from ziggurat.serve.call import Call, json_response
from ziggurat.serve.metrics import exposition
from ziggurat.serve.service import Service


async def health(service: Service, call: Call) -> Response:  # noqa: ARG001 - as all routes
    """Whether requests are answered; how many wait."""
    return json_response({"status": "ok", "waiting": service.pool.waiting}, headers={"Cache-Control": "no-store"})


async def metrics(service: Service, call: Call) -> Response:  # noqa: ARG001 - as all routes
    """Counters since the server began."""
    text = exposition(service.traffic, service.pool, service.hits)
    return Response(text, 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4; charset=utf-8")
