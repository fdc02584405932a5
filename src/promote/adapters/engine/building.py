"""Has a plan built in a workshop, reads it back, and asks it the golden samples.

Only what this very build left is taken: there is no way in for a plan from elsewhere. Not here: whether its answers are near
enough (``core.parity``), nor where it goes.
"""

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.engine.workshop import Workshop
from promote.adapters.plan_file import read_plan
from promote.core.engine_answers import read_bindings, read_outputs, require_bindings
from promote.core.engine_log import Device, read_device, read_options
from promote.core.engine_recipe import Files, Order, build_words, cache_name, replay_words
from promote.core.engine_record import Builder, Built
from promote.core.names import printable
from promote.core.tensors import NUMPY_OF_ONNX, TensorSpec
from promote.errors import InputError, IntegrityError, Unavailable

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

LOG = "what trtexec said is in build-engine.log of work_dir"
PLAN, LAYERS, CACHE = "model.plan", "layers.json", "timing.cache"
_LARGEST_PLAN, _LARGEST_JSON, _LARGEST_CACHE = 64 * 2**30, 2**30, 2**30


def ask_builder(shop: Workshop) -> Builder:
    """Which TensorRT it is, and what it can be told; no GPU is needed for that.

    Raises:
        ExportError, Unavailable: it cannot be run.
        IntegrityError: it answers otherwise than trtexec does.
    """
    lines = shop.must(["--help"]).lines
    version, options = read_device(lines).tensorrt, read_options(lines)
    if not version or "--saveEngine" not in options:
        raise IntegrityError(
            f"{printable(shop.place.program, 80)} does not answer --help as trtexec does",
            hint=f"--trtexec PATH; {LOG}",
        )
    arch = shop.ask(["uname", "-m"])
    if not re.fullmatch(r"[a-z0-9_]{1,20}", arch):
        raise IntegrityError(f"uname -m says {printable(arch, 60)!r} on the host that builds")
    return Builder(version, options, arch)


def build(
    shop: Workshop, order: Order, model: Mapping[str, str], tensors: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
    caches: Path | None = None, gpu: str = "",
) -> Built:  # fmt: skip
    """Builds the plan, and reads back its header, its inputs and outputs.

    Args:
        shop: where.
        order: what.
        model: name -> path of ``model.onnx`` and its data files.
        tensors: inputs and outputs that the model has.
        caches: folder of timing caches; ``None``: none is used.
        gpu: the target's, which a cache is kept for; empty: none is used.

    Raises:
        ExportError, Unavailable: see ``core.engine_log``.
        IntegrityError: it says that all went well, and left no such plan.
    """
    shop.give(model)
    cache = caches / cache_name(order, gpu) if caches and cache_name(order, gpu) else None
    cached = cache is not None and cache.is_file()
    if cache and cached:
        shop.keep(CACHE, cache)
    files = Files(
        onnx=shop.seen("in", "model.onnx"), plan=shop.seen("out", PLAN), layers=shop.seen("out", LAYERS),
        cache=shop.seen("out", CACHE) if cache else "",
    )  # fmt: skip
    words = build_words(order, files)
    done = shop.must(words)
    device = read_device(done.lines)
    path = _plan(shop, device)
    version = _version(path, device)
    told = shop.take(LAYERS, _LARGEST_JSON)
    if told is None:
        raise IntegrityError("trtexec left no word of what the plan has", hint=LOG)
    require_bindings(read_bindings(told.read_bytes()), *tensors)
    if cache:
        _keep_cache(shop, cache)
    return Built(
        path=str(path), digest=_digest(path), size=path.stat().st_size, tensorrt=version, device=device, seconds=done.seconds,
        words=tuple(words), cached=cached,
    )  # fmt: skip


def _plan(shop: Workshop, device: Device) -> Path:
    path = shop.take(PLAN, _LARGEST_PLAN)
    if path is None or not device.passed:
        raise IntegrityError(
            "trtexec ends well, and " + ("left no plan" if path is None else "never said that it passed"),
            hint=LOG,
        )
    if not device.compute_capability or not device.gpu:
        raise IntegrityError("trtexec did not say on which GPU it built", hint=LOG)
    return path


def _version(path: Path, device: Device) -> str:
    """By the header, which must be of the TensorRT that built."""
    told = read_plan(str(path)).tensorrt
    version = told.value if told else ""
    if not version or not f"{version}.".startswith(f"{device.tensorrt}."):
        raise IntegrityError(
            f"the plan's header names TensorRT {version or 'no version'}, and trtexec is of {device.tensorrt or 'none it named'}"
        )
    return version


def _keep_cache(shop: Workshop, cache: Path) -> None:
    """A cache is a convenience: a build is not refused because it cannot be kept."""
    with contextlib.suppress(OSError, IntegrityError, Unavailable):
        taken = shop.take(CACHE, _LARGEST_CACHE)
        if taken:
            cache.parent.mkdir(parents=True, exist_ok=True)
            new = cache.with_suffix(".new")
            new.write_bytes(taken.read_bytes())
            new.replace(cache)


def answers(
    shop: Workshop, built: Built, cases: "Mapping[str, Arrays]", outputs: Sequence[TensorSpec], *, dynamic: bool
) -> "tuple[dict[str, dict[str, np.ndarray]], float]":
    """What the plan answers to each case, and how long that took in all, seconds; the plan is the one that was read back.

    Args:
        shop: where it was built.
        built: the plan.
        cases: case -> input -> array.
        outputs: of the model.
        dynamic: the plan has a profile, so shapes are told.

    Raises:
        InputError: an input of a type that has no raw form.
        IntegrityError: an answer that is none, or the plan is not the same any more.
    """
    made, seconds = {}, 0.0
    for number, (case, inputs) in enumerate(cases.items()):
        files = {}
        for at, (name, array) in enumerate(inputs.items()):
            raw = shop.folder / f"{number}-{at}.bin"
            raw.write_bytes(_raw(name, array))
            shop.give({f"samples/{number}-{at}.bin": str(raw)})
            files[name] = shop.seen("in", f"samples/{number}-{at}.bin")
        shapes = {name: array.shape for name, array in inputs.items()} if dynamic else {}
        words = replay_words(shop.seen("out", PLAN), shapes, files, shop.seen("out", f"{number}.json"))
        seconds += shop.must(words).seconds
        told = shop.take(f"{number}.json", _LARGEST_JSON)
        if told is None:
            raise IntegrityError(f"the plan gave no answer to the sample {printable(case, 60)}", hint=LOG)
        made[case] = read_outputs(told.read_bytes(), outputs)
    _same(shop, built)
    return made, seconds


def _raw(name: str, array: "np.ndarray") -> bytes:
    if array.dtype.name not in NUMPY_OF_ONNX.values():
        raise InputError(
            f"input {printable(name, 80)!r} is {printable(array.dtype.name, 40)}, which a plan is not asked with"
        )
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _same(shop: Workshop, built: Built) -> None:
    """What answered is what is taken: read again where it was run."""
    digest = _digest(Path(built.path))
    if shop.place.ssh:
        said = shop.ask(["sha256sum", "--", f"{shop.root}/out/{PLAN}"])
        digest = f"sha256:{said.partition(' ')[0]}"
    if digest != built.digest:
        raise IntegrityError("the plan that answered is not the plan that was built", hint="build it again")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


__all__ = ["PLAN", "answers", "ask_builder", "build"]
