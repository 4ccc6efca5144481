"""Encoding by OpenJPEG: what its library can lay out and the wheels' wrapper cannot ask for.

Precincts, layers, SOP and EPH, tile-parts by resolution and PLT. One codestream of one tile, in memory.
"""

import ctypes
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ziggurat.codec import _libopenjp2 as lib
from ziggurat.codec.openjpeg import collector, library_path, load
from ziggurat.errors import DependencyError, OutOfMemory, UnsupportedFeature
from ziggurat.model import Samples

BYPASS, SEGMENTATION_SYMBOLS = 0x01, 0x20
"""Bits of a code-block's style (ISO/IEC 15444-1 Table A.19)."""

_PRECINCTS, _SOP, _EPH = 0x01, 0x02, 0x04
"""Bits of ``csty``, those of Scod (Table A.13)."""

_RPCL = 2
_STREAM_BUFFER = 1 << 20
_UNSPECIFIED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a codestream is coded.

    Attributes:
        levels: decomposition levels.
        tile: height and width of the tile, of which the picture is the first one.
        reversible: the 5-3 transform, which can be lossless; else the 9-7.
        measure: what the numbers in ``layers`` are: compression ratios, 1 being everything, or decibels of PSNR.
        layers: one number for each quality layer, the coarsest first.
        component_transform: whether the first three bands are decorrelated (Annex G).
        precincts: side of the square precincts, the finest resolution first; empty for none.
        progression: 0 LRCP, 1 RLCP, 2 RPCL, 3 PCRL, 4 CPRL.
        block_style: BYPASS and SEGMENTATION_SYMBOLS, or neither.
        sop, eph: whether packets and packet headers are delimited.
        plt: whether the tile-parts list their packets.
        split: whether each resolution is a tile-part.
    """

    levels: int
    tile: int
    reversible: bool = True
    measure: Literal["ratio", "psnr"] = "ratio"
    layers: tuple[float, ...] = (1.0,)
    component_transform: bool = False
    precincts: tuple[int, ...] = ()
    progression: int = _RPCL
    block_style: int = 0
    sop: bool = False
    eph: bool = False
    plt: bool = False
    split: bool = False


def encode(pixels: Samples, coding: Coding, *, depth: int) -> bytes:
    """Encodes one tile as a bare codestream.

    Args:
        pixels: (y, x, band), integers of at most 16 bits; not larger than the tile.
        coding: how.
        depth: significant bits of all bands.

    Raises:
        UnsupportedFeature: with OpenJPEG's own messages, if it does not encode so.
        OutOfMemory: if its buffers cannot be allocated.
        DependencyError: if there is no usable OpenJPEG.
    """
    library, _ = load(library_path())
    session = _Session(library)
    try:
        return session.run(pixels, coding, depth)
    finally:
        session.close()


class _Session:
    """One encoding: codec, stream and image handles, released together by ``close``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._codec: int | None = None
        self._stream: int | None = None
        self._image = ctypes.POINTER(lib.Image)()
        self._out = _MemoryStream()
        self._said: list[str] = []
        self._handlers: list[object] = []

    def run(self, pixels: Samples, coding: Coding, depth: int) -> bytes:
        """Encodes into memory."""
        library = self._library
        self._codec = library.opj_create_compress(lib.CODEC_J2K)
        self._stream = library.opj_stream_create(_STREAM_BUFFER, 0)
        self._image = self._filled(pixels, depth)
        if not self._codec or not self._stream or not self._image:
            raise OutOfMemory("OpenJPEG has no memory for an encoder")
        self._handlers = [collector(self._said), collector([])]
        library.opj_set_error_handler(self._codec, self._handlers[0], None)
        library.opj_set_warning_handler(self._codec, self._handlers[1], None)
        self._out.attach(library, self._stream)
        parameters = self._parameters(coding)
        self._check(library.opj_setup_encoder(self._codec, ctypes.byref(parameters), self._image), "setting up")
        if coding.plt:
            options = (ctypes.c_char_p * 2)(b"PLT=YES", None)
            self._check(library.opj_encoder_set_extra_options(self._codec, options), "setting up")
        self._check(library.opj_start_compress(self._codec, self._image, self._stream), "starting")
        self._check(library.opj_encode(self._codec, self._stream), "encoding")
        self._check(library.opj_end_compress(self._codec, self._stream), "finishing")
        return bytes(self._out.data)

    def _filled(self, pixels: Samples, depth: int) -> "ctypes._Pointer[lib.Image]":
        """An image of OpenJPEG's with these pixels."""
        height, width, bands = pixels.shape
        signed = int(pixels.dtype.kind == "i")
        own = lib.ComponentParameters(1, 1, width, height, 0, 0, depth, depth, signed)
        image: ctypes._Pointer[lib.Image] = self._library.opj_image_create(
            bands, (lib.ComponentParameters * bands)(*(own,) * bands), _UNSPECIFIED
        )
        if image:
            image.contents.x1, image.contents.y1 = width, height
            for band in range(bands):
                address = image.contents.comps[band].data
                buffer = (ctypes.c_int32 * (height * width)).from_address(address)
                np.frombuffer(buffer, np.int32).reshape(height, width)[:] = pixels[:, :, band]
        return image

    def _parameters(self, coding: Coding) -> lib.EncoderParameters:
        parameters = lib.EncoderParameters()
        self._library.opj_set_default_encoder_parameters(ctypes.byref(parameters))
        if (parameters.numresolution, parameters.cblockw_init, parameters.roi_compno) != (6, 64, -1):
            raise DependencyError("this OpenJPEG has other encoding parameters than those of 2.5; install 2.5.4")
        parameters.tile_size_on = 1
        parameters.cp_tdx = parameters.cp_tdy = coding.tile
        parameters.cp_disto_alloc = int(coding.measure == "ratio")
        parameters.cp_fixed_quality = int(coding.measure == "psnr")
        chosen = parameters.tcp_rates if coding.measure == "ratio" else parameters.tcp_distoratio
        for number, value in enumerate(coding.layers):
            chosen[number] = value
        parameters.tcp_numlayers = len(coding.layers)
        parameters.csty = _SOP * coding.sop | _EPH * coding.eph | _PRECINCTS * bool(coding.precincts)
        parameters.prog_order = coding.progression
        parameters.numresolution = coding.levels + 1
        parameters.mode = coding.block_style
        parameters.irreversible = int(not coding.reversible)
        parameters.res_spec = len(coding.precincts)
        for number, side in enumerate(coding.precincts):
            parameters.prcw_init[number] = parameters.prch_init[number] = side
        parameters.tp_on, parameters.tp_flag = (1, b"R") if coding.split else (0, b"\x00")
        parameters.tcp_mct = int(coding.component_transform)
        return parameters

    def _check(self, succeeded: int, doing: str) -> None:
        if succeeded:
            return
        said = f"OpenJPEG failed at {doing}: {'; '.join(dict.fromkeys(self._said)) or 'it did not say why'}"
        raise OutOfMemory(said) if "memory" in said.lower() else UnsupportedFeature(said)

    def close(self) -> None:
        """Releases every handle that was had."""
        if self._image:
            self._library.opj_image_destroy(self._image)
        if self._stream:
            self._library.opj_stream_destroy(self._stream)
        if self._codec:
            self._library.opj_destroy_codec(self._codec)
        self._out.detach()


