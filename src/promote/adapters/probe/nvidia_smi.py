"""Runs ``nvidia-smi``, here or over SSH, and gives back what it printed: bounded in time and size, no shell of ours.

Not here: what it printed means (``core.probe``).
"""

import contextlib
import os
import subprocess
import threading
from typing import IO

from promote.adapters.process_group import end
from promote.core.names import printable
from promote.core.probe import FULL_QUERY, SHORT_QUERY, Card, read_cards, ssh_host
from promote.errors import Unavailable

SECONDS = 15.0
_LARGEST = 2**16
_NO_SUCH_FIELD = "not a valid field to query"


def cards_of(host: str = "") -> tuple[Card, ...]:
    """The GPUs of ``host``, or of this machine where it is empty.

    Raises:
        InputError: no host name.
        Unavailable: ssh or nvidia-smi is not there, does not end, or says why not; the message holds its own words.
        IntegrityError: it prints something else.
    """
    query: tuple[str, ...] = FULL_QUERY
    code, out, err = _ask(host, query)
    if code and _NO_SUCH_FIELD in out + err:
        query = SHORT_QUERY
        code, out, err = _ask(host, query)
    if code:
        said = next((line for line in (out + "\n" + err).splitlines() if line.strip()), "nothing")
        who = "ssh" if host and code == 255 else "nvidia-smi"
        raise Unavailable(f"{who} ends with {code} on {host or 'this machine'}: {printable(said.strip(), 200)}")
    return read_cards(out, query)


def _ask(host: str, query: tuple[str, ...]) -> tuple[int, str, str]:
    asked = ["nvidia-smi", f"--query-gpu={','.join(query)}", "--format=csv,noheader,nounits"]
    if host:  # -- ends the options; the grammar of the host keeps it from being one on a ssh that knows no --
        asked = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", ssh_host(host), *asked]
    return _run(asked, host or "this machine")


def _run(arguments: list[str], where: str) -> tuple[int, str, str]:
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"{arguments[0]} cannot be run here: {error.strerror}") from error
    texts: dict[str, bytes] = {}
    readers = [
        threading.Thread(target=_read, args=(name, stream, texts), daemon=True)
        for name, stream in (("out", process.stdout), ("err", process.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{arguments[0]} did not end within {SECONDS:.0f} s on {where}") from None
    finally:
        end(process)
        for reader in readers:
            reader.join(1.0)  # a connection that ssh keeps open for later holds its end of the pipe
    if any(len(text) >= _LARGEST for text in texts.values()):
        raise Unavailable(f"{arguments[0]} prints more than {_LARGEST:,} bytes on {where}")
    return code, *(texts.get(name, b"").decode(errors="replace") for name in ("out", "err"))  # type: ignore[return-value]


def _read(name: str, stream: "IO[bytes] | None", texts: dict[str, bytes]) -> None:
    """Keeps the first bytes; closing the pipe then ends a program that goes on writing."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError), stream:
            texts[name] = stream.read(_LARGEST)
