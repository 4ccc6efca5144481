"""``ziggurat read URL OUT``: pixels of a window of a level, as stored, into a file."""

import sys
from pathlib import Path
from typing import Annotated

import imagecodecs
import numpy as np
import tifffile
from cyclopts import Parameter

import ziggurat
from ziggurat.cli.parsing import NO_NETWORK, Network, parse_integers
from ziggurat.cli.passing import shown
from ziggurat.convert.text import visible
from ziggurat.errors import UnsupportedFeature, UsageError, WriteError
from ziggurat.geometry import Window
from ziggurat.image import DEFAULT_MEMORY
from ziggurat.model import Samples
from ziggurat.storage.amounts import parse_bytes


def read(  # noqa: PLR0913 - one parameter per option of the command
    url: str,
    out: Path,
    *,
    level: int = 0,
    window: str | None = None,
    sampled: Annotated[bool, Parameter(negative="")] = False,
    memory: str | None = None,
    index: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    network: Network = NO_NETWORK,
) -> None:
    """Read a window of a level into a .npy, .tif or .png file.

    Pixels are written as stored: no orientation applied, no colour converted.

    Args:
        url: path or URL of the image.
        out: file to write; its suffix decides the format. A .npy file holds an array (y, x, band).
        level: 0 is full resolution; those that the file lacks are made.
        window: Y0,X0,Y1,X1 in pixels of that level, end-exclusive; all of it if not given.
        sampled: of a level that the file lacks and that was not made yet, take single pixels instead of means: a
            rough picture, at once.
        memory: what reading may take, such as 2G.
        index: path or URL of the image's index, as `ziggurat index` writes it.
        overwrite: replace OUT if it exists.
        network: how stores are reached.
    """
    network.options()
    if out.suffix.lower() not in {".npy", ".tif", ".tiff", ".png"}:
        raise UsageError(f"{out} is neither .npy nor .tif nor .png")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; use --overwrite to replace it")
    limit = DEFAULT_MEMORY if memory is None else parse_bytes(memory)
    wanted = None if window is None else Window(*parse_integers(window, 4, "--window"))
    with shown(url) as progress, ziggurat.open(url, memory=limit, index=index, progress=progress) as image:
        pixels = image.read(level, wanted, sampled=sampled)
        warnings = image.warnings
    for warning in warnings:
        print(f"{visible(url)}: {visible(warning)}", file=sys.stderr)
    try:
        _save(pixels, out)
    except OSError as error:
        raise WriteError(f"{out} cannot be written: {error.strerror}") from error
    print(f"{out}: {pixels.shape[0]} x {pixels.shape[1]} x {pixels.shape[2]} {pixels.dtype}")


def _save(pixels: Samples, out: Path) -> None:
    match out.suffix.lower():
        case ".npy":
            np.save(out, pixels)
        case ".png":
            if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2] > 4:  # noqa: PLR2004 - RGBA
                raise UnsupportedFeature(
                    f"PNG holds 1 to 4 bands of 8 or 16 bits, not {pixels.shape[2]} of {pixels.dtype}; write .tif "
                    "or .npy"
                )
            out.write_bytes(imagecodecs.png_encode(pixels if pixels.shape[2] > 1 else pixels[:, :, 0]))
        case _:
            photometric = "rgb" if pixels.shape[2] in {3, 4} else "minisblack"
            tifffile.imwrite(out, pixels, photometric=photometric, planarconfig="contig", compression="zlib")
