"""Chooses what ``promote check`` judges: a bundle of the registry, a run, a model of a Triton repository, a file."""

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from promote.core.facts import Fact, ModelFacts, ModelFolder, Target
from promote.core.matrix import Matrix
from promote.core.model_config import parse_config
from promote.core.model_folder import Neighbour, backend_of, in_order, model_path, served
from promote.core.verdict import Finding, Verdict, judge
from promote.errors import PromoteError
from promote.wiring.parts import Parts

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from promote.adapters.repository_file import Tree
    from promote.core.directory import Directory
    from promote.core.stages import Candidate, Stored
    from promote.ports import Examined

_FORMATS = {"onnxruntime": "onnx", "tensorrt": "tensorrt"}


@dataclasses.dataclass(frozen=True)
class Subject:
    """What ``promote check`` judges.

    Args:
        label: as the user named it, or more exactly.
        facts: read or declared.
        config: of a bundle, or of a model in a repository.
        name: model name of these.
        version: of these.
        before_export: what the export will tell is not known yet.
        folder: of a model in a repository.
        neighbours: the repository's models that are judged already, by name; settled as more are.
    """

    label: str
    facts: ModelFacts
    config: "ModelConfig | None" = None
    name: str = ""
    version: int = 0
    before_export: bool = False
    folder: ModelFolder | None = None
    neighbours: dict[str, Neighbour] | None = None

    def judge(self, target: Target, matrix: Matrix) -> Verdict[str]:
        """The verdict of all rules on it."""
        return judge(self.label, target.name, self.findings(target, matrix), before_export=self.before_export)

    def findings(self, target: Target, matrix: Matrix) -> tuple[Finding, ...]:
        """What every rule says of it."""
        from promote.core.rules.engine import check

        return check(
            self.facts,
            target,
            matrix,
            config=self.config,
            name=self.name,
            version=self.version,
            folder=self.folder,
            neighbours=self.neighbours,
        )

    def settle(self, word: str) -> None:
        """Tells the neighbours that come after it what it was judged; of several versions the worst counts."""
        if self.neighbours is not None and self.name:
            mine = Neighbour(self.config, word, (self.version,))
            former = self.neighbours.get(self.name)
            self.neighbours[self.name] = former.worse(mine) if former else mine


