"""Blosc2 arrays (.b2nd) of 2-D tiles."""

from ziggurat.write.b2nd.options import B2ndOptions

__all__ = ["B2ndOptions"]
