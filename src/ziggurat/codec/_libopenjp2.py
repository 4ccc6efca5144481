"""The part of openjpeg.h (2.5) that is used, as ctypes declarations. Nothing is loaded here."""

import ctypes
from collections.abc import Sequence
from typing import Any

CODEC_J2K = 0
IGNORE_PCLR_CMAP_CDEF = 1

END = ctypes.c_size_t(-1).value
"""What a read callback answers at the end of the bytes."""

_PATH = 4096

_PROGRESSION_CHANGES, _LAYERS, _RESOLUTIONS, _PROTECTED = 32, 100, 33, 16
"""Lengths of arrays in ``opj_cparameters_t``."""

MAX_LAYERS = _LAYERS

READ = WRITE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
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


class _ProgressionChange(ctypes.Structure):
    """opj_poc_t; never filled here."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("resno0", "compno0", "layno1", "resno1", "compno1")),
        *((name, ctypes.c_uint32) for name in ("layno0", "precno0", "precno1")),
        ("prg1", ctypes.c_int),
        ("prg", ctypes.c_int),
        ("progorder", ctypes.c_char * 5),
        ("tile", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("tx0", "tx1", "ty0", "ty1")),
        *((name, ctypes.c_uint32) for name in ("layS", "resS", "compS", "prcS", "layE", "resE", "compE", "prcE")),
        *((name, ctypes.c_uint32) for name in ("txS", "txE", "tyS", "tyE", "dx", "dy")),
        *((name, ctypes.c_uint32) for name in ("lay_t", "res_t", "comp_t", "prc_t", "tx0_t", "ty0_t")),
    )


class EncoderParameters(ctypes.Structure):
    """opj_cparameters_t."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("tile_size_on", "cp_tx0", "cp_ty0", "cp_tdx", "cp_tdy")),
        *((name, ctypes.c_int) for name in ("cp_disto_alloc", "cp_fixed_alloc", "cp_fixed_quality")),
        ("cp_matrice", ctypes.c_void_p),
        ("cp_comment", ctypes.c_char_p),
        ("csty", ctypes.c_int),
        ("prog_order", ctypes.c_int),
        ("POC", _ProgressionChange * _PROGRESSION_CHANGES),
        ("numpocs", ctypes.c_uint32),
        ("tcp_numlayers", ctypes.c_int),
        ("tcp_rates", ctypes.c_float * _LAYERS),
        ("tcp_distoratio", ctypes.c_float * _LAYERS),
        *((name, ctypes.c_int) for name in ("numresolution", "cblockw_init", "cblockh_init", "mode", "irreversible")),
        *((name, ctypes.c_int) for name in ("roi_compno", "roi_shift", "res_spec")),
        ("prcw_init", ctypes.c_int * _RESOLUTIONS),
        ("prch_init", ctypes.c_int * _RESOLUTIONS),
        ("infile", ctypes.c_char * _PATH),
        ("outfile", ctypes.c_char * _PATH),
        ("index_on", ctypes.c_int),
        ("index", ctypes.c_char * _PATH),
        *((name, ctypes.c_int) for name in ("image_offset_x0", "image_offset_y0", "subsampling_dx", "subsampling_dy")),
        *((name, ctypes.c_int) for name in ("decod_format", "cod_format", "jpwl_epc_on", "jpwl_hprot_MH")),
        *((name, ctypes.c_int * _PROTECTED) for name in ("jpwl_hprot_TPH_tileno", "jpwl_hprot_TPH")),
        *((name, ctypes.c_int * _PROTECTED) for name in ("jpwl_pprot_tileno", "jpwl_pprot_packno", "jpwl_pprot")),
        *((name, ctypes.c_int) for name in ("jpwl_sens_size", "jpwl_sens_addr", "jpwl_sens_range", "jpwl_sens_MH")),
        *((name, ctypes.c_int * _PROTECTED) for name in ("jpwl_sens_TPH_tileno", "jpwl_sens_TPH")),
        *((name, ctypes.c_int) for name in ("cp_cinema", "max_comp_size", "cp_rsiz")),
        *((name, ctypes.c_char) for name in ("tp_on", "tp_flag", "tcp_mct")),
        ("jpip_on", ctypes.c_int),
        ("mct_data", ctypes.c_void_p),
        ("max_cs_size", ctypes.c_int),
        ("rsiz", ctypes.c_uint16),
    )


class ComponentParameters(ctypes.Structure):
    """opj_image_cmptparm_t."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("dx", "dy", "w", "h", "x0", "y0", "prec", "bpp", "sgnd"))


_HANDLE = ctypes.c_void_p
_IMAGE = ctypes.POINTER(Image)
_PARAMETERS = ctypes.POINTER(DecoderParameters)
_ENCODER = ctypes.POINTER(EncoderParameters)
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
    "opj_create_compress": (_HANDLE, (_INT,)),
    "opj_set_default_encoder_parameters": (None, (_ENCODER,)),
    "opj_setup_encoder": (_INT, (_HANDLE, _ENCODER, _IMAGE)),
    "opj_encoder_set_extra_options": (_INT, (_HANDLE, ctypes.POINTER(ctypes.c_char_p))),
    "opj_stream_set_write_function": (None, (_HANDLE, WRITE)),
    "opj_image_create": (_IMAGE, (ctypes.c_uint32, ctypes.POINTER(ComponentParameters), _INT)),
    "opj_start_compress": (_INT, (_HANDLE, _IMAGE, _HANDLE)),
    "opj_encode": (_INT, (_HANDLE, _HANDLE)),
    "opj_end_compress": (_INT, (_HANDLE, _HANDLE)),
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
