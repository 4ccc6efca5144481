"""A JPEG 2000 file written again in a layout for byte ranges: same pixels, same metadata, nothing decoded."""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from pathlib import Path

from ziggurat.codestream.copying import batches, filled, length_of
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import TilePart
from ziggurat.codestream.parts import locate_parts, packet_lengths, read_headers
from ziggurat.codestream.reads import Span
from ziggurat.codestream.recoding import Recoding
from ziggurat.codestream.rewrap import Rewrapping, plan_file
from ziggurat.codestream.transcode import plan_transcoding
from ziggurat.errors import FormatError, TargetExists, VerificationFailed
from ziggurat.format.foreign import named
from ziggurat.format.jpeg2000.container import read_container
from ziggurat.format.jpeg2000.windows import drive
from ziggurat.storage.destination import Destination, digests_of, writing
from ziggurat.storage.local import LocalSource
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.storage.protocol import ByteSource
from ziggurat.storage.ranges import ByteRange

_NEAR, _FAR = 1 << 21, 1 << 25
"""Bytes held at once: what stays in a processor's cache, and what is worth a request to a store."""

_LONG = 1 << 16
"""Bytes of a span from which on the operating system is asked to copy it."""

_HEADERS = 1 << 10
"""Tile-parts whose headers are read back in one go."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done.

    Attributes:
        url: what the result is called.
        before, after: bytes of the source and of the result.
        tiles, parts, packets: of the result.
        notes: what the user should know.
    """

    url: str
    before: int
    after: int
    tiles: int
    parts: int
    packets: int
    notes: tuple[str, ...]


def transcode(
    source: ByteSource, destination: Destination, key: str, recoding: Recoding, *, overwrite: bool = False
) -> Report:
    """Writes a file again in another layout.

    The result gets its name only when its headers have been read back and agree with each other.

    Args:
        source: a JP2, JPX or JPH file, or a bare codestream.
        destination: where the result goes.
        key: its name there.
        recoding: the layout.
        overwrite: whether something that lies there is replaced.

    Raises:
        TargetExists: if something lies there and is not to be replaced.
        FormatError: if the source is damaged, or beyond what can be laid out anew.
        UsageError: if the source cannot be laid out so.
        VerificationFailed: if the result does not read back.
        WriteError: if it cannot be stored.
    """
    if not overwrite and destination.exists(key) is not None:
        raise TargetExists(f"{destination.url(key)} exists; choose another name, or ask for overwriting")
    with named(source.url):
        plan = _plan(source, recoding)
    token = f"transcode-{secrets.token_hex(8)}"
    try:
        temporary = destination.temporary(key, token)
        with named(source.url):
            _write(source, plan, temporary)
        _check(temporary, plan)
        if isinstance(destination, LocalDestination):
            stored = destination.move(temporary, key, overwrite=overwrite)
        else:
            stored = destination.publish(temporary, key, digests_of(temporary), overwrite=overwrite)
    finally:
        destination.cleanup(key, token)
    codestream = plan.codestream
    return Report(
        url=destination.url(key),
        before=source.size,
        after=stored.size,
        tiles=len({part.tile for part in codestream.parts}),
        parts=len(codestream.parts),
        packets=codestream.packets,
        notes=(*codestream.notes, *plan.notes),
    )


def _plan(source: ByteSource, recoding: Recoding) -> Rewrapping:
    container = read_container(source)
    span = Span(container.codestream.start, container.codestream.end + container.truncated)
    index = CodestreamIndex(container.main, container.head, span, source.size)
    codestream = drive(plan_transcoding(index, container.head, recoding), source)
    return drive(plan_file(span, source.size, codestream, level=recoding.drop_levels), source)


def _write(source: ByteSource, plan: Rewrapping, path: Path) -> None:
    """Writes the file; long spans of a local source do not pass through this process."""
    local = source if isinstance(source, LocalSource) else None

    def is_long(piece: bytes | Span) -> bool:
        return local is not None and isinstance(piece, Span) and length_of(piece) >= _LONG

    with writing(str(path)), path.open("xb", buffering=0) as file:
        for long, pieces in groupby(plan.pieces(), is_long):
            if local is None or not long:
                _write_all(source, pieces, file)
                continue
            for piece in pieces:
                if isinstance(piece, bytes) or not local.copy(ByteRange(*piece), file.fileno()):
                    _write_all(source, [piece], file)


def _write_all(source: ByteSource, pieces: Iterable[bytes | Span], file: FileIO) -> None:
    for batch in batches(pieces, hold=_NEAR if isinstance(source, LocalSource) else _FAR):
        parts = drive(filled(batch), source)
        left = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        while left:
            left = left[file.write(left) :]


def _check(path: Path, plan: Rewrapping) -> None:
    """Reads the headers of the result: tile-parts must lie where they were put, and PLT must add up.

    Raises:
        VerificationFailed: if they do not.
    """
    with closing(LocalSource(path)) as source:
        try:
            container = read_container(source)
            start, end = container.codestream.start, container.codestream.end
            found = drive(locate_parts(container.main, Span(start, end), source.size), source)
            listed = sorted((part for own in found.values() for part in own), key=lambda part: part.offset)
            wrong = "" if start == plan.start else f"its codestream begins at byte {start}, not {plan.start}"
            wrong = wrong or _difference(source, plan, listed)
        except FormatError as error:
            wrong = str(error)
    if wrong:
        raise VerificationFailed(f"what was written does not read back and is thrown away: {wrong}; report this")


def _difference(source: ByteSource, plan: Rewrapping, listed: Sequence[TilePart]) -> str:
    planned = plan.codestream.parts
    if len(listed) != len(planned):
        return f"it has {len(listed)} tile-parts, not {len(planned)}"
    at = plan.start + len(plan.codestream.head)
    for first in range(0, len(planned), _HEADERS):
        wanted = planned[first : first + _HEADERS]
        guess = max(len(part.head) for part in wanted)
        found = drive(read_headers(listed[first : first + _HEADERS], guess=guess, size=source.size), source)
        for part, header in zip(wanted, found, strict=True):
            place = (header.part.tile, header.part.offset, header.body, header.part.end)
            if place != (part.tile, at, at + len(part.head), at + part.length):
                return f"there is no tile-part of {part.length} bytes of tile {part.tile} at byte {at}"
            lengths = packet_lengths(header)
            if lengths is not None and (len(lengths), header.body + int(lengths.sum())) != (
                part.packets,
                header.part.end,
            ):
                return f"the packet lengths (PLT) of the tile-part at byte {at} do not add up"
            at += part.length
    return ""
