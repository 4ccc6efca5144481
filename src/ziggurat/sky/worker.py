"""A worker process: makes a batch of cutouts, one after the other, and tells what became of each."""

import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from astropy.coordinates import SkyCoord

from ziggurat.convert import process
from ziggurat.errors import OutOfMemory, StoreFull, TargetExists, ZigguratError
from ziggurat.sky.make import Maker, covered_share
from ziggurat.sky.options import CutoutOptions
from ziggurat.sky.outputs import kind
from ziggurat.sky.records import Batch, Finished, Order, Outcome
from ziggurat.storage.destination import Destination, digests_of, open_destination
from ziggurat.storage.network import NetworkOptions
from ziggurat.storage.stored import writing


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is told once.

    Attributes:
        options: of the cutouts.
        destination: URL or folder.
        scratch: folder for temporary files of cutouts that go to an object store.
        job: what tells the job from others.
        overwrite: whether cutouts that exist are replaced.
        network: how stores are reached.
        memory: bytes that one cutout may take.
    """

    options: CutoutOptions
    destination: str
    scratch: str
    job: str
    overwrite: bool
    network: NetworkOptions
    memory: int


def serve(connection: Connection, config: WorkerConfig) -> None:
    """Works until the coordinator closes the connection or dies. The entry point of the process."""
    process.begin_worker(config.network)
    destination = open_destination(config.destination, scratch=config.scratch)
    try:
        with Maker(config.options, memory=config.memory) as maker:
            while True:
                batch: Batch = connection.recv()
                process.cap_memory(2 * config.memory)
                for order in batch.orders:
                    connection.send(attempt(order, batch, maker, destination, config))
                process.lift_cap()
                connection.send(Finished())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


def attempt(order: Order, batch: Batch, maker: Maker, destination: Destination, config: WorkerConfig) -> Outcome:
    """Makes, writes and publishes one cutout; whatever goes wrong is its outcome."""
    began = time.perf_counter()
    try:
        place = SkyCoord(order.ra, order.dec, unit="deg")
        images = {band: [batch.images[number] for number in numbers] for band, numbers in order.bands.items()}
        made = maker.make(place, images)
        covered = covered_share(made)
        if covered == 0:
            return Outcome(
                row=order.row,
                state="uncovered",
                error_class="NotCovered",
                error_message="the images there have only undefined pixels",
            )
        data = kind(config.options.kind).encode(made, config.options.colour)
        size, sha256 = _published(data, order, destination, config)
        return Outcome(
            row=order.row,
            state="done",
            images=len({(used.image.url, used.image.hdu) for one in made for used in one.used}),
            covered=covered,
            size=size,
            sha256=sha256,
            pixels=sum(one.data.size for one in made),
            seconds=time.perf_counter() - began,
        )
    except ZigguratError as error:
        return _failed(order, type(error).__name__, str(error))
    except MemoryError:
        text = f"it takes more than {2 * config.memory >> 20} MiB; ask for smaller cutouts, or raise --memory"
        return _failed(order, OutOfMemory.__name__, text)


def _published(data: bytes, order: Order, destination: Destination, config: WorkerConfig) -> tuple[int, str]:
    """Puts a cutout in its place. One that is there with the same bytes is ours, of a run that was killed."""
    token = order.token(config.job)
    temporary = destination.temporary(order.key, token)
    try:
        with writing(str(temporary)):
            temporary.write_bytes(data)
        digests = digests_of(temporary)
        try:
            destination.publish(temporary, order.key, digests, overwrite=config.overwrite)
        except TargetExists:
            if not destination.matches(order.key, digests):
                raise
    finally:
        destination.cleanup(order.key, token)
    return digests.size, digests.sha256


def _failed(order: Order, kind_: str, message: str) -> Outcome:
    state = "planned" if kind_ == StoreFull.__name__ else "failed"
    return Outcome(row=order.row, state=state, error_class=kind_, error_message=message)
