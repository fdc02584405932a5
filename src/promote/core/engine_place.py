"""Where ``trtexec`` runs: installed or in the target's Triton container, here or over SSH; as words, never as a line. Pure.

Source: docker's and podman's ``run`` pages; NVIDIA container toolkit, "CDI". Not here: what ``trtexec`` is told
(``engine_recipe``), and running anything (``adapters.engine``).
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from promote.core.names import printable
from promote.core.probe import ssh_host
from promote.errors import InputError

INSTALLED, DOCKER, PODMAN = "installed", "docker", "podman"
WAYS = (INSTALLED, DOCKER, PODMAN)
IN_IMAGE = "/usr/src/tensorrt/bin/trtexec"
"""Where NGC's Triton images have it."""
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,250}(@sha256:[0-9a-f]{64})?")
_PATH = re.compile(r"/[A-Za-z0-9._/+@=-]{1,400}")
_PROGRAM = re.compile(r"[A-Za-z0-9_./+-]{1,400}")
_NAME = re.compile(r"promote-engine-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One way to run ``trtexec``.

    Args:
        way: ``installed``, ``docker`` or ``podman``.
        ssh: ``user@host`` where it runs; empty: here.
        image: the container's; empty where installed.
        program: ``trtexec`` by name or path.
        user: ``uid:gid`` inside the container.
        gpu: which of the host's GPUs, by its number.
        seconds: limit of one run; on the other host it holds even when the connection breaks.
        memory_gib: limit of the container's memory; 0: none.
    """

    way: str = INSTALLED
    ssh: str = ""
    image: str = ""
    program: str = "trtexec"
    user: str = "1000:1000"
    gpu: int = 0
    seconds: int = 3600
    memory_gib: float = 0

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise InputError(f"{printable(self.way, 40)!r} is no way to run trtexec: expected {', '.join(WAYS)}")
        if (self.way == INSTALLED) is bool(self.image):
            what = "runs in no image" if self.image else "needs an image"
            raise InputError(f"{self.way} {what}", hint="--image REF, of the Triton release that the target runs")
        if self.image and (not _IMAGE.fullmatch(self.image) or ".." in self.image):
            raise InputError(f"{printable(self.image, 80)!r} is no image reference")
        if not _PROGRAM.fullmatch(self.program) or self.program.startswith("-"):
            raise InputError(f"{printable(self.program, 80)!r} is no path of trtexec")
        if not re.fullmatch(r"[0-9]{1,10}:[0-9]{1,10}", self.user) or not 0 <= self.gpu <= 63 or self.seconds < 1:
            raise InputError(f"user {printable(self.user, 30)!r}, GPU {self.gpu} or {self.seconds} s make no sense")
        if self.ssh:
            ssh_host(self.ssh)

    @property
    def contained(self) -> bool:
        """It runs in a container."""
        return self.way != INSTALLED

    def seen(self, folder: str, side: str) -> str:
        """How the builder sees ``folder``'s ``in`` (which it can only read) or ``out``."""
        return f"/{side}" if self.contained else f"{_path(folder)}/{side}"


def run_words(place: Place, folder: str, words: Sequence[str], name: str) -> list[str]:
    """The words of the process that runs ``trtexec`` with ``words``.

    Args:
        place: where.
        folder: of the host that builds, absolute; ``in`` and ``out`` lie in it.
        words: for ``trtexec``.
        name: of the container, so that it can be ended: ``promote-engine-`` and 16 hex digits.
    """
    told = _contained(place, folder, words, name) if place.contained else _installed(place, words)
    return over(place, told)


def stop_words(place: Place, name: str) -> list[str]:
    """What ends the container of that name: ending docker's client does not. Empty where there is none."""
    return over(place, [place.way, "kill", _named(name)]) if place.contained else []


def over(place: Place, words: Sequence[str]) -> list[str]:
    """The words as they are here; over SSH one word, quoted, as the other side's shell takes it apart."""
    if not place.ssh:
        return list(words)
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"]
    return ["ssh", *options, "--", ssh_host(place.ssh), shlex.join(words)]


def _installed(place: Place, words: Sequence[str]) -> list[str]:
    limit = ["timeout", "--kill-after=10", str(place.seconds)] if place.ssh else []
    # CUDA's own order may differ from nvidia-smi's: https://docs.nvidia.com/cuda, CUDA_DEVICE_ORDER.
    return [*limit, "env", "CUDA_DEVICE_ORDER=PCI_BUS_ID", f"CUDA_VISIBLE_DEVICES={place.gpu}", place.program, *words]


def _contained(place: Place, folder: str, words: Sequence[str], name: str) -> list[str]:
    root = _path(folder)
    # podman names GPUs by CDI on every version; its --gpus is of 5.0 and later.
    gpu = f"--gpus=device={place.gpu}" if place.way == DOCKER else f"--device=nvidia.com/gpu={place.gpu}"
    limit = ["timeout", "--kill-after=10", str(place.seconds)] if place.ssh else []
    return [
        *limit, place.way, "run", "--rm", f"--name={_named(name)}", "--pull=never", "--network=none", gpu,
        f"--user={place.user}", *(["--userns=keep-id"] if place.way == PODMAN else []),
        "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=4096",
        *([f"--memory={int(place.memory_gib * 2**30)}b"] if place.memory_gib else []),
        f"--mount=type=bind,src={root}/in,dst=/in,readonly", f"--mount=type=bind,src={root}/out,dst=/out",
        "--tmpfs=/tmp:rw,nosuid,nodev,size=2g", "--workdir=/out", "--env=HOME=/tmp", place.image, place.program, *words,
    ]  # fmt: skip


def _path(folder: str) -> str:
    """Without a comma, which cuts ``--mount``, and without anything a shell would see."""
    if _PATH.fullmatch(folder) and "/../" not in f"{folder}/":
        return folder.rstrip("/")
    raise InputError(
        f"{printable(folder, 80)!r} cannot be a folder to build in", hint="work_dir: letters, digits and . _ - + @ ="
    )


def _named(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise InputError(f"{printable(name, 60)!r} is no name of a builder's container")


__all__ = ["DOCKER", "INSTALLED", "IN_IMAGE", "PODMAN", "WAYS", "Place", "over", "run_words", "stop_words"]
