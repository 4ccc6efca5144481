"""A worker process: takes chunks of headers and single images from the coordinator, one at a time."""

import os
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ziggurat.convert import process
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.probe import Question, Terms, probe_all
from ziggurat.convert.records import Budget, Failure, Probe, Published, Task, Verified, naming
from ziggurat.convert.task import Ports, convert
from ziggurat.errors import OutOfMemory, WriteError, ZigguratError
from ziggurat.storage.destination import Destination, open_destination
from ziggurat.storage.network import NetworkOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is told once.

    Attributes:
        options: of the job.
        destination: URL or folder of the outputs.
        scratch: folder for temporary files of outputs that go to an object store.
        overwrite: whether targets that exist are replaced.
        network: how stores are reached.
        budget: memory of the job.
        share: bytes that one task may take without keeping the others from running.
    """

    options: OutputOptions
    destination: str
    scratch: str
    overwrite: bool
    network: NetworkOptions
    budget: Budget
    share: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A task's next step, told as it begins.

    Attributes:
        image: row of the ledger.
        name: read, write, verify, record or publish.
    """

    image: int
    name: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The coordinator's answer to ``Verified``: the ledger has it, publish."""

    image: int


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to a chunk of questions."""

    probes: list[Probe]


type Request = list[Question] | Task | Committed
type Answer = Stage | Verified | Published | Failure | Probed


def serve(connection: Connection, config: WorkerConfig) -> None:
    """Works until the coordinator closes the connection or dies. The entry point of the process."""
    process.begin_worker(config.network)
    destination = open_destination(config.destination, scratch=config.scratch)
    terms = Terms(config.options, destination, config.overwrite, config.budget, config.share)
    try:
        while True:
            match connection.recv():
                case Task() as task:
                    connection.send(_attempt(task, config, destination, connection))
                case list() as questions:
                    connection.send(Probed(probe_all(questions, terms)))
            process.trim()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _attempt(task: Task, config: WorkerConfig, destination: Destination, connection: Connection) -> Published | Failure:
    def commit(result: Verified) -> None:
        connection.send(result)
        answer = connection.recv()
        if answer != Committed(task.image):
            raise EOFError

    ports = Ports(
        options=config.options,
        destination=destination,
        overwrite=config.overwrite,
        stage=lambda name: connection.send(Stage(task.image, name)),
        commit=commit,
    )
    process.cap_memory(task.cap)
    try:
        return convert(task, ports)
    except ZigguratError as error:
        return _failure(task, type(error).__name__, str(error))
    except MemoryError:
        return _failure(
            task,
            OutOfMemory.__name__,
            f"{task.source} takes more than {task.cap >> 20} MiB, {task.memory >> 20} MiB were predicted from its "
            "header; raise --memory, or the file lies about its size",
        )
    except OSError as error:
        return _failure(task, WriteError.__name__, f"{task.target}: {error}")
    finally:
        process.lift_cap()


def _failure(task: Task, kind: str, message: str) -> Failure:
    return Failure(
        image=task.image,
        error_class=kind,
        error_message=naming(task.source, message),
        peak_memory=process.peak_memory(),
    )
