"""One deployment of a model at a time on another host: ``flock`` there, held as long as our connection lasts.

So a killed deployment leaves no lock behind. Two hosts that share the repository by NFS are guarded as far as that carries
locks; digests and renames keep it whole anyway.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from promote.adapters.repository.ssh_line import SECONDS, SshLine, end
from promote.core.names import printable
from promote.errors import PromoteError, Unavailable

_BUSY, _MISSING = 48, 44
# $1 file, $2 who, $3 a folder that must be there. flock itself holds the file; what it runs ends with our stdin.
_HOLD = f"""[ -d "$3" ] || exit {_MISSING}
umask 022
mkdir -p -- "${{1%/*}}"
flock -n -o -E {_BUSY} -- "$1" sh -c 'printf %s "$2" > "$1.by"; echo held; cat > /dev/null' sh "$1" "$2\""""


@contextmanager
def hold(line: SshLine, path: str, name: str, by: str, needs: tuple[str, PromoteError]) -> Iterator[None]:
    """Holds the lock file at ``path`` there for deploying ``name``.

    Args:
        line: to the host.
        path: of the lock; made where it is missing.
        name: of the model.
        by: who deploys.
        needs: a folder that must be there, and what is raised where it is not: asked by the same command.

    Raises:
        Unavailable: another deployment holds it; the message names it.
        AuthError, InputError: as ``SshLine.run``.
    """
    process = line.start(_HOLD, path, by, needs[0], stdin=subprocess.PIPE)
    try:
        if process.stdout is None or process.stdin is None:
            raise AssertionError("pipes were asked for")
        if process.stdout.readline() != b"held\n":
            out, err = process.communicate(timeout=SECONDS)
            if process.returncode == _MISSING:
                raise needs[1]
            if process.returncode == _BUSY:
                raise _busy(line, path, name)
            raise line.told(f"lock {name}", process.returncode, err or out)
        yield
        process.stdin.close()
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return  # killed below; the lock goes with the connection
    finally:
        end(process)


def _busy(line: SshLine, path: str, name: str) -> Unavailable:
    _, who = line.run(f"lock {name}", 'head -c 400 -- "$1.by" 2> /dev/null || :', path)
    holder = printable(who.decode(errors="replace"), 120) or "somebody"
    return Unavailable(f"{name} is being deployed by {holder}", hint="wait until it ends; its lock goes with it")
