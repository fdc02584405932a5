"""Reading a request and answering it. Not here: what is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

_PIECE = 64 * 1024


class Replies(BaseHTTPRequestHandler):
    """A request handler whose answers can be swallowed: the deed is done, and the connection cut."""

    protocol_version = "HTTP/1.1"
    swallowed = closes = False

    def log_message(self, *_: object) -> None:
        """Tests read ``requests``."""

    def handle(self) -> None:
        """A client may go when it likes."""
        with suppress(ConnectionError):
            super().handle()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        if self.swallowed:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        if self.closes:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, **headers: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.lower(), "detail": None}]}).encode()
        self.answer(status, body, Content_Type="application/json", **headers)

    def hang_up(self) -> None:
        """Without an answer."""
        self.close_connection = True

    def pieces(self, rate: int | None = None) -> Iterator[bytes]:
        """The body as it arrives; ends early where the client is gone."""
        with suppress(ConnectionError):
            if self.headers.get("Transfer-Encoding") != "chunked":
                left = int(self.headers.get("Content-Length", 0))
                while left and (piece := self.rfile.read1(min(left, _PIECE))):
                    left -= len(piece)
                    yield piece
                    if rate:
                        time.sleep(len(piece) / rate)
                return
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
