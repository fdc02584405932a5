"""A private folder where a plan is built: ``in``, which the builder only reads, and ``out``; here, or for a while on the host.

All that goes there and comes from there passes through this folder on this machine. Not here: what is built (``building``).
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from promote.adapters.engine.running import Ended, Limits, run
from promote.core.engine_log import Trouble, diagnose
from promote.core.engine_place import Place, over, run_words, stop_words
from promote.core.names import printable
from promote.errors import IntegrityError, Unavailable

_SHORT = Limits(seconds=60, printed_bytes=65_536)
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Workshop:
    """An open one.

    Args:
        place: where ``trtexec`` runs, its user filled in.
        folder: on this machine, with ``in`` and ``out``.
        root: the same on the host that builds.
        limits: of one run.
        say: hears what ``trtexec`` prints.
    """

    place: Place
    folder: Path
    root: str
    limits: Limits
    say: Callable[[str], None]

    @property
    def log(self) -> Path:
        """All that was run, and what it printed."""
        return self.folder / "trtexec.log"

    def seen(self, side: str, name: str) -> str:
        """How ``trtexec`` sees a file of ``in`` or ``out``."""
        return f"{self.place.seen(self.root, side)}/{name}"

    def give(self, files: Mapping[str, str]) -> None:
        """Puts files into ``in``: name there -> path on this machine."""
        for name, path in files.items():
            ours = self.folder / "in" / name
            ours.parent.mkdir(parents=True, exist_ok=True)
            _place(path, ours, link=self.place.contained)
            if self.place.ssh:
                there = f"{self.root}/in/{name}"
                self.ask(["mkdir", "-p", "--", os.path.dirname(there)])  # noqa: PTH120 - a path of the other host
                self._send(ours, there)

    def keep(self, name: str, path: Path) -> None:
        """Puts a file into ``out``, which the builder may change: a cache."""
        shutil.copyfile(path, self.folder / "out" / name)
        if self.place.ssh:
            self._send(self.folder / "out" / name, f"{self.root}/out/{name}")

    def take(self, name: str, largest: int) -> Path | None:
        """A file of ``out``, on this machine; ``None`` where there is none.

        Raises:
            IntegrityError: larger than ``largest`` bytes, or no plain file.
        """
        ours = self.folder / "out" / name
        if self.place.ssh and not self._fetch(f"{self.root}/out/{name}", ours, largest):
            return None
        if ours.is_symlink() or (ours.exists() and not ours.is_file()):
            raise IntegrityError(f"{printable(name, 80)} that the builder left is no plain file")
        if not ours.exists():
            return None
        if ours.stat().st_size > largest:
            raise IntegrityError(f"{printable(name, 80)} that the builder left has more than {largest:,} bytes")
        return ours

    def trtexec(self, words: Sequence[str]) -> Ended:
        """Runs ``trtexec`` with these words; its container is ended where promote had to stop it."""
        name = f"promote-engine-{secrets.token_hex(8)}"
        ended = False
        try:
            done = run(
                run_words(self.place, self.root, words, name), self.limits, self.say, self.log, self.folder / "out"
            )
            if self.place.ssh and done.code and not done.broken and done.seconds >= self.place.seconds:
                done.broken = "time"  # timeout kills its whole group, itself too: ssh then says 255, as for a lost line
            ended = not done.broken
            return done
        finally:
            if not ended and self.place.contained:  # also when somebody pressed Ctrl-C
                run(stop_words(self.place, name), _SHORT, lambda _: None, self.log)

    def must(self, words: Sequence[str]) -> Ended:
        """The same, where it must succeed.

        Raises:
            ExportError, Unavailable: it did not; the message says why, the hint what to do.
        """
        done = self.trtexec(words)
        if done.code or done.broken:
            raise trouble(done).error
        return done

    def ask(self, words: Sequence[str]) -> str:
        """The last line that a small command says on the host that builds: it may greet us before.

        Raises:
            ExportError, Unavailable: it fails.
        """
        done = run(over(self.place, words), _SHORT, lambda _: None, self.log)
        if done.code or done.broken:
            raise trouble(done).error
        spoken = [line for line in done.lines if line.strip()]
        return spoken[-1].strip() if spoken else ""

    def _send(self, path: Path, there: str) -> None:
        with path.open("rb") as file:
            words = over(self.place, ["dd", f"of={there}", "bs=1M", "status=none"])
            done = _piped(words, self.limits.seconds, stdin=file)
        if done.returncode:
            raise Unavailable(f"cannot write to {self.place.ssh}: {_words(done.stderr)}", hint="is its disk full?")

    def _fetch(self, there: str, path: Path, largest: int) -> bool:
        if run(over(self.place, ["test", "-f", there]), _SHORT, lambda _: None, self.log).code:
            return False
        words = over(self.place, ["head", "-c", str(largest + 1), "--", there])
        with path.open("wb") as file:
            done = _piped(words, self.limits.seconds, stdout=file)
        if done.returncode:
            raise Unavailable(f"cannot read from {self.place.ssh}: {_words(done.stderr)}")
        return True


def trouble(done: Ended) -> Trouble:
    """Why it failed."""
    return diagnose(done.lines, done.code, broken=done.broken)


@contextmanager
def workshop(place: Place, folder: Path, limits: Limits, say: Callable[[str], None]) -> Iterator[Workshop]:
    """Opens one in ``folder``, which is empty; on another host it goes when the block ends.

    Raises:
        Unavailable: the host cannot be reached, or a disk is full.
    """
    try:
        for side in ("in", "out"):
            (folder / side).mkdir(parents=True)
    except OSError as error:
        raise Unavailable(f"cannot write {folder}: {error.strerror}") from error
    if not place.ssh:
        own = replace(place, user=f"{os.getuid()}:{os.getgid()}")
        yield Workshop(own, folder, str(folder.absolute()), limits, say)
        return
    bare = Workshop(place, folder, "", limits, say)
    root = bare.ask(["mktemp", "-d", "-t", "promote-engine.XXXXXXXXXX"])
    user = f"{bare.ask(['id', '-u'])}:{bare.ask(['id', '-g'])}"
    made = replace(bare, place=replace(place, user=user), root=root)
    try:
        made.ask(["mkdir", "--", f"{root}/in", f"{root}/out"])
        yield made
    finally:
        if "/promote-engine." in root:
            run(over(place, ["rm", "-rf", "--", root]), _SHORT, lambda _: None, made.log)


def _piped(words: Sequence[str], seconds: float, **streams: object) -> "subprocess.CompletedProcess[bytes]":
    started = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        given = {"stdin": subprocess.DEVNULL} | streams
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            list(words), stderr=subprocess.PIPE, timeout=seconds, check=False, start_new_session=True, **given
        )
    raise Unavailable(f"{words[0]} did not end within {time.monotonic() - started:.0f} s")


def _words(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1], 200) if lines else "it said nothing"


def _place(path: str, ours: Path, *, link: bool) -> None:
    """A copy; by a hard link only where the mount keeps the builder from changing what others hold by its digest."""
    if link:
        with contextlib.suppress(OSError):  # another file system
            ours.hardlink_to(Path(path).resolve())
            return
    shutil.copyfile(path, ours)


__all__ = ["Workshop", "trouble", "workshop"]
