"""A small HTTP server on this machine only, in a thread of its own. Not here: what it answers (its handler says)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from promote.errors import InputError


@contextmanager
def serving(
    port: int,
    option: str,
    handler: type[BaseHTTPRequestHandler],
    server: type[ThreadingHTTPServer] = ThreadingHTTPServer,
) -> Iterator[int]:
    """Answers on 127.0.0.1 until the block ends; gives the port, which is chosen where ``port`` is 0.

    Args:
        port: to listen on.
        option: what named it, ``--metrics``.
        handler: answers.
        server: listens.

    Raises:
        InputError: the port is taken, or may not be used.
    """
    try:
        made = server(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} {port}: {reason}", hint="choose another port") from error
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield made.server_port
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
