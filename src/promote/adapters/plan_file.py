"""Facts read off a TensorRT plan's header, without TensorRT and without reading the plan itself.

The file may come from anybody: whatever is wrong with it is a typed refusal. Not here: what a plan loads on
(``core.rules.plans``). The header holds no compute capability and no platform at a published offset.
Source: NVIDIA/TensorRT ``samples/common/sampleEngines.cpp`` printPlanVersion; Ultralytics' ``.engine`` files put a
4-byte little-endian length and JSON before the plan.
"""

import json
from pathlib import Path
from typing import Any, BinaryIO

from promote.core.facts import Fact, ModelFacts
from promote.core.names import printable
from promote.errors import InputError, IntegrityError, NotFound

MAGIC = b"ftrt"
_VERSION = slice(24, 28)  # major, minor, patch, build; from TensorRT 8.6 on
_HEADER = 32
_LARGEST_PREFIX = 1024 * 1024


def read_plan(path: str) -> ModelFacts:
    """Facts of a TensorRT plan, bare or with the Ultralytics prefix.

    Args:
        path: the plan's file; at most its header and 1 MiB of prefix are read.

    Returns:
        Its format, the four-part TensorRT version where the header holds one, and its size: a plan is weights above all.

    Raises:
        NotFound: no such file.
        InputError: it cannot be read.
        IntegrityError: no plan, truncated, or a prefix that is none.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise NotFound(f"{printable(path)} is {'no file' if file.exists() else 'not there'}: expected a plan")
        size = file.stat().st_size
        with file.open("rb") as handle:
            header, producer = _header(handle, size, file.name)
            prefix = handle.tell() - _HEADER
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error
    version = ".".join(str(byte) for byte in header[_VERSION])
    return ModelFacts(
        format=Fact("tensorrt", file.name, measured=True),
        tensorrt=Fact(version, file.name, measured=True) if header[24] else None,
        weights_bytes=Fact(size - prefix, f"size of {file.name}", measured=True),
        producer=Fact(producer, file.name, measured=True) if producer else None,
    )


def _header(handle: BinaryIO, size: int, name: str) -> tuple[bytes, str]:
    """The plan's header, and who put a prefix before it (empty: nobody)."""
    head = handle.read(_HEADER)
    producer = ""
    if not head.startswith(MAGIC):
        length = int.from_bytes(head[:4], "little")
        if len(head) < 5 or head[4:5] != b"{" or not 2 <= length <= min(_LARGEST_PREFIX, size - 4):
            raise IntegrityError(
                f"{printable(name)} is no TensorRT plan: it begins with {head[:4].hex() or 'nothing'}, "
                f"expected {MAGIC.hex()}"
            )
        handle.seek(4)
        producer = _producer(handle.read(length), name)
        head = handle.read(_HEADER)
    if not head.startswith(MAGIC) or len(head) < _HEADER:
        raise IntegrityError(
            f"{printable(name)} is no whole TensorRT plan: its header has {len(head)} of {_HEADER} bytes"
        )
    return head, producer


def _producer(prefix: bytes, name: str) -> str:
    try:
        said: Any = json.loads(prefix)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{printable(name)} has bytes before the plan that are no JSON") from error
    if not isinstance(said, dict):
        raise IntegrityError(f"{printable(name)} has JSON before the plan that is no object")
    return "ultralytics prefix: " + printable(str(said.get("version", "")), 40)
