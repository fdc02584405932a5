"""Where MLflow's webhooks call: on this machine only, signed, and nothing of what they say is believed.

A genuine call means *look now*; what is desired is then read from MLflow itself. Not here: what a signature is
(``core.webhook``).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from promote.adapters.loopback import serving
from promote.core.webhook import Call, refusal

PATH = "/webhook"
# A tag of MLflow's registry has up to 100,000 characters, which JSON writes in up to six bytes each.
_LONGEST_BODY = 1 << 20
_SECONDS = 10
_HEADERS = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")


@contextmanager
def serve_webhook(port: int, key: bytes, wake: Callable[[], None], refused: Callable[[str], None]) -> Iterator[int]:
    """Answers ``POST /webhook`` on 127.0.0.1 until the block ends; gives the port, which is chosen where it is 0.

    Args:
        port: to listen on.
        key: of the signature.
        wake: called for each genuine call.
        refused: told why a call was not taken, where that is another reason than the last time.

    Raises:
        InputError: the port is taken, or may not be used.
    """
    seen: dict[str, float] = {}
    lock = threading.Lock()
    last = ""

    def judged(call: Call, given: str) -> str:
        nonlocal last
        with lock:
            why = refusal(call, given, key, time.time(), seen)
            new, last = why != last, why
        if not why:
            wake()
        elif new:
            refused(why)
        return why

    class Page(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path.partition("?")[0] != PATH:
                self._answer(404)
            elif "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
                self._answer(411)
            elif int(length[:10]) > _LONGEST_BODY:
                self._answer(413)
            else:
                self._judge(int(length))

        def _judge(self, length: int) -> None:
            body = self.rfile.read(length)
            name, timestamp, given = (self.headers.get(header, "") for header in _HEADERS)
            cut = len(body) < length
            self._answer(400 if cut else 403 if judged(Call(name, timestamp, body), given) else 204)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Calls are no events; what is refused is said by ``refused``."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who hangs up in the middle of a call is told in a line, and the next is answered."""
            refused(f"the call broke off: {type(sys.exception()).__name__}")

    with serving(port, "--webhook", Page, Server) as listening:
        yield listening
