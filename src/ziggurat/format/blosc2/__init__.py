"""Blosc2 arrays (.b2nd) in contiguous frames, read by the blocks of a window.

Nothing that a file names is loaded or run: ``blosc2.open`` would look for a plugin by the codec's number, and can
run Python that lies in a file.
"""

from ziggurat.format.blosc2.reader import B2ndReader, open_reader

__all__ = ["B2ndReader", "open_reader"]
