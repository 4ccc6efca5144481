"""OpenJPEG, bound with ctypes: what its wheels do not offer is decoding a part of the image.

Pixels come back as the codestream's components, untouched: no palette, no colour conversion. Everything is
read from memory.
"""

import ctypes
import ctypes.util
import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ziggurat.codec import _libopenjp2 as lib
from ziggurat.errors import CorruptImage, DependencyError, OutOfMemory, UnsupportedFeature

_log = logging.getLogger(__name__)

MINIMUM_VERSION = (2, 5, 4)
ENVIRONMENT = "ZIGGURAT_OPENJPEG"
"""Environment variable with the path of the shared library to use."""

MAX_COORDINATE = (1 << 31) - 1
"""OpenJPEG takes the corners of an area as signed 32-bit numbers."""

_STREAM_BUFFER = 1 << 20
"""Bytes that OpenJPEG asks for at once: few calls back into Python, little memory."""

_MAX_MESSAGES = 50
"""A damaged file can cause one message per packet; the first ones tell."""


class Area(NamedTuple):
    """A half-open rectangle on the codestream's reference grid."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class Plane:
    """One decoded component.

    Attributes:
        data: (h, w), int32.
        depth: significant bits.
        signed: whether samples may be negative.
        dx, dy: spacing on the reference grid before reduction.
        x0, y0: column and row of the first sample on the component's own grid at the decoded resolution.
    """

    data: NDArray[np.int32]
    depth: int
    signed: bool
    dx: int
    dy: int
    x0: int
    y0: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """All components of an image or of an area of it, and what OpenJPEG warned of."""

    planes: tuple[Plane, ...]
    warnings: tuple[str, ...]


def library_path() -> str:
    """Where the shared library is taken from: ZIGGURAT_OPENJPEG, imagecodecs' wheel, or the system.

    Raises:
        DependencyError: if it is nowhere.
    """
    return os.environ.get(ENVIRONMENT) or _found()


@cache
def _found() -> str:
    """The library of imagecodecs' wheel, or the system's."""
    folder = Path(imagecodecs.__file__).parent.with_name("imagecodecs.libs")
    bundled = sorted(folder.glob("libopenjp2*.so*"))
    if bundled:
        return str(bundled[0])
    found = ctypes.util.find_library("openjp2")
    if found is None:
        raise DependencyError(
            f"OpenJPEG is not here: neither in {folder} nor on the system; install imagecodecs from its wheel "
            f"or libopenjp2, or name the shared library in {ENVIRONMENT}"
        )
    return found


@cache
def load(path: str) -> tuple[ctypes.CDLL, tuple[int, ...]]:
    """The library at a path, declared, and its version.

    Raises:
        DependencyError: if it cannot be used.
    """
    try:
        library = ctypes.CDLL(path)
        lib.declare(library)
    except (OSError, AttributeError) as error:
        raise DependencyError(f"{path} cannot be used as OpenJPEG: {error}") from error
    text = library.opj_version().decode("ascii", "replace")
    found = tuple(int(part) for part in text.split(".") if part.isdigit())
    if found < MINIMUM_VERSION:
        raise DependencyError(
            f"{path} is OpenJPEG {text}; {'.'.join(map(str, MINIMUM_VERSION))} or newer is needed, because "
            "older ones write outside their buffers on damaged files"
        )
    return library, found


def version() -> tuple[int, ...]:
    """The version of the library in use.

    Raises:
        DependencyError: if there is none, or it is too old.
    """
    return load(library_path())[1]


def decode(
    data: bytes,
    *,
    reduce: int = 0,
    area: Area | None = None,
    threads: int = 1,
    strict: bool = True,
) -> Decoded:
    """Decodes a bare codestream.

    Args:
        data: the codestream from SOC on.
        reduce: finest resolutions to leave out.
        area: what to decode, on the reference grid; None is everything.
        threads: that OpenJPEG may use.
        strict: whether a truncated codestream is an error.

    Returns:
        Every component; of an area, the samples that lie inside.

    Raises:
        CorruptImage: with OpenJPEG's own messages, if it does not decode completely.
        UnsupportedFeature: if an area lies beyond what OpenJPEG can address, or it says so of the coding.
        OutOfMemory: if OpenJPEG could not allocate its buffers.
        DependencyError: if there is no usable OpenJPEG.
    """
    if area is not None and max(area) > MAX_COORDINATE:
        raise UnsupportedFeature(f"OpenJPEG addresses areas up to {MAX_COORDINATE}, not {tuple(area)}")
    try:
        return _decode(data, reduce, area, threads, strict=strict)
    except (CorruptImage, UnsupportedFeature):
        if threads == 1:
            raise
        # Of several broken code-blocks, threads report the one they come to first: one thread, the first in order.
        return _decode(data, reduce, area, 1, strict=strict)


def _decode(data: bytes, reduce: int, area: Area | None, threads: int, *, strict: bool) -> Decoded:
    library, _ = load(library_path())
    session = _Session(library, data)
    try:
        session.open(reduce=reduce, threads=threads, strict=strict)
        session.run(area)
        for message in session.warnings:
            _log.warning("OpenJPEG: %s", message)
        return Decoded(session.planes(), tuple(session.warnings))
    finally:
        session.close()


def decode_plainly(data: bytes) -> NDArray[np.generic]:
    """Decodes a bare codestream whole, through imagecodecs: for where no shared library can be bound.

    Args:
        data: the codestream from SOC on, whose components are alike.

    Returns:
        Array (y, x, component).

    Raises:
        CorruptImage: if it does not decode.
    """
    try:
        pixels: NDArray[np.generic] = imagecodecs.jpeg2k_decode(data)
    except (imagecodecs.Jpeg2kError, NotImplementedError, ValueError) as error:
        raise CorruptImage(f"OpenJPEG failed: {error}") from error
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels  # noqa: PLR2004 - one component comes without its axis


class _Session:
    """One decoding: codec, stream and image handles, released together by ``close``."""

    def __init__(self, library: ctypes.CDLL, data: bytes) -> None:
        self._library = library
        self._source = _MemoryStream(data)
        self._codec: int | None = None
        self._stream: int | None = None
        self._image = ctypes.POINTER(lib.Image)()
        self._handlers: list[Callable[[bytes, int | None], None]] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def open(self, *, reduce: int, threads: int, strict: bool) -> None:
        """Creates the codec and reads the main header."""
        library = self._library
        self._codec = library.opj_create_decompress(lib.CODEC_J2K)
        self._stream = library.opj_stream_create(_STREAM_BUFFER, 1)
        if not self._codec or not self._stream:
            raise OutOfMemory("OpenJPEG has no memory for a decoder")
        self._handlers = [collector(self.warnings), collector(self.errors)]
        library.opj_set_warning_handler(self._codec, self._handlers[0], None)
        library.opj_set_error_handler(self._codec, self._handlers[1], None)
        self._source.attach(library, self._stream)
        parameters = lib.DecoderParameters()
        library.opj_set_default_decoder_parameters(ctypes.byref(parameters))
        parameters.cp_reduce = reduce
        parameters.flags |= lib.IGNORE_PCLR_CMAP_CDEF
        self._check(library.opj_setup_decoder(self._codec, ctypes.byref(parameters)), "setting up")
        self._check(library.opj_decoder_set_strict_mode(self._codec, int(strict)), "setting up")
        if threads > 1:
            self._check(library.opj_codec_set_threads(self._codec, threads), "starting threads")
        self._check(library.opj_read_header(self._stream, self._codec, ctypes.byref(self._image)), "reading the header")

    def run(self, area: Area | None) -> None:
        """Decodes into the image."""
        library = self._library
        if area is not None:
            self._check(library.opj_set_decode_area(self._codec, self._image, *area), "choosing the area")
        self._check(library.opj_decode(self._codec, self._stream, self._image), "decoding")
        self._check(library.opj_end_decompress(self._codec, self._stream), "finishing")

    def planes(self) -> tuple[Plane, ...]:
        """The components; their memory passes from the image to the arrays."""
        image = self._image.contents
        return tuple(self._plane(image.comps[index], index) for index in range(image.numcomps))

    def _plane(self, component: lib.Component, index: int) -> Plane:
        address, height, width = component.data, component.h, component.w
        if not address or not height or not width:
            raise CorruptImage(f"OpenJPEG decoded nothing of component {index}{self._said()}")
        buffer = (ctypes.c_int32 * (height * width)).from_address(address)
        component.data = None
        weakref.finalize(buffer, self._library.opj_image_data_free, address).atexit = False
        return Plane(
            data=np.frombuffer(buffer, np.int32).reshape(height, width),
            depth=component.prec,
            signed=bool(component.sgnd),
            dx=component.dx,
            dy=component.dy,
            x0=-(-component.x0 >> component.factor),
            y0=-(-component.y0 >> component.factor),
        )

    def _check(self, succeeded: int, doing: str) -> None:
        if not succeeded and any("memory" in message.lower() for message in self.errors):
            raise OutOfMemory(f"OpenJPEG failed at {doing}{self._said()}")
        if not succeeded and any("not support" in text or "nsupported" in text for text in self.errors):
            raise UnsupportedFeature(f"OpenJPEG failed at {doing}{self._said()}")
        if not succeeded:
            raise CorruptImage(f"OpenJPEG failed at {doing}{self._said()}")

    def _said(self) -> str:
        said = dict.fromkeys(self.errors or self.warnings)
        return f": {'; '.join(said)}" if said else ""

    def close(self) -> None:
        """Releases every handle that was had."""
        if self._image:
            self._library.opj_image_destroy(self._image)
        if self._stream:
            self._library.opj_stream_destroy(self._stream)
        if self._codec:
            self._library.opj_destroy_codec(self._codec)
        self._source.detach()


def collector(messages: list[str]) -> Callable[[bytes, int | None], None]:
    """A message handler of OpenJPEG's that appends to a list; to be kept as long as the codec."""

    def collect(message: bytes, _data: int | None) -> None:
        if len(messages) < _MAX_MESSAGES:
            messages.append(message.decode("utf-8", "replace").strip())

    return lib.MESSAGE(collect)


