"""A bundle copied to a mirror, and a mirror held against the bundle. The registry is what it is held against, always."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from promote.core.bundle_files import check_files, read_config
from promote.core.layout import content, passport_of
from promote.core.mirrors import (
    Difference,
    by_digest,
    by_size,
    config_path,
    contents,
    manifest_path,
    versions_in,
)
from promote.core.model_card import CARD, may_write, write_card
from promote.core.passport import sha256
from promote.core.stages import Blob, Stored
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Mirror, Progress, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A mirror against the manifest.

    Args:
        differences: none where it holds the bundle.
        served: the version whose config lies there; another than the bundle's where a higher one was mirrored.
        checked: bytes that were read.
    """

    differences: tuple[Difference, ...]
    served: int
    checked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """What came of a copy.

    Args:
        served: the version whose config lies there now.
        sent: bytes that travelled.
        skipped: bytes that were there already.
    """

    served: int
    sent: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacked:
    """What a mirror has not of a bundle.

    Args:
        served: the version whose config lies there afterwards.
        todo: path in the mirror and what belongs there, in the order in which it is sent.
        there: bytes that are there already.
    """

    served: int
    todo: tuple[tuple[str, Blob], ...]
    there: int


def verify_mirror(stored: Stored, source: Registry, mirror: Mirror, progress: Progress) -> Compared:
    """Every difference between what ``mirror`` holds of the bundle and its manifest; every byte there is read.

    Args:
        stored: the bundle, as ``source`` holds it.
        source: the registry.
        mirror: what is looked at; nothing is written there.
        progress: how a person is told.
    """
    with progress.stage("read", f"{stored.name} v{stored.version} at {mirror.shown}") as step:
        held = mirror.sizes(stored.name)
        wanted = contents(stored)
        found = by_size(stored, held)
        odd = {difference.path for difference in found}
        read = {path: held[path] for path in wanted if path in held and path not in odd}
        found += by_digest(stored, mirror.digests(read, step))
        served, config = _higher(stored, source, mirror, held), config_path(stored.name)
        if served:
            found = tuple(one for one in found if one.path != config)
        step.say("the same" if not found else f"{len(found)} differences")
    return Compared(differences=found, served=served or stored.version, checked=sum(read.values()))


def mirror_bundle(stored: Stored, source: Registry, mirror: Mirror, folder: str, progress: Progress) -> Mirrored:
    """Brings the bundle to ``mirror``, what is there already left alone; what was sent is read back.

    Args:
        stored: the bundle, as ``source`` holds it.
        source: where its bytes come from.
        mirror: where they go.
        folder: where they may lie meanwhile.
        progress: how a person is told.

    Raises:
        InputError: the model is there and no copy put it there.
        IntegrityError: a file that may not be in a bundle; the version is there as another bundle, or with files more;
            what lies there afterwards is not what was sent.
    """
    lacked = weigh_mirror(stored, source, mirror, progress)
    sent = _send(stored, source, mirror, list(lacked.todo), folder, progress) if lacked.todo else 0
    return Mirrored(served=lacked.served, sent=sent, skipped=lacked.there)


def weigh_mirror(stored: Stored, source: Registry, mirror: Mirror, progress: Progress) -> Lacked:
    """What ``mirror_bundle`` would send, every byte that is there read; nothing is written.

    Args:
        stored, source, mirror, progress: as of ``mirror_bundle``.

    Raises:
        InputError, IntegrityError: as ``mirror_bundle``.
    """
    name, version, config = stored.name, stored.version, config_path(stored.name)
    check_files(name, version, list(stored.files))
    read_config(source.read(stored, stored.files[config]), name)  # Triton reads it without promote in between
    _claim(stored, mirror, mirror.sizes(name))
    before = verify_mirror(stored, source, mirror, progress)
    if extra := [one for one in before.differences if one.kind == "extra"]:
        raise IntegrityError(
            f"{mirror.shown} holds {extra[0].path}, which is no file of {name} version {version}",
            hint="remove it, or use another place: Triton loads libraries that lie in a model's folder",
        )
    wanted = contents(stored)
    lacking = {one.path for one in before.differences}
    todo = [(path, blob) for path, blob in wanted.items() if path in lacking]
    todo += _card(stored, source, mirror) if before.served == version and mirror.carries_card else []
    there = sum(blob.size for path, blob in wanted.items() if path not in lacking)
    return Lacked(served=before.served, todo=tuple(todo), there=there)


def _send(
    stored: Stored, source: Registry, mirror: Mirror, todo: list[tuple[str, Blob]], folder: str, progress: Progress
) -> int:
    title = f"{stored.name} version {stored.version}, {stored.digest}"
    with progress.stage("fetch", f"from {stored.repository}") as step:
        wanted = dict(todo)
        files = source.fetch(
            replace(stored, files={p: b for p, b in stored.files.items() if p in wanted}), folder, step
        )
    with progress.stage("send", f"{len(todo)} files to {mirror.shown}") as step:
        here = [(path, replace(blob, path=files[path]) if path in files else blob) for path, blob in todo]
        sent = mirror.send(here, title, step)
        rest = sum(blob.size for _, blob in todo) - sent
        step.say(f"{sent:,} bytes sent" + (f", {rest:,} had arrived before" if rest > 0 else ""))
    with progress.stage("read", f"back from {mirror.shown}") as step:
        there = mirror.digests({path: blob.size for path, blob in todo}, step)
        for path, blob in todo:
            if there[path] != blob.digest:
                wrong = Difference("changed", path, there[path], blob.digest)
                hint = "what lies there is not what was sent: run the same command again"
                raise IntegrityError(f"{mirror.shown}: {wrong}", hint=hint)
        step.say(f"{len(todo)} files are as the manifest says")
    return sent


def _card(stored: Stored, source: Registry, mirror: Mirror) -> list[tuple[str, Blob]]:
    """The page that people see, where it is not there already and nobody wrote one of their own."""
    there = mirror.read(CARD)
    card = content(write_card(stored, source.read(stored, passport_of(stored))))
    return [(CARD, card)] if may_write(there) and there != card.data else []


def _claim(stored: Stored, mirror: Mirror, held: Mapping[str, int]) -> None:
    """Passes when the version's place is free, or this bundle's."""
    name, version = stored.name, stored.version
    within, mine = f"{name}/{version}/", manifest_path(name, version)
    if mine not in held and (any(path.startswith(within) for path in held) or (held and not versions_in(name, held))):
        raise InputError(
            f"{mirror.shown}/{name} is there and no copy put it there",
            hint="move it away, or copy to another place: what a mirror holds is put there by promote copy alone",
        )
    there = mirror.read(mine) if mine in held else None
    if there is not None and sha256(there) != stored.digest:
        raise IntegrityError(
            f"{mirror.shown} holds version {version} of {name} as {sha256(there)}, not {stored.digest}",
            hint="a version number stands for one bundle: promote the run again to get the next number",
        )


def _higher(stored: Stored, source: Registry, mirror: Mirror, held: Mapping[str, int]) -> int:
    """The higher version whose config lies in the mirror, by the registry's word; 0 where it is none."""
    config = config_path(stored.name)
    higher = [version for version in versions_in(stored.name, held) if version > stored.version]
    there = mirror.read(config) if higher and config in held else None
    if there is None:
        return 0
    for version in reversed(higher):
        manifest = mirror.read(manifest_path(stored.name, version)) or b""
        try:
            other = source.resolve(stored.name, sha256(manifest))
        except NotFound:  # the registry knows no such bundle
            continue
        blob = other.files.get(config)
        if other.version == version and blob is not None and blob.digest == sha256(there):
            return version
    return 0
