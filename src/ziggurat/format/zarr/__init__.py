"""Zarr arrays of versions 2 and 3, and OME-Zarr 0.1 to 0.6, in folders, below prefixes, and zipped (RFC-9).

https://zarr-specs.readthedocs.io/, https://ngff.openmicroscopy.org/. Chunks are found and decoded by zarr-python; which
arrays are the levels of an image, and that metadata cannot do harm, is decided here.
"""

from ziggurat.format.zarr.reader import open_reader

__all__ = ["open_reader"]