class _MemoryStream:
    """OpenJPEG's input stream over bytes. The callbacks never raise: there is nobody to catch it."""

    def __init__(self, data: bytes) -> None:
        self._held = np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)
        self._address = self._held.ctypes.data
        self._size = len(data)
        self._at = 0
        self._callbacks = (lib.READ(self._read), lib.SKIP(self._skip), lib.SEEK(self._seek))

    def attach(self, library: ctypes.CDLL, stream: int) -> None:
        """Makes the stream read from here."""
        read, skip, seek = self._callbacks
        library.opj_stream_set_read_function(stream, read)
        library.opj_stream_set_skip_function(stream, skip)
        library.opj_stream_set_seek_function(stream, seek)
        library.opj_stream_set_user_data(stream, None, None)
        library.opj_stream_set_user_data_length(stream, self._size)

    def detach(self) -> None:
        """Breaks the cycle between the callbacks and this object, so that the bytes go at once."""
        self._callbacks = ()  # type: ignore[assignment]  # never attached again

    def _read(self, buffer: int, wanted: int, _data: int | None) -> int:
        length = min(wanted, self._size - self._at)
        if length <= 0:
            return lib.END
        ctypes.memmove(buffer, self._address + self._at, length)
        self._at += length
        return length

    def _skip(self, wanted: int, _data: int | None) -> int:
        length = min(wanted, self._size - self._at)
        if wanted < 0 or (length == 0 and wanted):
            return -1
        self._at += length
        return length

    def _seek(self, position: int, _data: int | None) -> int:
        if not 0 <= position <= self._size:
            return 0
        self._at = position
        return 1
