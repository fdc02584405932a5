"""A bundle fetched as a folder: whole and verified, or not there."""

from dataclasses import dataclass

from promote.core.bundle_files import check_files
from promote.core.stages import Stored
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


def pull_bundle(name: str, reference: str, registry: Registry, folder: Folder, progress: Progress) -> Pulled:
    """Fetches what ``reference`` names now, and makes ``folder`` appear.

    What is resolved first is what is fetched: a tag that is moved meanwhile changes nothing.

    Raises:
        InputError: something else lies in the folder; it is left alone.
        IntegrityError: other bytes than the digests say, or files that a bundle may not have.
        NotFound, AuthError, Unavailable: as the words say.
    """
    with progress.stage("resolve") as step:
        stored = registry.resolve(name, reference)
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
