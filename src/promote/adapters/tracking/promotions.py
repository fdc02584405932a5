"""A run for each promotion, in an experiment of promotions: what MLflow's own tables and charts compare.

A run is known by its promotion's id and its bundle's digest; both are there from its first moment, so what was cut off is
found and completed. Until it is whole its status is RUNNING. Not here: what is written (``core.promotion_run``).
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from promote.adapters.tracking.client import Connection, paged
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.models import get_run
from promote.adapters.tracking.report import log_report
from promote.core.names import printable
from promote.core.promotion_run import Compared, PromotionRun
from promote.errors import InputError

ID_TAG, DIGEST_TAG = "promote.id", "promote.digest"
_FINISHED = "FINISHED"


@dataclass(frozen=True, slots=True)
class Promotions:
    """The experiment of promotions.

    Args:
        link: to the tracking server.
        experiment: its name.
    """

    link: Connection
    experiment: str

    def open(self, promotion_id: str, digest: str, name: str, source_run: str) -> PromotionRun:
        """The run of this promotion, made where there is none. Of two that race both get the one that began first.

        Args:
            promotion_id: of the promotion.
            digest: of its bundle.
            name: for people.
            source_run: the training run, beside whose artifacts those of promotions lie where no server decides it.

        Raises:
            InputError: the experiment was deleted, or has a name that MLflow does not take.
        """
        experiment_id = self._experiment(source_run)
        if not (there := list(self._found(experiment_id, promotion_id, digest))):
            tags = {
                ID_TAG: promotion_id,
                DIGEST_TAG: digest,
                "promote.state": "reserved",
                "mlflow.source.name": "promote model",
            }
            with told(self.link.address, f"making a run in experiment {self.experiment}"):
                mine = self.link.client.create_run(experiment_id, tags=tags, run_name=printable(name))
            there = list(self._found(experiment_id, promotion_id, digest)) or [mine]
            if there[0].info.run_id != mine.info.run_id:
                with told(self.link.address, f"removing run {mine.info.run_id}"):
                    self.link.client.delete_run(mine.info.run_id)
        run_id = there[0].info.run_id
        return PromotionRun(run_id, f"#/experiments/{experiment_id}/runs/{run_id}")

    def complete(
        self, run: PromotionRun, what: Compared, files: Mapping[str, bytes], note: str, tags: Mapping[str, str]
    ) -> None:
        """Writes all of it; a run that is whole keeps the figures of the promotion that made it, and gets the page anew.

        Args:
            run: as ``open`` gave it.
            what: to compare.
            files: the report.
            note: shown on the run's page, Markdown.
            tags: more of them.
        """
        from mlflow.entities import Metric, Param, RunTag

        found = get_run(self.link, run.run_id)
        log_report(self.link, run.run_id, "", files)
        now = int(time.time() * 1000)
        whole = found.info.status == _FINISHED
        metrics = [] if whole else [Metric(name, value, now, 0) for name, value in what.metrics.items()]
        params = [] if whole else [Param(name, value) for name, value in what.params.items()]
        every = {"mlflow.note.content": note, **what.tags, **tags, "promote.state": "recorded"}
        with told(self.link.address, f"writing run {run.run_id}"):
            for group in (metrics[:500], metrics[500:]):
                self.link.client.log_batch(run.run_id, metrics=group)
            written = [RunTag(name, value) for name, value in every.items()]
            self.link.client.log_batch(run.run_id, params=params, tags=written)
            if not whole:
                self.link.client.set_terminated(run.run_id, _FINISHED)

    def measured(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Adds what was measured since; the last value of a name is the one that tables show."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        told_ = [Metric(name, value, now, 0) for name, value in metrics.items()]
        with told(self.link.address, f"writing run {run_id}"):
            self.link.client.log_batch(run_id, metrics=told_[:1000])

    def _found(self, experiment_id: str, promotion_id: str, digest: str) -> Iterator[Any]:
        """Runs of this promotion that are not deleted, the one that began first before all others."""
        where = f"tags.`{ID_TAG}` = '{promotion_id}' and tags.`{DIGEST_TAG}` = '{digest}'"
        search = partial(
            self.link.client.search_runs, [experiment_id], where, order_by=["attributes.start_time ASC", "run_id ASC"]
        )
        return paged(self.link, f"reading runs of experiment {self.experiment}", search)

    def _experiment(self, source_run: str) -> str:
        from mlflow.exceptions import MlflowException

        client, address = self.link.client, self.link.address
        with told(address, f"reading experiment {self.experiment}"):
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                try:
                    return str(client.create_experiment(self.experiment, self._place(source_run)))
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                found = client.get_experiment_by_name(self.experiment)
        if found is None or found.lifecycle_stage != "active":
            raise InputError(
                f"experiment {self.experiment!r} of {address.shown} was deleted",
                hint="restore it in MLflow, or name another: [mlflow] promotions in promote.toml",
            )
        return str(found.experiment_id)

    def _place(self, source_run: str) -> str | None:
        """Where its artifacts lie: the server's choice; of a bare database, beside those of the training run, as MLflow would
        take a folder of wherever the command is typed.
        """
        if self.link.address.remote:
            return None
        trained = self.link.client.get_run(source_run)
        beside = self.link.client.get_experiment(trained.info.experiment_id).artifact_location
        return f"{beside.rstrip('/')}/promotions"
