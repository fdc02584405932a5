"""A bundle fetched as a folder: whole and verified, or not there."""

from dataclasses import dataclass

from promote.core.bundle_files import check_files
from promote.core.stages import Stored
from promote.core.variant_index import StoredIndex
from promote.errors import InputError, IntegrityError
from promote.ports import Folder, Progress, Registry


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of it.

    Args:
        stored: the bundle.
        folder: where it lies.
        there: it lay there before, and nothing was fetched.
    """

    stored: Stored
    folder: str
    there: bool


def pull_bundle(
    name: str, reference: str, registry: Registry, folder: Folder, progress: Progress, *, variant: str = ""
) -> Pulled:
    """Fetches what ``reference`` names now, and makes ``folder`` appear.

    What is resolved first is what is fetched: a tag that is moved meanwhile changes nothing.

    Args:
        name: of the model.
        reference: tag or digest.
        registry: where the bundle lies.
        folder: that shall hold it.
        progress: how a person is told.
        variant: which, where an index of variants is named; empty: the portable one.

    Raises:
        InputError: something else lies in the folder; it is left alone. Or there is no such variant.
        IntegrityError: other bytes than the digests say, or files that a bundle may not have.
        NotFound, AuthError, Unavailable: as the words say.
    """
    with progress.stage("resolve", name) as step:
        stored = one_of(registry.find(name, reference), registry, variant)
        step.say(stored.reference)
    check_files(stored.name, stored.version, list(stored.files))
    total = sum(blob.size for blob in stored.files.values())
    if folder.filled():
        with progress.stage("compare", folder.path) as step:
            folder.require(stored, step)
            step.say("the bundle lies there already")
        return Pulled(stored, folder.path, there=True)
    with folder.staging() as staging:
        with progress.stage("fetch", f"{stored.name} v{stored.version}") as step:
            files = registry.fetch(stored, staging, step)
            step.say(f"{total:,} bytes in {len(files)} files")
        with progress.stage("place", folder.path):
            folder.place(stored, files)
    return Pulled(stored, folder.path, there=False)


def one_of(found: Stored | StoredIndex, registry: Registry, variant: str) -> Stored:
    """One bundle: itself, or the variant of an index that is named; without a name the portable one.

    Raises:
        InputError: there is no such variant.
        IntegrityError: the index lists a bundle of another version.
    """
    if isinstance(found, Stored):
        if variant:
            raise InputError(f"{found.reference} is one bundle, without variants", hint="leave --variant out")
        return found
    stored = registry.resolve(found.name, found.named(variant).digest)
    if stored.version != found.version:
        raise IntegrityError(f"{found.reference} is version {found.version} and lists one of version {stored.version}")
    return stored
