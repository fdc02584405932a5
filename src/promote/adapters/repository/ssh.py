"""A model repository in a folder of another host, over ssh. What lies where is as in ``shelf.py``, and beside that::

    ROOT/../.promote-ROOT/blobs/HEX         bytes by their digest: what is there is not sent again; versions are hard links to it
    ROOT/../.promote-ROOT/blobs/HEX.part    a copy that was cut; the next one goes on at its end

Bytes are digested there before they get a name, a version appears by one rename. Not here: the connection (``ssh_line``), the
lock (``ssh_lock``).
"""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from promote.adapters.repository import ssh_scripts as scripts
from promote.adapters.repository.disk import disk
from promote.adapters.repository.space import Held, View
from promote.adapters.repository.ssh_line import SshLine
from promote.adapters.repository.ssh_lock import hold
from promote.core.passport import sha256
from promote.core.repository_place import SshPlace
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, Unavailable

_SMALL = 64 * 2**20


class SshSpace:
    """A ``Space`` over ssh."""

    def __init__(self, place: SshPlace) -> None:
        self._place, self._line = place, SshLine(place)
        above, _, last = place.path.rpartition("/")
        self._areas = {"root": place.path, "state": f"{above}/.promote-{last}"}
        self._staging, self._blobs = f"{self._areas['state']}/staging", f"{self._areas['state']}/blobs"
        self._seen = False

    @property
    def shown(self) -> str:
        """``ssh://host/path``."""
        return f"ssh://{self._line.shown}{self._place.path}"

    def shown_key(self, key: str) -> str:
        """``host:path``."""
        return f"{self._line.shown}:{self._path(key)}"

    def require(self) -> None:
        """Passes when the folder is there."""
        if self._seen:
            return
        doing = f"look for {self.shown}"
        code, _ = self._line.run(
            doing, f'[ -d "$1" ] || exit {scripts.MISSING}', self._place.path, expected=(scripts.MISSING,)
        )
        if code:
            raise self._no_folder()
        self._seen = True

    def _no_folder(self) -> InputError:
        return InputError(
            f"model repository {self.shown} is not a folder there",
            hint="create it, or change model_repository of the target in promote.toml",
        )

    def read(self, key: str) -> Held | None:
        """A file of at most 64 MiB; a link is none."""
        doing = f"read {self.shown_key(key)}"
        code, data = self._line.run(doing, scripts.READ, self._path(key), str(_SMALL + 1), expected=(scripts.MISSING,))
        if code:
            return None
        return self._whole(key, data)

    def read_all(self, keys: Sequence[str]) -> dict[str, Held]:
        """By one command."""
        doing = f"read {self.shown_key(keys[0])} and more"
        out = self._line.run(doing, scripts.READ_ALL, str(_SMALL + 1), *map(self._path, keys))[1]
        found = zip(keys, out.split(b"\0")[:-1], strict=True)
        return {key: self._held(key, text[1:]) for key, text in found if text}

    def glance(self, name: str) -> View:
        """By one command."""
        state, root = f"state/models/{name}", f"root/{name}"
        arguments = (str(_SMALL + 1), self._place.path, self._path(state), self._path(root))
        code, out = self._line.run(
            f"look at {self.shown_key(root)}", scripts.GLANCE, *arguments, expected=(scripts.MISSING,)
        )
        if code:
            raise self._no_folder()
        self._seen = True
        view, words = View(), iter(out.split(b"\0")[:-1])
        for word in words:
            kind, text = word[:1], os.fsdecode(word[1:])
            if kind == b"s":
                size, _, path = text.partition(" ")
                view.sizes[path] = int(size)
            elif kind == b"o":
                view.odd += (text,)
            else:
                key = f"{state if kind == b'n' else root}/{text}"
                view.small[key] = self._held(key, next(words))
        return view

    def write(self, key: str, data: bytes) -> Held:
        """By one rename, after its digest was right there."""
        self._write(key, data, "")
        return Held(data, _hex(sha256(data)))

    def swap(self, key: str, data: bytes, former: Held | None) -> Held:
        """Compared and renamed under a lock of that host."""
        if self._write(key, data, former.mark if former else "-") == scripts.CHANGED:
            now = self.read(key)
            if now is None or now.data != data:
                raise Unavailable(
                    f"{self.shown_key(key)} was changed by somebody else meanwhile", hint="run the same command again"
                )
        return Held(data, _hex(sha256(data)))

    def sizes(self, folder: str) -> dict[str, int]:
        """Of every file below.

        Raises:
            IntegrityError: something there is neither a file nor a folder.
        """
        code, out = self._line.run(
            f"list {self.shown_key(folder)}", scripts.SIZES, self._path(folder), expected=(scripts.ODD,)
        )
        if code:
            raise IntegrityError(f"{self.shown_key(folder)} holds what is neither a regular file nor a folder")
        rows = (row.partition(" ") for row in _words(out))
        return {path: int(size) for size, _, path in rows}

    def folders(self, folder: str) -> tuple[str, ...]:
        """Directly below, in order."""
        out = self._line.run(f"list {self.shown_key(folder)}", scripts.FOLDERS, self._path(folder))[1]
        return tuple(sorted(_words(out)))

    def digests(self, folder: str) -> dict[str, str]:
        """By ``sha256sum`` there."""
        doing = f"digest {self.shown_key(folder)}"
        with Path("/dev/null").open("rb") as nothing:  # a file: it may take long
            out = self._line.run(doing, scripts.DIGESTS, self._path(folder), send=nothing)[1]
        rows = (row.partition("  ") for row in _words(out))
        return {path: f"sha256:{found}" for found, _, path in rows}

    def bring(self, folder: str, files: Mapping[str, tuple[str, Blob]]) -> None:
        """Sends the blobs that are missing there, then builds the version of links to them."""
        blobs = {_hex(blob.digest): (source, blob.size) for source, blob in files.values()}
        owner, goal = folder.split("/")[1], self._path(folder)
        lines = "".join(f"{_hex(blob.digest)} {path}\n" for path, (_, blob) in sorted(files.items())).encode()
        for last in (False, True):
            for found, there in self._wanted(blobs).items():
                self._send(found, *blobs[found], there)
            doing = f"place {self.shown_key(folder)}"
            code, _ = self._line.run(
                doing, scripts.BUILD, self._blobs, self._staging, owner, goal, send=lines, expected=(scripts.WRONG,)
            )
            if not code:
                return
            if last:  # the first time, a blob that was changed there is removed and sent anew
                raise IntegrityError(f"{doing}: bytes change on that host, its disk may be failing")

    def drop(self, folder: str) -> None:
        """Moved away by one rename, then removed."""
        arguments = (self._path(folder), self._staging, folder.split("/")[-1 if folder.startswith("state") else 1])
        with Path("/dev/null").open("rb") as nothing:
            self._line.run(f"remove {self.shown_key(folder)}", scripts.DROP, *arguments, self._blobs, send=nothing)

    def remove(self, key: str) -> None:
        """One file."""
        self._line.run(f"remove {self.shown_key(key)}", 'rm -f -- "$1"', self._path(key))

    def sweep(self, name: str) -> None:
        """Private files and folders of that model."""
        with Path("/dev/null").open("rb") as nothing:
            self._line.run(
                f"remove what killed deployments of {name} left", scripts.SWEEP, self._staging, name, send=nothing
            )

    def lock(self, name: str, by: str) -> AbstractContextManager[None]:
        """See ``ssh_lock``."""
        return hold(
            self._line, f"{self._areas['state']}/locks/{name}.lock", name, by, (self._place.path, self._no_folder())
        )

    def _write(self, key: str, data: bytes, former: str) -> int:
        owner = key.split("/")[2 if key.startswith("state") else 1]
        doing, found = f"write {self.shown_key(key)}", _hex(sha256(data))
        arguments = (self._path(key), self._staging, owner, found, former)
        code, _ = self._line.run(doing, scripts.WRITE, *arguments, send=data, expected=(scripts.CHANGED, scripts.WRONG))
        if code == scripts.WRONG:
            raise Unavailable(f"{doing}: not all of it arrived")
        return code

    def _wanted(self, blobs: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """Digest -> bytes that are there of it already, of each that is not there whole."""
        lines = "".join(f"{found} {size}\n" for found, (_, size) in blobs.items()).encode()
        arguments = (self._blobs, self._staging, self._place.path)
        code, out = self._line.run(
            f"look into {self.shown}", scripts.WANTED, *arguments, send=lines, expected=(scripts.ODD,)
        )
        if code:
            raise InputError(
                f"{self.shown} and {self.shown_key('state/staging')} are not on one file system",
                hint="versions get their name by a rename: the folder beside the repository must be on its disk",
            )
        rows = (line.split(" ") for line in out.decode("ascii", "replace").splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[0] in blobs and row[1].isdecimal()}

    def _send(self, found: str, source: str, size: int, there: int) -> None:
        """What is missing of one blob; of what went before and was not right, all of it."""
        doing = f"copy to {self._line.shown}"
        for start in dict.fromkeys((there if there < size else 0, 0)):
            with disk(f"read {source}"), Path(source).open("rb", buffering=0) as file:
                file.seek(start)
                code, _ = self._line.run(
                    doing, scripts.SEND, self._blobs, found, str(start), send=file, expected=(scripts.WRONG,)
                )
            if not code:
                return
        raise IntegrityError(f"{doing}: bytes of another digest arrived, expected sha256:{found}")

    def _held(self, key: str, text: bytes) -> Held:
        return self._whole(key, base64.b64decode(text))

    def _whole(self, key: str, data: bytes) -> Held:
        if len(data) > _SMALL:
            raise IntegrityError(f"{self.shown_key(key)} has more than {_SMALL:,} bytes")
        return Held(data, _hex(sha256(data)))

    def _path(self, key: str) -> str:
        area, _, rest = key.partition("/")
        return f"{self._areas[area]}/{rest}"


def _hex(digest: str) -> str:
    return re.sub("^sha256:", "", digest)


def _words(out: bytes) -> list[str]:
    return [word for word in out.decode(errors="surrogateescape").split("\0") if word]
