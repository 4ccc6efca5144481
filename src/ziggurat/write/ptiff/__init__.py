"""Tiled pyramidal TIFF, written in bands within a stated memory.

TIFF 6.0 sections 15 and 22, BigTIFF, OME-TIFF 2016-06.
"""

from ziggurat.write.ptiff.options import PtiffOptions
from ziggurat.write.ptiff.writer import PtiffWriter

__all__ = ["PtiffOptions", "PtiffWriter"]
