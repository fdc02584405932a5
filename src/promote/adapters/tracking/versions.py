"""Versions of a registered model, as MLflow's registry keeps them: counted, made, tagged.

Not here: what the tags mean (``ledger``).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from promote.adapters.tracking.client import Connection, paged
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.models import Logged
from promote.core.names import MODEL_NAME, model_name
from promote.errors import IntegrityError, NotFound

ID_TAG = "promote.id"


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one model.

    Args:
        link: to the registry.
        name: of the registered model, checked.
    """

    link: Connection
    name: str

    def numbers(self, promotion_id: str = "") -> list[int]:
        """Those there are; those that carry ``promotion_id`` where one is given."""
        return self._search(lambda tags: promotion_id in ("", tags.get(ID_TAG, "")))

    def _search(self, wanted: Callable[[Mapping[str, str]], bool]) -> list[int]:
        search = partial(self.link.client.search_model_versions, f"name = '{self.name}'")
        found = paged(self.link, f"reading versions of {self.name}", search)
        return [int(version.version) for version in found if wanted(version.tags)]

    def tagged(self, tag: str) -> list[int]:
        """Those that carry ``tag``."""
        return self._search(lambda tags: tag in tags)

    def make(self, logged: Logged, run_id: str, tags: Mapping[str, str]) -> int:
        """A new version of a run's model; the registered model is made where it is not there."""
        # Over a database MLflow would look "models:/" up in its process-wide tracking URI, which is not ours to set.
        source = logged.source if self.link.address.remote else logged.location
        with told(self.link.address, f"reserving a version of {self.name}"):
            self._register()
            made = self.link.client.create_model_version(
                self.name,
                source,
                run_id=run_id,
                model_id=logged.model_id or None,
                tags=dict(tags),
                await_creation_for=0,
            )
        return int(made.version)

    def number(self, version: int, source: str, tags: Mapping[str, str]) -> Mapping[str, str]:
        """The tags of the version of this number, which is made where it is not there.

        MLflow counts by itself and never gives a number twice: those before it that are missing are made and deleted.

        Raises:
            IntegrityError: MLflow has given a higher number already.
        """
        there = self.numbers()
        if version in there:
            return self.tags(version)
        with told(self.link.address, f"making {self.name} version {version} again"):
            self._register()
            made = max(there, default=0)
            while made < version:
                new = self.link.client.create_model_version(self.name, source, tags=dict(tags), await_creation_for=0)
                made = int(new.version)
                if made != version:
                    self.link.client.delete_model_version(self.name, str(made))
        if made != version:
            raise IntegrityError(
                f"MLflow counts {self.name} beyond version {version} already, and gives no number twice",
                hint="delete the registered model and repair it anew, or promote the run again",
            )
        return tags

    def _register(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.link.client.create_registered_model(self.name, tags={"promote": "yes"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def tags(self, version: int) -> Mapping[str, str]:
        """Its tags.

        Raises:
            NotFound: no such version.
        """
        return self.origin(version)[1]

    def origin(self, version: int) -> tuple[str, Mapping[str, str]]:
        """The id of the run it was made from (empty where it says none), and its tags.

        Raises:
            NotFound: no such version.
        """
        missing = f"{self.name} has no version {version} in {self.link.address.shown}"
        try:
            with told(self.link.address, f"reading {self.name} version {version}", missing):
                found: Any = self.link.client.get_model_version(self.name, str(version))
        except NotFound as error:
            raise NotFound(
                error.message, hint="promote model makes versions; MLflow's Models page lists them"
            ) from None
        return found.run_id or "", dict(found.tags)

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        """Writes tags, in order."""
        with told(self.link.address, f"tagging {self.name} version {version}"):
            for key, value in tags.items():
                self.link.client.set_model_version_tag(self.name, str(version), key, value)

    def description(self, version: int) -> str:
        """What ``describe`` wrote, or somebody since."""
        with told(self.link.address, f"reading {self.name} version {version}"):
            found: Any = self.link.client.get_model_version(self.name, str(version))
        return str(found.description or "")

    def describe(self, version: int, text: str) -> None:
        """Its description, Markdown."""
        with told(self.link.address, f"describing {self.name} version {version}"):
            self.link.client.update_model_version(self.name, str(version), description=text)

    def alias(self, version: int, alias: str) -> None:
        """Moves ``alias`` here."""
        with told(self.link.address, f"moving alias {alias} to {self.name} version {version}"):
            self.link.client.set_registered_model_alias(self.name, alias, str(version))

    def page(self, version: int) -> str:
        """The version's address in MLflow's UI, or the command that opens the UI."""
        shown = self.link.address.shown
        if self.link.address.remote:
            return f"{shown}/#/models/{self.name}/versions/{version}"
        return f"mlflow ui --backend-store-uri {shown}"


def recorded(link: Connection) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Model, version and tags of every version that a promotion was recorded on."""
    search = partial(link.client.search_model_versions, "tags.`promote.state` = 'recorded'")
    for found in paged(link, "reading what was promoted", search):
        if MODEL_NAME.fullmatch(found.name):
            yield found.name, int(found.version), dict(found.tags)


def promoted(link: Connection) -> frozenset[str]:
    """The models of which a promotion was recorded, also those withdrawn since."""
    search = partial(link.client.search_model_versions, "tags.`promote.digest` != ''")
    found = (version.name for version in paged(link, "reading what was promoted", search))
    return frozenset(name for name in found if MODEL_NAME.fullmatch(name))


def versions_of(link: Connection, name: str) -> Versions:
    """The versions of ``name``.

    Raises:
        InputError: no model name.
    """
    return Versions(link, model_name(name))
