"""Brings one version into the repository: checked and flushed in a private folder, then named by one rename."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from promote.adapters.repository.disk import scratch, sync, take, verify, write_whole
from promote.adapters.repository.shelf import Shelf, on_disk, read_notes, verify_version, write_notes
from promote.core.bundle_files import check_files, read_config
from promote.core.passport import sha256
from promote.core.serving import config_text
from promote.core.stages import Deployed, Stored
from promote.errors import InputError, IntegrityError, NotFound


def place_version(shelf: Shelf, stored: Stored, files: Mapping[str, str], history: tuple[Deployed, ...]) -> None:
    """Makes ``NAME/N`` appear; what is there already is checked and left as it is.

    Args:
        shelf: with its state folder.
        stored: what the registry says the bundle is.
        files: path in the bundle -> path on disk; those in the shelf's staging are moved, others copied.
        history: the model's deployments here.

    Raises:
        IntegrityError: a file that may not be in a bundle or has other bytes, or ``NAME/N`` is another bundle.
        InputError: a model by that name is there that promote did not place.
        OSError: as the disk says.
    """
    name, version = stored.name, stored.version
    check_stored(stored, files)
    _refuse_another(shelf, stored, history)
    if shelf.version(name, version).exists():
        verify_version(shelf, name, version)
        return
    with scratch(shelf.staging, f"{name}@place-") as folder:
        config = _build(stored, files, shelf, folder)
        write_notes(shelf, stored, config)
        _name(folder / str(version), shelf, name, version)


def check_stored(stored: Stored, files: Mapping[str, str]) -> None:
    """Passes when ``files`` are those of the manifest, and may be in a bundle.

    Raises:
        IntegrityError: they are not.
    """
    check_files(stored.name, stored.version, list(stored.files))
    if sha256(stored.manifest) != stored.digest or files.keys() != stored.files.keys():
        raise IntegrityError(f"{stored.reference} does not come with the manifest or the files that it names")


def _refuse_another(shelf: Shelf, stored: Stored, history: tuple[Deployed, ...]) -> None:
    """A version number stands for one bundle for ever, and a model made by hand is not ours to change."""
    name, version = stored.name, stored.version
    home = shelf.root / name
    if home.is_symlink() or (home.exists() and not shelf.record(name).parent.is_dir()):
        raise InputError(
            f"{home} is there and was not placed by promote",
            hint="move it away, or promote the model under another name with --name",
        )
    known = read_notes(shelf, name, version) if shelf.version(name, version).exists() else None
    refuse_other_digest(stored, known[0] if known else "", history)


def refuse_other_digest(stored: Stored, known: str, history: tuple[Deployed, ...]) -> None:
    """Passes when the version's number does not stand for another bundle already.

    Args:
        stored: the bundle.
        known: the digest that lies there under this number; empty: none.
        history: the model's deployments here.

    Raises:
        IntegrityError: it does.
    """
    name, version = stored.name, stored.version
    former = [known] if known else [d.digest for d in history if d.version == version]
    if any(one != stored.digest for one in former):
        raise IntegrityError(
            f"version {version} of {name} is here as {former[0]}, not {stored.digest}",
            hint="a version number stands for one bundle: promote the run again to get the next number",
        )


def _build(stored: Stored, files: Mapping[str, str], shelf: Shelf, folder: Path) -> bytes:
    """The version's tree in ``folder``, checked and flushed; gives back the bytes of its config."""
    config = b""
    for path, blob in sorted(stored.files.items()):
        source = Path(files[path])
        own = shelf.staging in source.absolute().parents
        goal = folder / path.removeprefix(f"{stored.name}/")
        goal.parent.mkdir(parents=True, exist_ok=True)
        take(source, goal, blob, path, own=own)
        if path == f"{stored.name}/config.pbtxt":
            config = goal.read_bytes()
            read_config(config, stored.name)
    for parent, _, _ in os.walk(folder / str(stored.version), topdown=False):
        Path(parent).chmod(0o755)  # the server may run as another user, whatever the umask here
        sync(Path(parent))
    return config


def _name(tree: Path, shelf: Shelf, name: str, version: int) -> None:
    home = shelf.root / name
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    try:
        tree.rename(home / str(version))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        verify_version(shelf, name, version)  # another deployment of the same version was faster
    sync(home)
    sync(shelf.root)


def write_config(shelf: Shelf, name: str, versions: tuple[int, ...]) -> None:
    """Replaces ``NAME/config.pbtxt`` by the last version's own, its version policy naming all of ``versions``.

    Raises:
        NotFound: one of them is not on disk.
        IntegrityError: the last was changed since it was placed.
        OSError: as the disk says.
    """
    last = versions[-1]
    for version in versions[:-1]:
        if not shelf.version(name, version).is_dir():
            raise NotFound(f"version {version} of {name} is not in the model repository")
    config = on_disk(shelf, name, last)[f"{name}/config.pbtxt"]
    verify(shelf.notes(name, last) / "config.pbtxt", config, f"the config of {name} version {last}")
    data = naming((shelf.notes(name, last) / "config.pbtxt").read_bytes(), name, versions)
    write_whole(shelf.root / name / "config.pbtxt", data, shelf.staging, name)


def naming(config: bytes, name: str, versions: tuple[int, ...]) -> bytes:
    """The config with a version policy that names all of ``versions``."""
    message = read_config(config, name)
    message.version_policy.Clear()
    message.version_policy.specific.versions.extend(sorted(set(versions)))
    return config_text(message)
