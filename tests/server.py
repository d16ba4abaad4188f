"""A file server on this machine whose faults a test can choose."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

STILL = 1.0


@dataclass
class Server:
    """What is served, how, and what was asked.

    Attributes:
        port: on 127.0.0.1.
        files: contents by path, without the first slash.
        redirects: targets by path.
        ranges: whether ``Range`` is honoured.
        breaks: for each coming answer, bytes of its body after which the connection breaks.
        stalls: for each coming answer, bytes of its body after which nothing comes any more for `STILL` seconds.
        pace: bytes that are sent at a time, and seconds between two such times; of 0 bytes, all at once.
        asked: path and ``Range`` of each request, in order.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    pace: tuple[int, float] = (0, 0.0)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, wanted = handler.path[1:], handler.headers.get("Range", "")
        self.asked.append((path, wanted))
        if path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif path not in self.files:
            handler.send_error(404)
        else:
            self._send(handler, self.files[path], wanted)

    def _send(self, handler: BaseHTTPRequestHandler, data: bytes, wanted: str) -> None:
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if first and first >= len(data):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - first))
        handler.end_headers()
        body = data[first:]
        if self.stalls:
            handler.wfile.write(body[: self.stalls.pop(0)])
            handler.wfile.flush()
            time.sleep(STILL)
            handler.close_connection = True
            return
        body = body[: self.breaks.pop(0)] if self.breaks else body
        block, seconds = self.pace
        with suppress(ConnectionError):  # whoever asked may be gone
            for start in range(0, len(body), block or len(body) or 1):
                handler.wfile.write(body[start : start + (block or len(body))])
                time.sleep(seconds)
        handler.close_connection = True


@contextmanager
def serving() -> Iterator[Server]:
    """Run a `Server` while the block runs."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_address[1]
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
