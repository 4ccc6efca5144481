"""Tiled pyramidal TIFF, written in bands within a stated memory.

TIFF 6.0 sections 15 and 22, BigTIFF, OME-TIFF 2016-06. The writer is in ``writer``, which imports tifffile: a job
that writes JPEG needs only the options.
"""

from ziggurat.write.ptiff.options import PtiffOptions

__all__ = ["PtiffOptions"]
