"""A server around large_image, whose own needs a database: ``python serve_large_image.py FOLDER PORT``."""

import sys
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import large_image
from large_image.constants import TileOutputMimeTypes  # noqa: F401 - loads the sources before the first request

FOLDER = Path(sys.argv[1])


@lru_cache(16)
def opened(name: str) -> Any:  # noqa: ANN401 - large_image is only there in its own interpreter
    """The image, with tiles as JPEG."""
    return large_image.open(str(FOLDER / name), encoding="JPEG", jpegQuality=85)


class Tiles(BaseHTTPRequestHandler):
    """``/NAME/Z/X/Y`` gives a tile, ``/NAME`` the side of the tiles and the finest z."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers one request."""
        name, *place = self.path.strip("/").split("/")
        image = opened(name)
        if place:
            z, x, y = map(int, place)
            body = bytes(image.getTile(x, y, z))
        else:
            told = image.getMetadata()
            body = f"{told['tileWidth']} {told['levels'] - 1}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Tiles)
    server.daemon_threads = True
    server.serve_forever()
