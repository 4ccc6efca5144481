"""From an image to an encoded file."""
