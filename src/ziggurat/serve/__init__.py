"""Images over HTTP: a URL becomes a window of a level, an encoded picture, a response."""
