"""A wire to a server on loopback: slow if asked, and it counts what goes to the server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_PIECE = 64 * 1024


@dataclass
class Wire:
    """Where it begins, ``127.0.0.1:PORT``; and the bytes that went to the server and came from it so far, headers included."""

    host: str
    sent: int = 0
    came: int = 0


@contextmanager
def wire(server: str, rate: int) -> Iterator[Wire]:
    """A wire to ``server`` that takes ``rate`` bytes a second on each connection, and gives as many."""
    host, _, port = server.partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _PIECE)  # else megabytes wait in the kernel
        found = Wire(f"127.0.0.1:{listening.getsockname()[1]}")

        turn = threading.Lock()

        def carry(source: socket.socket, goal: socket.socket, counted: str) -> None:
            with suppress(OSError):
                while piece := source.recv(_PIECE):
                    goal.sendall(piece)
                    with turn:
                        setattr(found, counted, getattr(found, counted) + len(piece))
                    time.sleep(len(piece) / rate)
            for end in (source, goal):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    behind = socket.create_connection((host, int(port)))
                    for one, other, counted in ((client, behind, "sent"), (behind, client, "came")):
                        threading.Thread(target=carry, args=(one, other, counted), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield found
