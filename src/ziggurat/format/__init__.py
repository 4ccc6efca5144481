"""Formats: from the bytes of a file to what its header says, and to the pixels of a window."""
