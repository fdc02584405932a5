"""Chooses what ``promote check`` judges: a bundle of the registry, a run, a file."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from promote.core.facts import ModelFacts
from promote.core.stages import RunRef
from promote.wiring.parts import Parts

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


@dataclasses.dataclass(frozen=True)
class Subject:
    """What ``promote check`` judges.

    Args:
        label: as the user named it, or more exactly.
        facts: read or declared.
        config: of a bundle.
        name: model name of a bundle.
        version: of a bundle.
        before_export: what the export will tell is not known yet.
    """

    label: str
    facts: ModelFacts
    config: "ModelConfig | None" = None
    name: str = ""
    version: int = 0
    before_export: bool = False


class Subjects(Parts):
    """What there is to judge, read or declared."""

    def bundle_subject(self, name: str, reference: str) -> Subject:
        """A bundle of the registry: every byte fetched and verified, its model read, its configuration parsed."""
        from promote.core.bundle_files import read_config

        stored = self.registry.resolve(name, reference)
        with self.work() as work, self.progress.stage("fetch", stored.reference) as step:
            paths = self.registry.fetch(stored, str(work), step)
            config = read_config(Path(paths[f"{name}/config.pbtxt"]).read_bytes(), name)
            facts = self.read_facts(paths[f"{name}/{stored.version}/model.onnx"])
        return Subject(stored.reference, facts, config, name, stored.version)

    def run_subject(self, run_id: str, model: str = "") -> Subject:
        """The model of a run: read where it is ONNX, else as the run declares it and the plan shall make it."""
        with self.work() as work, self.progress.stage("find", f"run {run_id}") as step:
            candidate = self.runs(work).find(RunRef(run_id, model), step)
            if candidate.model.flavour != "onnx":
                return Subject(f"run {run_id}", candidate.facts, before_export=True)
            return Subject(f"run {run_id}", self.read_facts(str(Path(candidate.model.root) / candidate.model.entry)))