class _MemoryStream:
    """OpenJPEG's output stream into bytes. The callbacks never raise: there is nobody to catch it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._at = 0
        self._callbacks = (lib.WRITE(self._write), lib.SKIP(self._skip), lib.SEEK(self._seek))

    def attach(self, library: ctypes.CDLL, stream: int) -> None:
        """Makes the stream write here."""
        write, skip, seek = self._callbacks
        library.opj_stream_set_write_function(stream, write)
        library.opj_stream_set_skip_function(stream, skip)
        library.opj_stream_set_seek_function(stream, seek)
        library.opj_stream_set_user_data(stream, None, None)

    def detach(self) -> None:
        """Breaks the cycle between the callbacks and this object, so that the bytes go at once."""
        self._callbacks = ()  # type: ignore[assignment]  # never attached again

    def _write(self, buffer: int, length: int, _data: int | None) -> int:
        try:
            self.data[self._at : self._at + length] = ctypes.string_at(buffer, length)
        except MemoryError:
            return lib.END
        self._at += length
        return length

    def _skip(self, wanted: int, _data: int | None) -> int:
        if self._seek(self._at + wanted, None):
            return wanted
        return -1

    def _seek(self, position: int, _data: int | None) -> int:
        if not 0 <= position <= len(self.data):
            return 0
        self._at = position
        return 1
