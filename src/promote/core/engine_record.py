"""The record of a build: who built which plan of which model, when, where, how, and how far its answers are off. Pure."""

from dataclasses import dataclass

from promote.core.engine_log import Device
from promote.core.facts import ModelFacts
from promote.core.parity import ParityProven
from promote.core.passport import canonical
from promote.core.variants import Binding
from promote.core.verdict import Compatible

RECORD_FORM = 1


@dataclass(frozen=True, slots=True)
class Builder:
    """A ``trtexec`` that answers.

    Args:
        tensorrt: its version, three or four numbers.
        options: that it lists.
        arch: CPU architecture of the host that it runs on, ``x86_64`` or ``aarch64``.
    """

    tensorrt: str
    options: frozenset[str]
    arch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A plan that ``trtexec`` left, read back.

    Args:
        path: the file.
        digest: of its bytes.
        size: of them.
        tensorrt: by its header.
        device: what ``trtexec`` said of itself.
        seconds: that the build took.
        words: that ``trtexec`` was told.
        cached: timings of a former build were there to be used.
    """

    path: str
    digest: str
    size: int
    tensorrt: str
    device: Device
    seconds: float
    words: tuple[str, ...]
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build with all that its record tells.

    Args:
        built: the plan.
        binding: what binds it.
        source: reference of the bundle whose ONNX was read.
        model: digest of that ONNX file.
        parity: of the plan's answers against the recorded ones.
        precision: of the plan.
        by: who had it built.
        at: RFC 3339 UTC, when it was done.
        where: ``docker on gpu1``, ``installed here``.
        image: of the container, empty where there was none.
        replay_seconds: what the replays of the samples took together, starting included.
        verdict: of the plan on the target.
    """

    built: Built
    binding: Binding
    source: str
    model: str
    parity: ParityProven
    precision: str
    by: str
    at: str
    where: str
    image: str = ""
    replay_seconds: float = 0.0
    verdict: Compatible[ModelFacts]


def write_record(build: Build) -> bytes:
    """The record as canonical JSON; numbers are rounded so that it reads well."""
    built, worst = build.built, build.parity.worst
    return canonical(
        {
            "form": RECORD_FORM,
            "plan": {"digest": built.digest, "size": built.size, "precision": build.precision},
            "source": {"bundle": build.source, "model": build.model},
            "builder": {
                "tensorrt": built.tensorrt, "gpu": built.device.gpu, "where": build.where, "image": build.image,
                "words": list(built.words), "timing_cache": built.cached,
            },
            "binding": {
                "tensorrt": build.binding.tensorrt, "compute_capability": build.binding.compute_capability,
                "level": build.binding.level, "version_compatible": build.binding.version_compatible,
                "os": build.binding.os, "arch": build.binding.arch,
            },
            "parity": {
                "cases": sorted({difference.case for difference in build.parity.differences}),
                "tolerance": {"absolute": build.parity.tolerance.absolute, "relative": build.parity.tolerance.relative},
                "max_absolute": worst.max_absolute, "output": worst.output,
            },
            "verdict": {"word": build.verdict.word, "target": build.verdict.target},
            "by": build.by,
            "at": build.at,
            "seconds": {"build": round(built.seconds, 3), "replay": round(build.replay_seconds, 3)},
        }
    )  # fmt: skip


__all__ = ["Build", "Builder", "Built", "write_record"]
