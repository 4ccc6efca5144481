"""How the quality layers of a file are spread between its coarsest and its finest."""

from ziggurat.codec.openjpeg_encode import BYPASS, SEGMENTATION_SYMBOLS, Coding
from ziggurat.write.jp2.options import Jp2Options

_COARSEST, _FINEST = 512.0, 2.0
"""Compression ratios of a lossless file's first layer and of its last but one: 1/64 and 4 bits of 8."""

_SPREAD = 64.0
"""By how much the first layer of a lossy file is smaller than all of it: the profile of NDNP has 1/64 to 1 bit."""

_SPREAD_DB = 18.0
"""By how many decibels its first layer lies lower at the most."""


def openjpeg_coding(options: Jp2Options, *, component_transform: bool) -> Coding:
    """What OpenJPEG is asked for.

    Args:
        options: the user's.
        component_transform: whether the first three bands are red, green and blue.
    """
    profile = options.layout
    return Coding(
        levels=profile.levels,
        tile=profile.tile,
        reversible=options.lossless,
        measure="ratio" if options.decibels is None else "psnr",
        layers=_layers(options, profile.layers),
        component_transform=component_transform,
        precincts=profile.all_precincts,
        progression=profile.progression,
        block_style=BYPASS * profile.bypass | SEGMENTATION_SYMBOLS * profile.symbols,
        sop=profile.delimiters,
        eph=profile.delimiters,
        plt=profile.plt,
        split=profile.split,
    )


def _layers(options: Jp2Options, count: int) -> tuple[float, ...]:
    """Ratios in equal proportions, or decibels in equal steps; the last of a lossless file holds everything."""
    if options.decibels is not None:
        last = options.decibels
        spread = min(_SPREAD_DB, last / 2)
        return tuple(last - spread * (1 - place) for place in _places(count))
    if options.ratio is not None:
        ratio = options.ratio
        return tuple(ratio * _SPREAD ** (1 - place) for place in _places(count))
    between = (_COARSEST * (_FINEST / _COARSEST) ** place for place in _places(count - 1))
    return (*between, 1.0)


def _places(count: int) -> list[float]:
    """So many numbers from 0 to 1; the only one is 1."""
    return [number / (count - 1) for number in range(count)] if count > 1 else [1.0] * count