class Subjects(Parts):
    """What there is to judge, read or declared."""

    def bundle_subject(self, name: str, reference: str) -> Subject:
        """A bundle of the registry: every byte fetched and verified, its model read, its configuration and files too."""
        stored = self.registry.resolve(name, reference)
        with self.work() as work, self.progress.stage("fetch", stored.reference) as step:
            facts, config, folder = self._fetched(stored, self.registry.fetch(stored, str(work), step))
        return Subject(stored.reference, facts, config, name, stored.version, folder=folder)

    def examined(self, target: Target, stored: "Stored", files: Mapping[str, str]) -> "Examined":
        """A fetched bundle read, and the target measured now."""
        from promote.ports import Examined

        facts, config, folder = self._fetched(stored, files)
        return Examined(target=self.measured(target), facts=facts, config=config, folder=folder)

    def _fetched(self, stored: "Stored", files: Mapping[str, str]) -> "tuple[ModelFacts, ModelConfig, ModelFolder]":
        from promote.adapters.repository_file import read_model
        from promote.core.bundle_files import read_config

        at = Path(files[f"{stored.name}/config.pbtxt"])
        config = read_config(at.read_bytes(), stored.name)
        facts = self.read_facts(files[f"{stored.name}/{stored.version}/model.onnx"])
        return facts, config, read_model(str(at.parent))

    def run_subject(self, run_id: str, model: str = "") -> Subject:
        """The model of a run: read where it is ONNX, else as the run declares it and the plan shall make it."""
        from promote.core.stages import RunRef

        with self.work() as work, self.progress.stage("find", f"run {run_id}") as step:
            candidate = self.runs(work).find(RunRef(run_id, model), step)
            if candidate.model.flavour != "onnx":
                return Subject(f"run {run_id}", candidate.facts, before_export=True)
            return Subject(f"run {run_id}", self.read_facts(str(Path(candidate.model.root) / candidate.model.entry)))

    def candidate(self, run_id: str, model: str = "") -> "Candidate":
        """The model of a run, with what is known of it before the export: of an ONNX model all that its file tells."""
        from promote.core.stages import RunRef

        with self.work() as work, self.progress.stage("find", f"run {run_id}") as step:
            found = self.runs(work).find(RunRef(run_id, model), step)
            if found.model.flavour != "onnx":
                return found
            return dataclasses.replace(found, facts=self.read_facts(str(Path(found.model.root) / found.model.entry)))

    def directory(self, path: str) -> "Directory":
        """A directory that shall become a bundle, digested; see ``adapters.oci.directory``."""
        from promote.adapters.oci.directory import read_directory

        with self.progress.stage("read", path) as step:
            found = read_directory(path, step)
            step.say(f"{found.name} version {found.version}, {len(found.files)} files")
        return found

    def directory_subject(self, found: "Directory", target: Target) -> Subject:
        """The same as ``promote check`` judges it.

        Raises:
            InputError, IntegrityError: its model or configuration cannot be read.
        """
        gpu = self.matrix.complete(target).host.compute_capability
        subjects, faults = self.model_subjects((found.path,), whole=False, capability=gpu.value if gpu else "")
        for _, error in faults:
            raise error
        return subjects[0]

    def tree(self, path: str) -> "Tree":
        """The models of Triton repositories at or below a folder, and the model files outside of these."""
        from promote.adapters.model_file import SUFFIXES
        from promote.adapters.repository_file import find

        return find(path, SUFFIXES)

    def model_subjects(
        self, paths: Sequence[str], *, whole: bool = True, capability: str = ""
    ) -> tuple[list[Subject], list[tuple[str, PromoteError]]]:
        """Each served version of these models' directories, and which could not be read.

        Models of one folder are neighbours; an ensemble comes after the models that it is made of.

        Args:
            paths: the directories.
            whole: these are all models of their folders; else nothing is known of neighbours.
            capability: of the GPU that shall serve them, where it is known: it may choose the file.
        """
        subjects: list[Subject] = []
        faults: list[tuple[str, PromoteError]] = []
        for repository in sorted({posixpath.dirname(path) for path in paths}):
            read: dict[str, tuple[str, ModelFolder, ModelConfig | None]] = {}
            for path in (path for path in paths if posixpath.dirname(path) == repository):
                try:
                    folder, config = self._model(path)
                    read[folder.name] = (path, folder, config)
                except PromoteError as error:
                    faults.append((path, error))
            neighbours: dict[str, Neighbour] | None = {} if whole else None
            for name in in_order({name: config for name, (_, _, config) in read.items()}):
                try:
                    subjects += self._versions(*read[name], neighbours, capability)
                except PromoteError as error:
                    faults.append((read[name][0], error))
        return subjects, faults

    def _model(self, path: str) -> "tuple[ModelFolder, ModelConfig | None]":
        from promote.adapters.repository_file import read_model

        folder = read_model(path)
        return folder, None if folder.config is None else parse_config(folder.config, f"{folder.name}/config.pbtxt")

    def _versions(
        self,
        path: str,
        folder: ModelFolder,
        config: "ModelConfig | None",
        neighbours: dict[str, Neighbour] | None,
        capability: str,
    ) -> list[Subject]:
        """A subject a served version; one for a model that serves none, so that the rules say so."""
        made = []
        for version in served(folder, config) or (0,):
            file = model_path(folder, config, version, capability)
            label, facts = f"{path}/{file}" if file else path, self._facts(f"{path}/{file}", folder, config, file)
            made.append(Subject(label, facts, config, folder.name, version, folder=folder, neighbours=neighbours))
        return made

    def _facts(self, path: str, folder: ModelFolder, config: "ModelConfig | None", file: str) -> ModelFacts:
        backend = backend_of(folder, config)
        if file and backend in _FORMATS:
            return self.read_facts(path)
        source = f"the backend of {folder.name}"
        format = Fact(_FORMATS.get(backend, backend), source) if backend else None
        if backend == "ensemble":  # its models are judged by themselves
            return ModelFacts(format=format, weights_bytes=Fact(0, source), dtypes=Fact(frozenset(), source))
        # As promote template write says it; a Python model made by hand may say it too.
        made = config.parameters["python"].string_value if config is not None and "python" in config.parameters else ""
        return ModelFacts(format=format, python=Fact(made, "config.pbtxt") if made and backend == "python" else None)
