"""Runs the real tritonserver on the CPU: for the demo, for the tests, on a laptop.

`start` gives a running server back; the command line runs one in the foreground. The binary is NVIDIA's; the ONNX
Runtime backend is ours, in Python (backends/onnxruntime). It is not a way to serve a model to anyone but oneself: it
listens on 127.0.0.1 only.

    python examples/local_triton/launch.py --carrier .cache/triton --model-repository DIR
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

if __name__ == "__main__":  # run by path, where the repository's root is not importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from examples.local_triton.compose import compose_backends, compose_python
from examples.local_triton.host import CannotStart, check_carrier, check_platform, check_python
from examples.local_triton.server import LocalTriton
from examples.local_triton.spawn import child_environment, free_ports, spawn

__all__ = ["CannotStart", "LocalTriton", "start"]

DEADLINE_S = 60.0
_PORT_TAKEN = "already in use"


def start(
    model_repository: Path,
    *,
    carrier: Path,
    work: Path,
    http_port: int = 0,
    grpc_port: int = 0,
    metrics_port: int = 0,
    control: str = "explicit",
    python: Path | None = None,
    options: Sequence[str] = (),
    deadline_s: float = DEADLINE_S,
) -> LocalTriton:
    """A server that is READY; ports given as 0 are chosen. Its log is `work/triton.log`.

    `options` go to tritonserver as they are, such as `--load-model=NAME`. Raises `CannotStart` naming what this
    machine lacks, or with the end of the log.
    """
    check_platform()
    wheel = check_carrier(carrier)
    environment = check_python(python or Path(sys.executable), wheel)
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    backends = compose_backends(work, wheel, environment)
    path = compose_python(work, environment)
    variables = child_environment(path, (environment.libpython, wheel.libraries))
    wanted = (http_port, grpc_port, metrics_port)
    for attempts_left in (2, 1, 0):
        ports = free_ports(*wanted)
        arguments = [
            f"--model-repository={model_repository.absolute()}",
            f"--backend-directory={backends}",
            f"--model-control-mode={control}",
            *options,
        ]
        triton = spawn([str(wheel.server), *arguments], variables, ports, work)
        try:
            triton.wait_ready(deadline_s)
        except BaseException as error:
            triton.stop()
            # Between choosing a port and binding it, another process may take it; a port asked for is not changed.
            asked_for = any(f":{port}' {_PORT_TAKEN}" in str(error) for port in wanted)
            if not isinstance(error, CannotStart) or asked_for or _PORT_TAKEN not in str(error) or not attempts_left:
                raise
        else:
            return triton
    raise AssertionError("the last attempt raises or returns")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-repository", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--carrier", type=Path, default=Path(".cache/triton"), help="filled by install.py (%(default)s)"
    )
    parser.add_argument("--work", type=Path, help="for the log and the backend directory (a temporary folder)")
    for protocol in ("http", "grpc", "metrics"):
        parser.add_argument(f"--{protocol}-port", type=int, default=0, help="0, the default, chooses a free one")
    parser.add_argument("--control", choices=("none", "explicit", "poll"), default="explicit")
    parser.add_argument("--load-model", action="append", default=[], metavar="NAME", help="load at start (explicit)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until Ctrl-C or SIGTERM, then returns 0; 1 where the server cannot start or ends by itself."""
    args = _parse(argv)
    _on_signals(_end)
    with ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promote-triton-")))
        try:
            triton = start(
                args.model_repository,
                carrier=args.carrier,
                work=work,
                http_port=args.http_port,
                grpc_port=args.grpc_port,
                metrics_port=args.metrics_port,
                control=args.control,
                options=[f"--load-model={name}" for name in args.load_model],
            )
            with triton:
                _announce(triton)
                while triton.process.poll() is None:
                    time.sleep(0.2)
                print(f"error: tritonserver ended by itself\n{triton.log_tail()}", file=sys.stderr)
        except KeyboardInterrupt:
            return 0
        except CannotStart as error:
            print(f"error: {error}", file=sys.stderr)
    return 1


def _end(_number: int, _frame: FrameType | None) -> None:
    _on_signals(signal.SIG_IGN)  # a second Ctrl-C must not interrupt the ending of the server
    raise KeyboardInterrupt


def _on_signals(action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, action)


def _announce(triton: LocalTriton) -> None:
    endpoints = {"http": triton.http, "grpc": triton.grpc, "metrics": triton.metrics}
    print(json.dumps({**endpoints, "pid": triton.pid, "log": str(triton.log)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
