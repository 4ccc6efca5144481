"""Positions on the sky → cutouts: which images cover them, their pixels, joined, coloured, written.

``footprints`` knows where images lie, by their headers; ``plan`` chooses images for targets; ``make`` reads, joins
and reprojects them; ``outputs`` writes what came of it. ``job`` does that for whole catalogues.
"""
