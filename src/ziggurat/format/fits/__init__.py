"""FITS images, plain and tile-compressed, read by the bytes of a window.

FITS Standard 4.0 (2018-08-13). Row 0 of ``read`` is the file's first row, which the standard's pictures draw at the
bottom: nothing is flipped. Importing this package imports astropy's header classes, which takes a third of a
second; the format table names it by path, so that only opening a FITS file does.
"""

from ziggurat.format.fits.reader import FitsReader, list_hdus, open_fits, open_reader, open_unit

__all__ = ["FitsReader", "list_hdus", "open_fits", "open_reader", "open_unit"]
