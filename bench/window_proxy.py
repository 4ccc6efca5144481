"""A relay before an HTTP server that lets every request wait, and counts requests and the bytes of their answers.

``python window_proxy.py HOST PORT SECONDS`` prints its own port; ``GET /-/counts`` tells the counts and begins anew.
"""

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass

PIECE = 1 << 18
"""Bytes relayed at once."""

COUNTS = "/-/counts"


@dataclass
class Relay:
    """One server with a wait before it."""

    host: str
    port: int
    wait: float
    requests: int = 0
    bytes: int = 0

    async def serve(self) -> None:
        """Relays until the process ends."""
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=PIECE)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind: asyncio.StreamWriter | None = None
        try:
            there, behind = await asyncio.open_connection(self.host, self.port, limit=PIECE)
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                if path == COUNTS.encode():
                    await self._tell(writer)
                    continue
                self.requests += 1
                await asyncio.sleep(self.wait)
                behind.write(head)
                await _copy(reader, behind, _length(head))
                if not await self._answer(there, writer, has_body=method != b"HEAD"):
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            for item in (writer, behind):
                if item is not None:
                    item.close()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, *, has_body: bool) -> bool:
        """Hands on one answer; false if the connection ends with it."""
        head = await there.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        lower = head.lower()
        if has_body and b"\r\ntransfer-encoding: chunked" in lower:
            while True:
                line = await there.readline()
                writer.write(line)
                size = int(line.partition(b";")[0], 16)
                self.bytes += await _copy(there, writer, size + 2)
                if not size:
                    break
        elif has_body and not head.split(b" ", 2)[1].startswith((b"1", b"204", b"304")):
            left = _length(head)
            while left > 0:
                step = await _copy(there, writer, min(left, PIECE))
                self.bytes += step
                left -= step
        return b"\r\nconnection: close" not in lower

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"requests": self.requests, "bytes": self.bytes}).encode()
        self.requests = self.bytes = 0
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> int:
    left = size
    while left > 0:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        writer.write(piece)
        await writer.drain()
        left -= len(piece)
    return size


def main() -> int:
    """Serves until it is ended."""
    host, port, wait = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Relay(host, int(port), float(wait)).serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
