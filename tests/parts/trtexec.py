"""The stand-in ``trtexec`` as a program of its own, and a ``docker`` that runs it with a container's view of the folders."""

import json
import sys
from pathlib import Path

STAND_IN = Path(__file__).resolve().parents[1] / "fakes/trtexec.py"
_DOCKER = """
import json, os, subprocess, sys
from pathlib import Path
here, words = Path(__file__).parent, sys.argv[1:]
with (here / "docker.log").open("a") as log:
    log.write(json.dumps(words) + "\\n")
if words[0] == "kill":
    sys.exit(0)
mounts = [dict(p.partition("=")[::2] for p in w.removeprefix("--mount=").split(",")) for w in words if w.startswith("--mount=")]
at = next(n for n, w in enumerate(words) if n and not w.startswith("--"))
told = [w for w in words[at + 2:]]
for mount in mounts:
    for sign in "=:":
        told = [w.replace(f"{sign}{mount['dst']}/", f"{sign}{mount['src']}/") for w in told]
sys.exit(subprocess.run([str(here / "trtexec"), *told]).returncode)
"""


def install(folder: Path, **settings: object) -> Path:
    """A ``trtexec`` in ``folder``, and what it shall be or fail with; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "trtexec"
    program.write_text(f"#!{sys.executable}\n" + STAND_IN.read_text().partition("\n")[2])
    program.chmod(0o755)
    set_up(folder, **settings)
    return program


def set_up(folder: Path, **settings: object) -> None:
    """Changes what the installed one is or fails with."""
    (folder / "trtexec.json").write_text(json.dumps(settings))


def install_docker(folder: Path) -> Path:
    """A ``docker`` in ``folder``, beside a ``trtexec``; it keeps what it was told in ``docker.log``."""
    program = folder / "docker"
    program.write_text(f"#!{sys.executable}\n{_DOCKER}")
    program.chmod(0o755)
    return program


def told(folder: Path) -> list[list[str]]:
    """What that ``docker`` was told."""
    return [json.loads(line) for line in (folder / "docker.log").read_text().splitlines()]
