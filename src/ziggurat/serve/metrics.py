"""Counters of a server, and their text for Prometheus."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ziggurat.serve.pool import Pool

if TYPE_CHECKING:
    from ziggurat.serve.service import Hits

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends in seconds."""


@dataclass(slots=True)
class _Latencies:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0


@dataclass(slots=True)
class Traffic:
    """Requests so far, by route."""

    requests: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    sent: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    open: int = 0
    _latencies: defaultdict[str, _Latencies] = field(default_factory=lambda: defaultdict(_Latencies))

    def count(self, route: str, status: int, size: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self.requests[route, status] += 1
        self.sent[route] += size
        latencies = self._latencies[route]
        latencies.counts[bisect_left(BUCKETS, seconds)] += 1
        latencies.total += seconds

    def histogram(self) -> Iterator[str]:
        """Lines of the durations."""
        for route, latencies in sorted(self._latencies.items()):
            below = 0
            for end, count in zip((*BUCKETS, "+Inf"), latencies.counts, strict=True):
                below += count
                yield f'ziggurat_request_seconds_bucket{{route="{route}",le="{end}"}} {below}'
            yield f'ziggurat_request_seconds_sum{{route="{route}"}} {latencies.total:.6f}'
            yield f'ziggurat_request_seconds_count{{route="{route}"}} {below}'


def exposition(traffic: Traffic, pool: Pool, hits: "Hits") -> str:
    """All counters, in the text format of Prometheus 0.0.4."""
    figures = pool.figures
    lines = [
        *_metric("requests_total", "counter", "Requests answered.", (
            (f'route="{route}",status="{status}"', number)
            for (route, status), number in sorted(traffic.requests.items())
        )),
        *_metric("sent_bytes_total", "counter", "Bytes of bodies sent.", (
            (f'route="{route}"', number) for route, number in sorted(traffic.sent.items())
        )),
        *_metric("requests_open", "gauge", "Requests being answered.", [("", traffic.open)]),
        *_metric("pictures_total", "counter", "Where pictures came from.", (
            (f'from="{name}"', getattr(hits, name)) for name in ("memory", "disk", "made", "joined")
        )),
        *_metric("tasks_waiting", "gauge", "Tasks that wait for a worker.", [("", pool.waiting)]),
        *_metric("tasks_total", "counter", "What became of tasks for workers.", (
            (f'result="{name}"', getattr(figures, name))
            for name in ("done", "failed", "dropped", "refused", "crashed", "timed_out")
        )),
        *_metric("worker_seconds_total", "counter", "Time that workers took for tasks.", [("", figures.seconds)]),
        "# HELP ziggurat_request_seconds Time to answer a request.",
        "# TYPE ziggurat_request_seconds histogram",
        *traffic.histogram(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP ziggurat_{name} {text}"
    yield f"# TYPE ziggurat_{name} {kind}"
    for labels, value in values:
        yield f"ziggurat_{name}{{{labels}}} {value}" if labels else f"ziggurat_{name} {value}"
