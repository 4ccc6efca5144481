"""One image from source to published output, inside a worker. Each step of the commit order is a line here."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ziggurat.convert import process
from ziggurat.convert.decoding import lightened
from ziggurat.convert.fidelity import verify
from ziggurat.convert.options import OutputOptions
from ziggurat.convert.pipeline import Conversion, set_up, tuned
from ziggurat.convert.records import Published, Task, Verified
from ziggurat.convert.tuning import doubts
from ziggurat.errors import SourceChanged
from ziggurat.image import open_image
from ziggurat.storage.destination import Destination, Digests, digests_of
from ziggurat.storage.folder import FolderSource
from ziggurat.storage.memory import MemorySource
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.resolve import open_source
from ziggurat.storage.stored import source_digest
from ziggurat.write.picture import hold


@dataclass(frozen=True, slots=True)
class Ports:
    """What a task needs of its surroundings.

    Attributes:
        options: of the job.
        destination: where outputs go.
        overwrite: whether targets that exist are replaced.
        stage: told the name of every step before it begins.
        commit: gives the verified result to the coordinator and returns once the ledger has it.
    """

    options: OutputOptions
    destination: Destination
    overwrite: bool
    stage: Callable[[str], None]
    commit: Callable[[Verified], None]


def convert(task: Task, ports: Ports) -> Published:
    """Converts one image: read, write, verify, record, publish.

    Raises:
        ZigguratError: if any step fails; the temporary file is then gone and nothing is published.
    """
    destination = ports.destination
    began = time.process_time()
    process.reset_peak_memory()
    try:
        temporary = destination.temporary(task.target, task.token)
        result, digests = _make(task, ports, temporary)
        ports.stage("record")
        ports.commit(result)
        ports.stage("publish")
        clock = time.perf_counter()
        ours = task.replaces is not None and destination.holds(task.target, task.replaces)
        stored = destination.publish(temporary, task.target, digests, overwrite=ours or ports.overwrite)
        seconds = time.perf_counter() - clock
    except BaseException:
        destination.cleanup(task.target, task.token)
        raise
    return Published(
        image=task.image,
        output_tag=stored.tag,
        publish_seconds=seconds,
        cpu_seconds=time.process_time() - began,
        peak_memory=process.peak_memory(),
    )


def _make(task: Task, ports: Ports, temporary: Path) -> tuple[Verified, Digests]:
    """Everything up to a verified temporary file."""
    ports.stage("read")
    clock = time.perf_counter()
    source = _planned_source(task)
    source, sha256 = _hashed(source, hold_it=task.strategy == "whole")
    if task.expected_sha256 is not None and sha256 != task.expected_sha256:
        source.close()
        raise SourceChanged(
            f"{task.source} has SHA-256 {sha256}, the manifest says {task.expected_sha256}: the file is damaged "
            "or is not the one that was catalogued"
        )
    with open_image(source, memory=max(task.memory, 1 << 20)) as image:
        conversion = set_up(image, ports.options, task.writer)
        light = lightened(image, conversion, ports.options)
        conversion = light.conversion
        if task.strategy == "whole":
            held = hold(conversion.picture)
            conversion = Conversion(conversion.name, held, conversion.writer, conversion.exact)
        read = time.perf_counter()
        ports.stage("write")
        options, chosen = ports.options, None
        wanted = options.fidelity if conversion.name == "jpeg" else None
        if wanted is not None:
            conversion, options, chosen = tuned(conversion, options, wanted, whole=task.strategy == "whole")
        conversion.writer.write(conversion.picture, temporary, memory=task.memory)
        digests = digests_of(temporary)
        written = time.perf_counter()
        ports.stage("verify")
        fidelity = verify(conversion, temporary, options, memory=task.memory, known=light.fidelity)
        verified = time.perf_counter()
        warnings = light.image.warnings
        if chosen is not None and wanted is not None:
            warnings += doubts(chosen, wanted, fidelity.psnr, fidelity.ssimulacra2)
    return (
        Verified(
            image=task.image,
            source_sha256=sha256,
            output_size=digests.size,
            output_sha256=digests.sha256,
            read_seconds=read - clock,
            write_seconds=written - read,
            verify_seconds=verified - written,
            psnr=fidelity.psnr,
            ssimulacra2=fidelity.ssimulacra2,
            warnings=warnings,
            decoding=light.decoding,
            settings=None if chosen is None else json.dumps(chosen.record()),
        ),
        digests,
    )


def _planned_source(task: Task) -> ByteSource:
    source = open_source(task.source)
    version = source.version
    if (version.size, version.tag) != (task.source_size, task.source_tag):
        source.close()
        raise SourceChanged(
            f"{task.source} is not the file that was planned: {task.source_size} bytes, {task.source_tag} then, "
            f"{version.size} bytes, {version.tag} now"
        )
    return source


def _hashed(source: ByteSource, *, hold_it: bool) -> tuple[ByteSource, str]:
    """The source and its SHA-256, of a Zarr that of its document; read once and kept in memory when it may be held."""
    if isinstance(source, FolderSource):
        with closing(source.open(source.document)) as document:
            return source, source_digest(document)[0]
    if hold_it:
        data = source.read_ranges([ByteRange(0, source.size)])[0]
        source.close()
        held = MemorySource(source.url, data, version=source.version)
        return held, hashlib.sha256(data).hexdigest()
    return source, source_digest(source)[0]
