"""TIFF, BigTIFF and their dialects, read by strips and tiles.

TIFF 6.0; Adobe Photoshop TIFF Technical Notes; directories and decoders through tifffile, pixels fetched in
batches from the source. Only what a window touches is fetched and decoded.
"""

from ziggurat.format.tiff.reader import TiffReader, open_reader

__all__ = ["TiffReader", "open_reader"]
