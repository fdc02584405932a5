"""A model repository in a folder of another host, over ssh. What lies where is as in ``shelf.py``, and beside that::

    ROOT/../.promote-ROOT/blobs/HEX         bytes by their digest: what is there is not sent again; versions are hard links to it
    ROOT/../.promote-ROOT/blobs/HEX.part    a copy that was cut; the next one goes on at its end

Bytes are digested there before they get a name, a version appears by one rename. Not here: the connection (``ssh_line``), the
lock (``ssh_lock``).
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from promote.adapters.repository.disk import disk
from promote.adapters.repository.space import Held
from promote.adapters.repository.ssh_line import SshLine
from promote.adapters.repository.ssh_lock import hold
from promote.core.passport import sha256
from promote.core.repository_place import SshPlace
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, Unavailable

_SMALL = 64 * 2**20
_MISSING, _CHANGED, _ODD, _WRONG = 44, 45, 46, 47
_READ = f'[ -f "$1" ] && [ ! -L "$1" ] || exit {_MISSING}; head -c "$2" -- "$1"'
# stdin goes to a private file; its digest tells a stream that was cut. $1 goal, $2 staging, $3 owner, $4 digest, $5 the
# digest of the file it may replace ("" any, "-" none).
_WRITE = f"""umask 022
mkdir -p -- "${{1%/*}}" "$2" "$2/../locks"
t=$(mktemp -- "$2/$3@write-XXXXXXXX"); trap 'rm -f -- "$t"' EXIT
cat > "$t"
s=$(sha256sum < "$t"); [ "${{s%% *}}" = "$4" ] || exit {_WRONG}
chmod 644 -- "$t"; sync -- "$t"
exec 9> "$2/../locks/write"; flock -w 30 9
case "$5" in
  "") ;;
  -) [ ! -e "$1" ] || exit {_CHANGED} ;;
  *) [ -f "$1" ] || exit {_CHANGED}; s=$(sha256sum < "$1"); [ "${{s%% *}}" = "$5" ] || exit {_CHANGED} ;;
