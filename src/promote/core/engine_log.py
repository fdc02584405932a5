"""What ``trtexec`` prints: which TensorRT and GPU it used, what it is at, and why it failed with what to do about it. Pure.

Source: NVIDIA/TensorRT ``samples/common`` sampleDevice.cpp, sampleEngines.cpp, logger.cpp and common/logging.h; the issues named
beside the rows. What is printed is another program's: nothing of it is believed but what has this form.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promote.core.names import printable
from promote.errors import ExportError, PromoteError, Unavailable

_BANNER = re.compile(
    r"&&&& (RUNNING|PASSED|FAILED) TensorRT\.trtexec \[TensorRT v([0-9]{4,6})\](?: \[b([0-9]{1,3})\])?"
)
_SAID = re.compile(r"^(?:\[[0-9/:-]+\] )?\[([IWEV])\] (?:\[TRT\] )?(.*)$")
_OPTIONS = re.compile(r"(?m)^\s*(--?[A-Za-z0-9]+(?:[ ]?,[ ]?--?[A-Za-z0-9]+)*)")  # those that are synonyms share a line
_DEVICE = (
    ("gpu", re.compile(r"Selected Device: (.{1,100})$")),
    ("compute_capability", re.compile(r"Compute Capability: ([0-9]{1,2}\.[0-9])$")),
)
_OPERATOR = (
    re.compile(r"getPluginCreator could not find plugin: (\S{1,80})"),
    re.compile(r"No importer registered for op: ([A-Za-z0-9_]{1,80})"),
    re.compile(r"While parsing node number [0-9]+ \[(\S{1,80}) ?-> "),
)


@dataclass(frozen=True, slots=True)
class Device:
    """What ``trtexec`` said of itself; a part that it did not say is empty.

    Args:
        tensorrt: ``10.6.0.26``; without the last number where it does not print that.
        gpu: product name.
        compute_capability: ``9.0``.
        passed: it said at the end that all went well.
    """

    tensorrt: str = ""
    gpu: str = ""
    compute_capability: str = ""
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no plan.

    Args:
        kind: a word for it, see ``KINDS``.
        message: one line.
        remedy: what to do about it.
    """

    kind: str
    message: str
    remedy: str

    @property
    def error(self) -> PromoteError:
        """As an exception: what another try or host may mend is ``Unavailable``, what the model causes an ``ExportError``."""
        cls = ExportError if self.kind in _OF_THE_MODEL else Unavailable
        return cls(self.message, hint=self.remedy)


_OF_THE_MODEL = ("operator", "parser", "implementation", "option", "unknown")

# In this order: what is further up is the cause of what is further down.
_ROWS = (
    # docker: no NVIDIA container toolkit; podman: no CDI description of the GPU.
    ("container", r"could not select device driver|unresolvable CDI devices", "the container engine knows no GPU",
     "install the NVIDIA container toolkit on that host: nvidia-ctk runtime configure, or nvidia-ctk cdi generate"),
    # --pull=never: an image of gigabytes is fetched by who wants it, not by the way.
    ("image", r"[Nn]o such image|image not known|Unable to find image|pull policy", "the image is not on that host",
     "pull it there first: docker pull REF"),
    ("driver", r"driver version is insufficient|forward compatibility was attempted|unsupported display driver",
     "the NVIDIA driver is too old for this CUDA", "update the driver, or build in the container of an older Triton release"),
    # cudaErrorNoDevice; sampleDevice.cpp where the count is 0.
    ("gpu", r"no CUDA-capable device is detected|Cannot find any available devices|Cannot find device ID|CUDA init",
     "no GPU was found", "build on the target that will serve the plan: --ssh HOST; nvidia-smi there shows its GPUs"),
    ("new-gpu", r"Target GPU SM [0-9]+ is not supported by this TensorRT release", "this TensorRT knows no such GPU",
     "build with a newer TensorRT: the container of a newer Triton release"),
    # TensorRT calls a lack of memory "no implementation" at the end: NVIDIA/TensorRT issues 948 and 3183.
    ("memory", r"OutOfMemory|[Oo]ut of memory|could not be allocated|insufficient memory", "the GPU has too little free memory",
     "free the GPU (nvidia-smi shows who uses it), ask for a smaller batch or axis, or bound --workspace"),
    ("operator", r"could not find plugin|Plugin not found|UNSUPPORTED_NODE|No importer registered for op",
     "TensorRT does not know an operator", "serve the ONNX, or export the model without that operator"),
    ("parser", r"Failed to parse onnx file|Parsing model failed|ModelImporter\.cpp", "TensorRT cannot read the model",
     "promote check MODEL --target NAME says what TensorRT takes; another --opset may help"),
    ("implementation", r"[Cc]ould not find any implementation for node", "TensorRT has no kernel for a part of the model",
     "try another precision, or serve the ONNX"),
    ("option", r"Unknown option|Unknown .{1,40}: .{1,80}Valid options", "this trtexec does not know an option",
     "build in the Triton container of the target's release"),
    ("connection", r"^ssh: |Permission denied \(|Host key verification failed|Connection (closed|reset|refused|timed out)",
     "the host cannot be reached over SSH", "ssh HOST true must work without asking"),
)  # fmt: skip
_PATTERNS = tuple((kind, re.compile(pattern), what, remedy) for kind, pattern, what, remedy in _ROWS)
KINDS = (*(row[0] for row in _ROWS), "missing", "time", "limit", "killed", "unknown")


