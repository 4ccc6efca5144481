"""IIIF Image API 2.1 and 3.0: what its URLs mean, and what it says of images. Pure."""
