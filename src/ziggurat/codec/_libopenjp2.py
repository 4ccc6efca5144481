"""The part of openjpeg.h (2.5) that is used, as ctypes declarations. Nothing is loaded here."""

import ctypes
from collections.abc import Sequence
from typing import Any

CODEC_J2K = 0
IGNORE_PCLR_CMAP_CDEF = 1

END = ctypes.c_size_t(-1).value
"""What a read callback answers at the end of the bytes."""

_PATH = 4096

READ = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
SKIP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
SEEK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_void_p)
MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


class Component(ctypes.Structure):
    """opj_image_comp_t."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("dx", "dy", "w", "h", "x0", "y0")),
        *((name, ctypes.c_uint32) for name in ("prec", "bpp", "sgnd", "resno_decoded", "factor")),
        ("data", ctypes.c_void_p),
        ("alpha", ctypes.c_uint16),
    )


class Image(ctypes.Structure):
    """opj_image_t."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("x0", "y0", "x1", "y1", "numcomps")),
        ("color_space", ctypes.c_int),
        ("comps", ctypes.POINTER(Component)),
        ("icc_profile_buf", ctypes.c_void_p),
        ("icc_profile_len", ctypes.c_uint32),
    )


class DecoderParameters(ctypes.Structure):
    """opj_dparameters_t."""

    _fields_ = (
        ("cp_reduce", ctypes.c_uint32),
        ("cp_layer", ctypes.c_uint32),
        ("infile", ctypes.c_char * _PATH),
        ("outfile", ctypes.c_char * _PATH),
        ("decod_format", ctypes.c_int),
        ("cod_format", ctypes.c_int),
        *((name, ctypes.c_uint32) for name in ("DA_x0", "DA_x1", "DA_y0", "DA_y1")),
        ("m_verbose", ctypes.c_int),
        ("tile_index", ctypes.c_uint32),
        ("nb_tile_to_decode", ctypes.c_uint32),
        ("jpwl_correct", ctypes.c_int),
        ("jpwl_exp_comps", ctypes.c_int),
        ("jpwl_max_tiles", ctypes.c_int),
        ("flags", ctypes.c_uint),
    )


_HANDLE = ctypes.c_void_p
_IMAGE = ctypes.POINTER(Image)
_PARAMETERS = ctypes.POINTER(DecoderParameters)
_INT = ctypes.c_int

# ``Any``: ctypes has no public name for the type of its types.
_FUNCTIONS: dict[str, tuple[Any, Sequence[Any]]] = {
    "opj_version": (ctypes.c_char_p, ()),
    "opj_create_decompress": (_HANDLE, (_INT,)),
    "opj_destroy_codec": (None, (_HANDLE,)),
    "opj_set_warning_handler": (_INT, (_HANDLE, MESSAGE, _HANDLE)),
    "opj_set_error_handler": (_INT, (_HANDLE, MESSAGE, _HANDLE)),
    "opj_set_default_decoder_parameters": (None, (_PARAMETERS,)),
    "opj_setup_decoder": (_INT, (_HANDLE, _PARAMETERS)),
    "opj_decoder_set_strict_mode": (_INT, (_HANDLE, _INT)),
    "opj_codec_set_threads": (_INT, (_HANDLE, _INT)),
    "opj_stream_create": (_HANDLE, (ctypes.c_size_t, _INT)),
    "opj_stream_destroy": (None, (_HANDLE,)),
    "opj_stream_set_read_function": (None, (_HANDLE, READ)),
    "opj_stream_set_skip_function": (None, (_HANDLE, SKIP)),
    "opj_stream_set_seek_function": (None, (_HANDLE, SEEK)),
    "opj_stream_set_user_data": (None, (_HANDLE, _HANDLE, _HANDLE)),
    "opj_stream_set_user_data_length": (None, (_HANDLE, ctypes.c_uint64)),
    "opj_read_header": (_INT, (_HANDLE, _HANDLE, ctypes.POINTER(_IMAGE))),
    "opj_set_decode_area": (_INT, (_HANDLE, _IMAGE, *(ctypes.c_int32,) * 4)),
    "opj_decode": (_INT, (_HANDLE, _HANDLE, _IMAGE)),
    "opj_end_decompress": (_INT, (_HANDLE, _HANDLE)),
    "opj_image_destroy": (None, (_IMAGE,)),
    "opj_image_data_free": (None, (_HANDLE,)),
}


def declare(library: ctypes.CDLL) -> None:
    """Tells ctypes the signatures of the functions that are used.

    Raises:
        AttributeError: if the library lacks one.
    """
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
