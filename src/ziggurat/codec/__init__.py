"""Encoded bytes to arrays and back, and colour. No I/O."""
