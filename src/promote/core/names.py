"""The grammars of names that come from outside: models, digests, paths inside a bundle.

Not here: where a name leads to. Everything in this file is a pure test of a string.
"""

import re
import unicodedata

from promote.errors import InputError, IntegrityError

# Narrower than Triton's and MLflow's own rules: it must also be an OCI repository path component.
MODEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_PATH = 400
_SHOWN = 60


def printable(text: str, limit: int = 200) -> str:
    """``text`` on one line, control and direction characters escaped, cut to ``limit`` characters."""
    plain = text.isascii() and text.isprintable()  # nearly always; then every character is kept
    kept = (
        text
        if plain
        else "".join(
            c if c == " " or not unicodedata.category(c).startswith(("C", "Z")) else f"\\u{ord(c):04x}" for c in text
        )
    )
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def model_name(text: str) -> str:
    """The name itself when it is one.

    Raises:
        InputError: not 1 to 64 of ``a-z 0-9 . _ -``, beginning and ending with a letter or digit, without ``..``.
    """
    if MODEL_NAME.fullmatch(text) and ".." not in text:
        return text
    suggestion = suggest_name(text)
    raise InputError(
        f"model name {printable(text, _SHOWN)!r} is not allowed: 1 to 64 of a-z 0-9 . _ -, "
        "beginning and ending with a letter or digit, without '..'",
        hint=f"for instance: --name {suggestion}" if suggestion else "choose another with --name",
    )


def suggest_name(text: str) -> str:
    """The nearest allowed name, or an empty string where nothing of ``text`` can be kept."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    joined = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
    return joined


def digest(text: str) -> str:
    """The digest itself when it is ``sha256:`` and 64 lower-case hex digits.

    Raises:
        IntegrityError: any other form (a digest is used as a path, so its grammar is a guard).
    """
    if DIGEST.fullmatch(text):
        return text
    raise IntegrityError(f"{printable(text, _SHOWN)!r} is not a digest: expected sha256: and 64 lower-case hex digits")


def bundle_path(text: str) -> str:
    """The path itself when it is a plain relative path: ``a/b.c``, no ``..``, no ``\\``, no control characters.

    Raises:
        IntegrityError: any other form.
    """
    parts = text.split("/")
    plain = all(p not in ("", ".", "..") and not p.startswith("~") and len(p) <= 255 for p in parts)
    clean = printable(text, _LONGEST_PATH) == text and not set(text) & set('\\:*?"<>|')
    if plain and clean and unicodedata.normalize("NFC", text) == text:
        return text
    raise IntegrityError(
        f"{printable(text, _SHOWN)!r} is not a plain relative path",
        hint="paths inside a model are relative, without '..', backslashes, links or control characters",
    )


def distinct_paths(paths: list[str]) -> None:
    """Refuses two paths that some file system would take for one.

    Raises:
        IntegrityError: duplicates after case folding, or a file that is also a folder.
    """
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded in seen:
            raise IntegrityError(f"two files share one name: {printable(seen[folded])!r} and {printable(path)!r}")
        seen[folded] = path
    for folded, path in seen.items():
        parts = folded.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise IntegrityError(f"{printable(path)!r} lies under a name that is a file")
