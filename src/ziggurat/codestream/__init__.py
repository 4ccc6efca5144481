"""JPEG 2000 syntax: boxes and markers. No pixels, no I/O."""
