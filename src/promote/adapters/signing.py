"""Signatures of decisions, by OpenSSH's own ``ssh-keygen -Y``: what a team signs with is the key that it logs in with.

A private key is read by ssh-keygen alone, or stays in its agent. Not here: which bytes are signed (``core.signed``), and what
a signature is worth (``core.review``).
"""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from promote.core.names import printable
from promote.core.signed import LONGEST, NAMESPACE, Seen
from promote.errors import AuthError, InputError, NotFound, Unavailable

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_SECONDS = 60.0  # a person may be asked for a passphrase, or to touch a key
_PATTERN = frozenset("*?!,")


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key that a person signs with.

    Args:
        path: of the private key, or of the public one whose private part an agent holds.
    """

    path: Path

    def sign(self, statement: bytes) -> str:
        """The signature, as one line of base64.

        Raises:
            NotFound: no such key.
            AuthError: it cannot be used.
            InputError: its signature is longer than an event holds.
        """
        if not self.path.is_file():
            raise NotFound(
                f"no key {self.path}", hint="--sign ~/.ssh/id_ed25519, or its .pub where an agent holds the key"
            )
        with tempfile.TemporaryDirectory(prefix="promote-signature-") as folder:
            # In a file, as ssh-keygen takes its stdin for a passphrase where there is no terminal.
            file = Path(folder) / "decision"
            file.write_bytes(statement)
            done = _keygen("sign", "-f", str(self.path), "-n", NAMESPACE, str(file))
            made = file.with_suffix(".sig")
            text = made.read_text(encoding="ascii").strip() if made.is_file() else ""
        if done.returncode or not text.startswith(_BEGIN):
            why = _why(done.stderr, f"exit code {done.returncode}")
            raise AuthError(
                f"{self.path} signs nothing: {why}",
                hint="ssh-add the key and name its .pub, or a key without a passphrase",
            )
        line = "".join(text.removeprefix(_BEGIN).removesuffix(_END).split())
        if len(line) > LONGEST:
            raise InputError(
                f"a signature of {len(line)} characters, the most is {LONGEST}", hint="sign with an Ed25519 key"
            )
        return line


@dataclass(frozen=True, slots=True)
class AllowedSigners:
    """See ``promote.ports.Signatures``.

    Args:
        path: of the file; ``ALLOWED SIGNERS`` in ssh-keygen(1) says what is in it.
    """

    path: Path

    def check(self, statement: bytes, signature: str) -> Seen:
        """See ``promote.ports.Signatures``. Names that are patterns name nobody."""
        if not self.path.is_file():
            raise InputError(
                f"no file of signers {self.path}", hint="the policy's `signers` names it; ssh-keygen(1) describes it"
            )
        with tempfile.TemporaryDirectory(prefix="promote-signature-") as folder:
            file = Path(folder) / "signature"
            file.write_text(f"{_BEGIN}\n{signature}\n{_END}\n", encoding="ascii", errors="replace")
            whole = _keygen("check-novalidate", "-n", NAMESPACE, "-s", str(file), send=statement)
            if whole.returncode:
                return Seen(doubt="it is not of this decision: forged, or made of another digest, target or words")
            return self._whose(statement, file, whole.stdout)

    def _whose(self, statement: bytes, file: Path, shown: bytes) -> Seen:
        found = _keygen("find-principals", "-f", str(self.path), "-s", str(file))
        names = [name for name in found.stdout.decode(errors="replace").splitlines() if not _PATTERN & set(name)]
        key, why = printable(shown.decode(errors="replace").rpartition(" with ")[2].strip()), ""
        for name in names:
            done = _keygen("verify", "-f", str(self.path), "-I", name, "-n", NAMESPACE, "-s", str(file), send=statement)
            if done.returncode == 0:
                return Seen(signer=name)
            why = _why(done.stderr, "")
        why = why or _why(found.stderr, "")
        return Seen(doubt=f"{self.path.name} lets nobody sign with its {key}" + (f" ({why})" if why else ""))


def _keygen(doing: str, *arguments: str, send: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it; its words in English.

    Raises:
        Unavailable: it is not here, or does not end.
    """
    command = ["ssh-keygen", "-Y", doing, *arguments]
    try:
        return subprocess.run(
            command, input=send, capture_output=True, timeout=_SECONDS, check=False, env=os.environ | {"LC_ALL": "C"}
        )
    except FileNotFoundError:
        raise Unavailable(
            "ssh-keygen is not here, and signatures are its affair", hint="install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"ssh-keygen -Y {doing} did not end within {_SECONDS:.0f} s") from None


def _why(told: bytes, otherwise: str) -> str:
    """The line of ssh-keygen that says most: its first one, without where it comes from."""
    noise = (
        "Signing file",
        "Enter passphrase",
        "No principal matched.",
        "Could not verify signature.",
        "sig_find_principals",
    )
    text = told.decode(errors="replace").replace(
        "Enter passphrase: ", "Enter passphrase\n"
    )  # what follows is on its line
    lines = [line.strip() for line in text.splitlines()]
    return next((printable(line, 160) for line in lines if line and not line.startswith(noise)), otherwise)
