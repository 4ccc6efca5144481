"""A worker's death costs one request; what is too much is sent away; nothing is made twice, or for nobody."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs import picture, write_image
from serving import Answer, Server, serving, workers_of

PAUSE = 0.2
"""Seconds from a request's arrival until its task has certainly been handed on."""


@pytest.fixture
def single(collection: Path) -> Iterator[Server]:
    """A server with one worker that has started, and a short queue."""
    with serving(collection, "--workers", 1, "--queue", 3, "--timeout", 60, "--cache-size", 0) as server:
        assert server.get("/iiif/3/ramp.png/info.json").status == 200
        yield server


@pytest.fixture
def impatient(collection: Path) -> Iterator[Server]:
    """The same with little patience for a worker."""
    with serving(collection, "--workers", 1, "--timeout", 3, "--cache-size", 0) as server:
        assert server.get("/iiif/3/ramp.png/info.json").status == 200
        yield server


def tile(number: int) -> str:
    return f"/iiif/3/ramp.png/{number},0,10,10/max/0/default.png"


def halted(server: Server) -> int:
    [worker] = workers_of(server)
    os.kill(worker, signal.SIGSTOP)
    return worker


def asked(pool: ThreadPoolExecutor, server: Server, path: str) -> Future[Answer]:
    """Asks for something that a halted worker is to make, and waits until the server has taken it up."""
    before = server.metric("requests_open")
    future = pool.submit(server.get, path)
    server.reaches("requests_open", before + 1)
    time.sleep(PAUSE)
    return future


def is_listening(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), 60).close()
    except ConnectionError:
        return False
    return True


def test_one_request_reads_no_more_than_is_allowed(tmp_path: Path) -> None:
    write_image(tmp_path / "large.tif", picture(1000, 1000))
    with serving(tmp_path, "--workers", 1, "--max-read", "1M") as server:
        for _ in range(2):
            assert server.get("/iiif/3/large.tif/0,0,90,90/max/0/default.jpg").status == 200
            for path in ("/iiif/3/large.tif/full/300,/0/default.jpg", "/zarr/large.tif/1/c/0/0/0"):
                refused = server.get(path)
                assert (refused.status, refused.json["error"]) == (400, "TooManyBytes")
                assert "smaller region" in refused.json["message"]


def test_a_crash_costs_one_request(single: Server) -> None:
    with ThreadPoolExecutor() as pool:
        worker = halted(single)
        lost = asked(pool, single, tile(1))
        os.kill(worker, signal.SIGKILL)
        answer = lost.result()
    assert answer.status == 500
    assert answer.json["error"] == "WorkerCrashed"
    assert "SIGKILL" in answer.json["message"]
    assert single.get(tile(1)).status == 200
    assert workers_of(single) != [worker]
    assert single.metric('tasks_total{result="crashed"}') == 1


def test_an_idle_worker_that_dies_costs_nothing_but_time(single: Server) -> None:
    [worker] = workers_of(single)
    os.kill(worker, signal.SIGKILL)
    time.sleep(PAUSE)
    first, second = single.get(tile(1)), single.get(tile(2))
    assert (first.status, second.status) == (200, 200)


def test_a_worker_that_hangs_is_killed(impatient: Server) -> None:
    worker = halted(impatient)
    began = time.monotonic()
    answer = impatient.get(tile(1))
    assert answer.status == 504
    assert time.monotonic() - began > 2.5
    assert impatient.get(tile(1)).status == 200
    assert worker not in workers_of(impatient)


def test_too_many_requests_are_sent_away_and_the_others_answered(single: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        worker = halted(single)
        waiting = [asked(pool, single, tile(number)) for number in range(4)]
        single.reaches("tasks_waiting", 3)
        refused = [single.get(tile(number)) for number in range(4, 7)]
        os.kill(worker, signal.SIGCONT)
        assert [future.result().status for future in waiting] == [200] * 4
    for answer in refused:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json["error"] == "Overloaded"
    assert single.get(tile(5)).status == 200


def test_the_same_picture_is_made_once_for_all_who_ask(single: Server) -> None:
    before = single.metric('tasks_total{result="done"}')
    with ThreadPoolExecutor(8) as pool:
        worker = halted(single)
        waiting = [pool.submit(single.get, tile(1)) for _ in range(6)]
        single.reaches('pictures_total{from="joined"}', 5)
        os.kill(worker, signal.SIGCONT)
        answers = [future.result() for future in waiting]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert single.metric('tasks_total{result="done"}') == before + 1


def test_what_nobody_waits_for_is_not_made(single: Server) -> None:
    before = single.metric('tasks_total{result="done"}')
    with ThreadPoolExecutor() as pool:
        worker = halted(single)
        first = asked(pool, single, tile(1))
        with socket.create_connection(("127.0.0.1", single.port)) as client:
            client.sendall(f"GET {tile(2)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            single.reaches("tasks_waiting", 1)
        single.reaches("requests_open", 2)
        os.kill(worker, signal.SIGCONT)
        assert first.result().status == 200
    assert single.get(tile(3)).status == 200
    assert single.metric('tasks_total{result="done"}') == before + 2
    assert single.metric('tasks_total{result="dropped"}') == 1


def test_workers_end_with_the_server(collection: Path) -> None:
    with serving(collection, "--workers", 2) as server:
        server.get("/iiif/3/ramp.png/info.json")
        workers = workers_of(server)
        assert len(workers) == 2
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_damaged_files_are_errors_of_their_own(collection: Path, single: Server) -> None:
    data = (collection / "ramp.png").read_bytes()
    (collection / "cut.png").write_bytes(data[: len(data) // 2])
    answer = single.get("/iiif/3/cut.png/full/max/0/default.jpg")
    assert answer.status == 500
    assert answer.json["error"] == "CorruptImage"
    assert str(collection) not in answer.json["message"]
    assert single.get(tile(0)).status == 200


def test_a_worker_that_has_grown_too_large_is_replaced_between_requests(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1200, 1200))
    # A worker with its libraries alone is larger than six tenths of 60 MiB.
    with serving(tmp_path, "--workers", 1, "--memory", "60M", "--cache-size", 0) as server:
        assert server.get("/iiif/3/a.png/info.json").status == 200
        first = workers_of(server)
        for number in range(140):
            assert server.get(f"/iiif/3/a.png/{number},0,10,10/max/0/default.png").status == 200
        assert workers_of(server) != first
        assert server.metric('tasks_total{result="crashed"}') == 0
        assert server.metric('tasks_total{result="failed"}') == 0


def test_ctrl_c_finishes_what_can_be_finished(impatient: Server) -> None:
    with ThreadPoolExecutor() as pool:
        worker = halted(impatient)
        cut = asked(pool, impatient, tile(1))
        impatient.process.send_signal(signal.SIGINT)
        time.sleep(PAUSE)
        assert impatient.process.poll() is None
        ended(impatient, worker, cut)


def test_ctrl_c_twice_ends_at_once(single: Server) -> None:
    with ThreadPoolExecutor() as pool:
        worker = halted(single)
        cut = asked(pool, single, tile(1))
        single.process.send_signal(signal.SIGINT)
        while is_listening(single):
            time.sleep(0.02)
        single.process.send_signal(signal.SIGINT)
        # The worker may take longer.
        ended(single, worker, cut)


def ended(server: Server, worker: int, cut: Future[Answer]) -> None:
    """The server ends soon, tells who waits, and leaves nothing."""
    assert server.process.wait(30) == 130
    assert cut.result().status in {500, 503, 504}
    assert not Path(f"/proc/{worker}").exists()
    assert "Traceback" not in "".join(server.lines)