def read_device(lines: Iterable[str]) -> Device:
    """What the lines tell of the builder; ``passed`` is by the last banner."""
    tensorrt, passed = "", False
    told = {name: "" for name, _ in _DEVICE}
    for line in lines:
        banner = _BANNER.search(line)
        if banner:
            tensorrt = _version(banner[2], banner[3]) or tensorrt
            passed = banner[1] == "PASSED"
        for name, pattern in _DEVICE:
            found = pattern.search(line)
            told[name] = told[name] or (printable(found[1].strip(), 100) if found else "")
    return Device(tensorrt, told["gpu"], told["compute_capability"], passed)


def _version(number: str, build: str | None) -> str:
    """``100600`` and ``26`` is 10.6.0.26; before TensorRT 10 it is ``8501``, 8.5.1: NvInferVersion.h, NV_TENSORRT_VERSION."""
    value = int(number)
    first, second = (10_000, 100) if value >= 100_000 else (1_000, 100)
    parts = [value // first, value % first // second, value % second]
    return ".".join(map(str, parts if build is None else [*parts, int(build)]))


def read_options(lines: Iterable[str]) -> frozenset[str]:
    """Options that ``trtexec --help`` lists."""
    listed = ",".join(_OPTIONS.findall("\n".join(lines)))
    return frozenset(word.strip() for word in listed.split(",") if word.strip().startswith("--"))


def progress(line: str) -> str:
    """What a person wants to know of a line; empty: nothing."""
    said = _SAID.match(line)
    text = said[2] if said else ""
    worth = text.startswith(("Start parsing", "Finish", "Selected Device:", "Engine built in", "Local timing",
                             "Global timing", "Using default", "Total Activation", "Engine generation completed"))  # fmt: skip
    return printable(text, 120) if worth else ""


def diagnose(lines: Sequence[str], code: int, *, broken: str = "") -> Trouble:
    """Why it failed, by what it printed and how it ended.

    Args:
        lines: all it printed, or the last of it.
        code: its exit code; below 0 the signal that ended it.
        broken: which limit promote ended it for, ``time``, ``memory`` or ``output``; empty: none.
    """
    if broken:
        return _limit(broken)
    if code == 124:  # coreutils timeout, on the other host
        return _limit("time")
    for kind, pattern, what, remedy in _PATTERNS:
        hit = next((line for line in lines if pattern.search(line)), "")
        if hit:
            more = _operator(lines) if kind in ("operator", "parser") else ""
            return Trouble(kind, f"no plan was built: {what}{more}: {_plain(hit)}", remedy)
    if code in (-9, 137):
        return Trouble("killed", "no plan was built: trtexec was killed, mostly because the host has too little memory",
                       "free memory of the host, or build a smaller batch or axis")  # fmt: skip
    if code in (126, 127):
        return Trouble("missing", f"no plan was built: there is no trtexec: {_last(lines)}",
                       "--trtexec PATH (/usr/src/tensorrt/bin/trtexec in NGC images), or --in docker with --image")  # fmt: skip
    return Trouble("unknown", f"no plan was built: trtexec ends with {code}: {_last(lines)}",
                   "build-engine.log of work_dir has all it said; ONNX can be served meanwhile")  # fmt: skip


def _limit(broken: str) -> Trouble:
    if broken == "time":
        return Trouble(
            "time",
            "no plan was built: it took longer than allowed",
            "allow more with --seconds, or ask for narrower axes",
        )
    what = {"memory": "took more memory than allowed", "output": "printed or wrote more than allowed"}[broken]
    return Trouble(
        "limit",
        f"no plan was built: trtexec {what}",
        "allow more with --memory-gib; build-engine.log of work_dir tells more",
    )


def _operator(lines: Sequence[str]) -> str:
    for pattern in _OPERATOR:
        for line in lines:
            found = pattern.search(line)
            if found:
                return f" {printable(found[1], 80)}"
    return ""


def _plain(line: str) -> str:
    said = _SAID.match(line)
    return printable((said[2] if said else line).strip(), 200)


def _last(lines: Sequence[str]) -> str:
    errors = [line for line in lines if (said := _SAID.match(line)) and said[1] == "E"]
    spoken = [line for line in lines if line.strip()]
    return _plain((errors or spoken or ["it said nothing"])[-1])


__all__ = ["KINDS", "Device", "Trouble", "diagnose", "progress", "read_device", "read_options"]
