"""The ``Exporter`` port: plans become files, in child processes, and both models answer the same samples.

Not here: whether the answers agree (``core.parity``), nor how a flavour is opened (``sources``).
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promote.adapters.export.child import FULL, FULL_HINT
from promote.adapters.export.sandbox import Limits, run_child
from promote.core.facts import ModelFacts
from promote.core.golden import join, split
from promote.core.stages import Blob, Candidate, Export, ExportPlan
from promote.errors import ExportError, Unavailable
from promote.ports import Outputs, Step

if TYPE_CHECKING:
    import numpy as np

# A golden case is replayed on a live server at every deployment: small ones only.
_LARGEST_GOLDEN = 1 << 20
_ROOM = 3  # times the model's size: the export, its copy in the layout, and the samples


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A full or failing disk is told as such.

    Raises:
        Unavailable: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Unavailable(f"cannot write {error.filename or folder}: {error.strerror}", hint=FULL_HINT) from error


@dataclass(frozen=True, slots=True)
class TorchExporter:
    """Exports with torch and ONNX Runtime, each in a child process.

    Args:
        folder: where work folders are made; private to this promotion.
        read_facts: reads an ONNX file's facts without running it.
        limits: of each child.
    """

    folder: Path
    read_facts: Callable[[str], ModelFacts]
    limits: Limits

    def export(self, candidate: Candidate, plan: ExportPlan, step: Step) -> tuple[Export, Outputs]:
        """See ``promote.ports.Exporter``."""
        with _disk(self.folder):
            return self._export(candidate, plan, step)

    def _export(self, candidate: Candidate, plan: ExportPlan, step: Step) -> tuple[Export, Outputs]:
        work = self.folder / "export"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, mode=0o700)
        _check_room(work, candidate)
        if candidate.model.flavour == "onnx":
            told = self._pass_through(candidate, plan, work, step)
        else:
            told = self._from_torch(candidate, plan, work, step)
        step.say("reading the facts of the ONNX file")
        facts = self.read_facts(str(work / "out" / "model.onnx"))
        step.say("opening it in ONNX Runtime")
        ran = self._run(work / "out" / "model.onnx", work / "source.safetensors", "runtime", work, step)
        return self._collect(candidate, plan, work, facts, told | {"tools": told["tools"] | ran["tools"]})

    def lower(self, export: Export, plan: ExportPlan, step: Step) -> tuple[Export, Outputs]:
        """See ``promote.ports.Exporter``; the export is this exporter's last, whose work folder is there still."""
        with _disk(self.folder):
            return self._lower(export, plan, step)

    def _lower(self, export: Export, plan: ExportPlan, step: Step) -> tuple[Export, Outputs]:
        work, base = self.folder / f"export-{plan.precision}", self.folder / "export"
        shutil.rmtree(work, ignore_errors=True)
        (work / "out").mkdir(parents=True, mode=0o700)
        _check_room(work, export.candidate)
        outside = export.facts.external.value if export.facts.external else ()
        for path in export.files.keys() - {"model.onnx", *(external.location for external in outside)}:
            (work / "out" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(export.files[path].path, work / "out" / path)
        rounding = work / "rounding.onnx"
        job = {"do": "lower", "model": export.files["model.onnx"].path, "out": "out", "rounding": str(rounding)}
        told = run_child(job | {"precision": plan.precision}, work, self.limits, step.say)
        step.say("reading the facts of the ONNX file")
        facts = self.read_facts(str(work / "out" / "model.onnx"))
        shutil.copyfile(base / "source.safetensors", work / "source.safetensors")
        runs = rounding if rounding.exists() else work / "out" / "model.onnx"
        ran = self._run(runs, work / "source.safetensors", "runtime", work, step)
        tools = {**export.tools, **told["tools"], **ran["tools"]}
        return self._collect(export.candidate, plan, work, facts, {"tools": tools, "labels": export.labels})

    def _from_torch(self, candidate: Candidate, plan: ExportPlan, work: Path, step: Step) -> dict[str, Any]:
        model = candidate.model
        if plan.opset is None or plan.ir_version is None:
            raise ExportError("the plan names no opset", hint="this is a fault of promote: please report it")
        root = Path(model.root)
        job = {
            "do": "export",
            "flavour": model.flavour,
            "path": str(root / model.entry),
            "tokenizer": _tokenizer_folder(model.files, root),
            "pickled": model.pickled,
            "example": str(root / model.example) if model.example else "",
            "opset": plan.opset,
            "ir_version": plan.ir_version,
            "max_batch_size": plan.max_batch_size,
        }
        return run_child(job, work, self.limits, step.say)

    def _pass_through(self, candidate: Candidate, plan: ExportPlan, work: Path, step: Step) -> dict[str, Any]:
        """An ONNX model travels as it is, with its external data; the reference is the file as MLflow keeps it."""
        root = Path(candidate.model.root)
        entry = root / candidate.model.entry
        facts = self.read_facts(str(entry))
        out = work / "out"
        out.mkdir()
        shutil.copyfile(entry, out / "model.onnx")
        for external in facts.external.value if facts.external else ():
            if external.fault or external.size is None:
                raise ExportError(f"external data {external.location!r}: {external.fault or 'missing'}")
            (out / external.location).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.parent / external.location, out / external.location)
        if candidate.model.labels:
            (out / "labels.txt").write_text("".join(f"{label}\n" for label in candidate.model.labels))
        example = self._example(candidate, facts, work)
        job = {"generate": True, "max_batch_size": plan.max_batch_size, "example": example}
        ran = self._run(entry, Path(), "source", work, step, **job)
        return {"tools": ran["tools"], "labels": list(candidate.model.labels)}

    def _example(self, candidate: Candidate, facts: ModelFacts, work: Path) -> str:
        """The run's JSON example as samples, where it names the inputs or there is only one; else none."""
        import numpy as np

        from promote.core.tensors import NUMPY_OF_ONNX

        if not candidate.model.example or facts.inputs is None:
            return ""
        given = json.loads((Path(candidate.model.root) / candidate.model.example).read_text())
        specs = facts.inputs.value
        named = given if isinstance(given, dict) else {specs[0].name: given} if len(specs) == 1 else {}
        if set(named) != {s.name for s in specs} or any(s.dtype not in NUMPY_OF_ONNX for s in specs):
            return ""
        arrays: dict[str, np.ndarray] = {s.name: np.asarray(named[s.name], dtype=NUMPY_OF_ONNX[s.dtype]) for s in specs}
        path = work / "example.safetensors"
        path.write_bytes(join({"example": (arrays, {})}))
        return str(path)

    def _run(self, model: Path, samples: Path, out: str, work: Path, step: Step, **more: Any) -> dict[str, Any]:
        job = {"do": f"{out} run", "model": str(model), "samples": str(samples), "out": f"{out}.safetensors"}
        return run_child(job | more, work, self.limits, step.say)

    def _collect(
        self, candidate: Candidate, plan: ExportPlan, work: Path, facts: ModelFacts, told: Mapping[str, Any]
    ) -> tuple[Export, Outputs]:
        source = split((work / "source.safetensors").read_bytes())
        exported = split((work / "runtime.safetensors").read_bytes())
        small = [case for case, pair in exported.items() if _size(*pair) <= _LARGEST_GOLDEN]
        golden = work / "golden.safetensors"
        golden.write_bytes(join({case: exported[case] for case in small}))
        files = {
            p.relative_to(work / "out").as_posix(): digest_file(p)
            for p in sorted((work / "out").rglob("*"))
            if p.is_file()
        }
        export = Export(
            candidate=candidate,
            plan=plan,
            files=files,
            facts=facts,
            samples=digest_file(golden),
            cases=tuple(small),
            labels=tuple(told["labels"]),
            tools=dict(told["tools"]),
        )
        return export, Outputs(
            source={case: outputs for case, (_, outputs) in source.items()},
            exported={case: outputs for case, (_, outputs) in exported.items()},
        )


def digest_file(path: Path) -> Blob:
    """The file as a blob."""
    with path.open("rb") as handle:
        return Blob("sha256:" + hashlib.file_digest(handle, "sha256").hexdigest(), path.stat().st_size, str(path))


def _size(inputs: "Mapping[str, np.ndarray]", outputs: "Mapping[str, np.ndarray]") -> int:
    return sum(array.nbytes for array in (*inputs.values(), *outputs.values()))


def _tokenizer_folder(files: Mapping[str, Blob], root: Path) -> str:
    """MLflow keeps a pipeline's tokenizer in a folder of its own."""
    folders = sorted(path.rpartition("/")[0] for path in files if path.endswith("tokenizer_config.json"))
    return str(root / folders[0]) if folders else ""


def _check_room(work: Path, candidate: Candidate) -> None:
    size = sum(blob.size for blob in candidate.model.files.values())
    free = shutil.disk_usage(work).free
    if free < _ROOM * size:
        raise Unavailable(
            f"{work} has {free:,} bytes free, exporting this model needs about {_ROOM * size:,}",
            hint=FULL_HINT,
        )
