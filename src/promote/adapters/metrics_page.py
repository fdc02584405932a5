"""Metrics where Prometheus asks for them: on this machine only, or in a file for node_exporter's textfile collector."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from promote.adapters.loopback import serving

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def serve_metrics(port: int, page: Callable[[], str]) -> Iterator[int]:
    """Answers ``GET /metrics`` on 127.0.0.1 until the block ends; gives the port, which is chosen where it is 0.

    Raises:
        InputError: the port is taken, or may not be used.
    """

    class Page(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Questions are no events."""

    with serving(port, "--metrics", Page) as listening:
        yield listening
