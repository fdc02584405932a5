"""Facts measured on this machine, for a target that is this machine. A remote host's probe is not here."""

import importlib.metadata
import os
import platform

from promote.core.facts import Fact, HostFacts


def measure_here() -> HostFacts:
    """Architecture, memory, Python, and the installed ONNX Runtime; what is not here stays unknown."""
    runtime = _installed("onnxruntime", "onnxruntime-gpu")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HostFacts(
        arch=Fact(platform.machine(), "this machine", measured=True),
        memory_bytes=Fact(memory, "this machine", measured=True),
        python=Fact(platform.python_version(), "this machine", measured=True),
        onnxruntime=Fact(runtime, "the installed onnxruntime wheel", measured=True) if runtime else None,
    )


def _installed(*names: str) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