esac
mv -T -- "$t" "$1"; sync -- "${{1%/*}}\""""
_SIZES = f"""[ -d "$1" ] || exit 0
cd -- "$1"
[ -z "$(find . ! -type f ! -type d -print -quit)" ] || exit {_ODD}
find . -type f -printf '%s %P\\0'"""
_FOLDERS = """[ -d "$1" ] || exit 0; find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%f\\0'"""
_DIGESTS = """cd -- "$1"; find . -type f -printf '%P\\0' | xargs -0r sha256sum -z --"""
# $1 blobs, $2 staging, $3 root; stdin: lines "HEX SIZE". Says of each that is not there whole how much of it is.
_WANTED = """umask 022
mkdir -p -- "$1" "$2" "$2/../locks"
[ "$(stat -c %d -- "$2")" = "$(stat -c %d -- "$3")" ] || exit 46
find "$1" -name '*.part' -mtime +7 -delete
while read -r hex size; do
  [ "$(stat -c %s -- "$1/$hex" 2> /dev/null || echo -)" = "$size" ] && continue
  echo "$hex $(stat -c %s -- "$1/$hex.part" 2> /dev/null || echo 0)"
done"""
# $1 blobs, $2 HEX, $3 where stdin goes on.
_SEND = f"""umask 022
p="$1/$2.part"; touch -- "$p"; truncate -s "$3" -- "$p"
cat >> "$p"
s=$(sha256sum < "$p"); [ "${{s%% *}}" = "$2" ] || exit {_WRONG}
sync -- "$p"; mv -T -- "$p" "$1/$2\""""
# $1 blobs, $2 staging, $3 owner, $4 goal; stdin: lines "HEX PATH".
_BUILD = f"""umask 022
d=$(mktemp -d -- "$2/$3@place-XXXXXXXX"); mkdir "$d/v"
while IFS= read -r line; do
  hex=${{line%% *}}; path=${{line#* }}
  case "$path" in */*) mkdir -p -- "$d/v/${{path%/*}}" ;; esac
  s=$(sha256sum < "$1/$hex"); [ "${{s%% *}}" = "$hex" ] || {{ rm -f -- "$1/$hex"; exit {_WRONG}; }}
  ln -T -- "$1/$hex" "$d/v/$path"
done
find "$d/v" -type d -exec chmod 755 {{}} + -exec sync {{}} +
mkdir -p -- "${{4%/*}}"
[ ! -e "$4" ] || mv -T -- "$4" "$d/former"
mv -T -- "$d/v" "$4"; sync -- "${{4%/*}}"
rm -rf -- "$d\""""
# $1 what, $2 staging, $3 owner, $4 blobs: what no version uses for a day goes too.
_DROP = """umask 022
[ -e "$1" ] || [ -L "$1" ] || exit 0
mkdir -p -- "$2"; d=$(mktemp -d -- "$2/$3@gone-XXXXXXXX"); mv -T -- "$1" "$d/x"; sync -- "${1%/*}"; rm -rf -- "$d"
[ ! -d "$4" ] || find "$4" -type f -links 1 -mmin +1440 ! -name '*.part' -delete"""
_SWEEP = """[ ! -d "$1" ] || find "$1" -mindepth 1 -maxdepth 1 -name "$2@*" -exec rm -rf -- {} +"""


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
        code, _ = self._line.run(doing, f'[ -d "$1" ] || exit {_MISSING}', self._place.path, expected=(_MISSING,))
        if code:
            raise InputError(
                f"model repository {self.shown} is not a folder there",
                hint="create it, or change model_repository of the target in promote.toml",
            )
        self._seen = True

    def read(self, key: str) -> Held | None:
        """A file of at most 64 MiB; a link is none."""
        doing = f"read {self.shown_key(key)}"
        code, data = self._line.run(doing, _READ, self._path(key), str(_SMALL + 1), expected=(_MISSING,))
        if code:
            return None
        if len(data) > _SMALL:
            raise IntegrityError(f"{self.shown_key(key)} has more than {_SMALL:,} bytes")
        return Held(data, _hex(sha256(data)))

    def write(self, key: str, data: bytes) -> None:
        """By one rename, after its digest was right there."""
        self._write(key, data, "")

    def swap(self, key: str, data: bytes, former: Held | None) -> None:
        """Compared and renamed under a lock of that host."""
        if self._write(key, data, former.mark if former else "-") == _CHANGED:
            now = self.read(key)
            if now is None or now.data != data:
                raise Unavailable(
                    f"{self.shown_key(key)} was changed by somebody else meanwhile", hint="run the same command again"
                )

    def sizes(self, folder: str) -> dict[str, int]:
        """Of every file below.

        Raises:
            IntegrityError: something there is neither a file nor a folder.
        """
        code, out = self._line.run(f"list {self.shown_key(folder)}", _SIZES, self._path(folder), expected=(_ODD,))
        if code:
            raise IntegrityError(f"{self.shown_key(folder)} holds what is neither a regular file nor a folder")
        rows = (row.partition(" ") for row in _words(out))
        return {path: int(size) for size, _, path in rows}

    def folders(self, folder: str) -> tuple[str, ...]:
        """Directly below, in order."""
        out = self._line.run(f"list {self.shown_key(folder)}", _FOLDERS, self._path(folder))[1]
        return tuple(sorted(_words(out)))

    def digests(self, folder: str) -> dict[str, str]:
        """By ``sha256sum`` there."""
        doing = f"digest {self.shown_key(folder)}"
        with Path("/dev/null").open("rb") as nothing:  # a file: it may take long
            out = self._line.run(doing, _DIGESTS, self._path(folder), send=nothing)[1]
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
                doing, _BUILD, self._blobs, self._staging, owner, goal, send=lines, expected=(_WRONG,)
            )
            if not code:
                return
            if last:  # the first time, a blob that was changed there is removed and sent anew
                raise IntegrityError(f"{doing}: bytes change on that host, its disk may be failing")

    def drop(self, folder: str) -> None:
        """Moved away by one rename, then removed."""
        arguments = (self._path(folder), self._staging, folder.split("/")[-1 if folder.startswith("state") else 1])
        with Path("/dev/null").open("rb") as nothing:
            self._line.run(f"remove {self.shown_key(folder)}", _DROP, *arguments, self._blobs, send=nothing)

    def remove(self, key: str) -> None:
        """One file."""
        self._line.run(f"remove {self.shown_key(key)}", 'rm -f -- "$1"', self._path(key))

    def sweep(self, name: str) -> None:
        """Private files and folders of that model."""
        with Path("/dev/null").open("rb") as nothing:
            self._line.run(f"remove what killed deployments of {name} left", _SWEEP, self._staging, name, send=nothing)

    def lock(self, name: str, by: str) -> AbstractContextManager[None]:
        """See ``ssh_lock``."""
        return hold(self._line, f"{self._areas['state']}/locks/{name}.lock", name, by)

    def _write(self, key: str, data: bytes, former: str) -> int:
        owner = key.split("/")[2 if key.startswith("state") else 1]
        doing, found = f"write {self.shown_key(key)}", _hex(sha256(data))
        arguments = (self._path(key), self._staging, owner, found, former)
        code, _ = self._line.run(doing, _WRITE, *arguments, send=data, expected=(_CHANGED, _WRONG))
        if code == _WRONG:
            raise Unavailable(f"{doing}: not all of it arrived")
        return code

    def _wanted(self, blobs: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """Digest -> bytes that are there of it already, of each that is not there whole."""
        lines = "".join(f"{found} {size}\n" for found, (_, size) in blobs.items()).encode()
        arguments = (self._blobs, self._staging, self._place.path)
        code, out = self._line.run(f"look into {self.shown}", _WANTED, *arguments, send=lines, expected=(_ODD,))
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
                code, _ = self._line.run(doing, _SEND, self._blobs, found, str(start), send=file, expected=(_WRONG,))
            if not code:
                return
        raise IntegrityError(f"{doing}: bytes of another digest arrived, expected sha256:{found}")

    def _path(self, key: str) -> str:
        area, _, rest = key.partition("/")
        return f"{self._areas[area]}/{rest}"


def _hex(digest: str) -> str:
    return re.sub("^sha256:", "", digest)


def _words(out: bytes) -> list[str]:
    return [word for word in out.decode(errors="surrogateescape").split("\0") if word]
