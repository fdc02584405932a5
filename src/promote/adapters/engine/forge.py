"""The ``Forge`` port: one ``trtexec`` in one workshop, and what is kept of its work.

Not here: how a plan is built and asked (``building``), and where (``workshop``).
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.engine.building import PLAN, answers, ask_builder, build
from promote.adapters.engine.workshop import Workshop
from promote.core.engine_log import progress
from promote.core.engine_recipe import Order
from promote.core.engine_record import Builder, Built
from promote.core.names import printable
from promote.core.tensors import TensorSpec
from promote.errors import InputError, Unavailable

if TYPE_CHECKING:
    from promote.ports import Step, Tensors


@dataclass(frozen=True, slots=True)
class Forge:
    """See ``promote.ports.Forge``.

    Args:
        shop: where it builds.
        caches: folder of timing caches.
        where: in words, for the record.
        image: of the container, for the record; empty: none.
    """

    shop: Workshop
    caches: Path
    where: str = "installed here"
    image: str = field(default="")

    def ask(self) -> Builder:
        """See the port."""
        return ask_builder(self.shop)

    def build(
        self,
        order: Order,
        model: Mapping[str, str],
        tensors: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
        gpu: str,
        step: "Step",
    ) -> Built:
        """See the port."""

        def say(line: str) -> None:
            if told := progress(line):
                step.say(told)

        return build(replace(self.shop, say=say), order, model, tensors, self.caches, gpu)

    def answers(
        self, built: Built, cases: "Mapping[str, Tensors]", outputs: Sequence[TensorSpec], *, dynamic: bool
    ) -> "tuple[Mapping[str, Tensors], float]":
        """See the port."""
        return answers(self.shop, built, cases, outputs, dynamic=dynamic)

    def keep(self, built: Built, record: bytes, folder: str) -> None:
        """See the port."""
        goal = Path(folder).absolute()
        if os.path.lexists(goal):
            raise InputError(
                f"{printable(folder, 200)} is there already", hint="--out names a folder that is not there yet"
            )
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{goal.name}-", dir=goal.parent))
        except OSError as error:
            raise Unavailable(f"cannot write {goal.parent}: {error.strerror}") from error
        try:
            shutil.copyfile(built.path, staging / PLAN)
            shutil.copyfile(self.shop.log, staging / "trtexec.log")
            (staging / "build.json").write_bytes(record)
            staging.chmod(0o755)
            staging.rename(goal)
        except OSError as error:
            raise Unavailable(f"cannot write {goal}: {error.strerror}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


__all__ = ["Forge"]
