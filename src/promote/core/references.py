"""References as a person types them: which registry or layout, which model, which version. Pure tests of a string.

    ner:v3   ner@sha256:...                                      in the registry of the settings
    ghcr.io/acme/models/ner:v3   http://127.0.0.1:5000/ner:v3    in that registry
    oci:bundles/ner:v3   oci:/srv/bundles/ner@sha256:...         in the layout of that folder

The last part is the model, which is what its bundles say of themselves; what stands before it is the *base*, as ``--registry``
takes it. Not here: what lies there (``adapters.oci``), and places that hold no bundles but copies of their files (mirrors).
"""

import re
from dataclasses import dataclass

from promote.core.names import DIGEST, MODEL_NAME, printable
from promote.errors import InputError

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # OCI distribution-spec
LAYOUT = "oci:"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FORMS = "MODEL:vN or MODEL@sha256:<64 hex digits>, with [http://]HOST/PATH/ or oci:FOLDER/ before it"
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Reference:
    """A bundle, or all bundles of a model.

    Args:
        base: registry or layout without the model, as ``--registry`` takes it; empty: that of the settings.
        name: the model.
        version: a tag or a digest; empty where only the model is named.
    """

    base: str
    name: str
    version: str

    @property
    def pinned(self) -> bool:
        """It names a digest, so it is the same bundle for ever."""
        return DIGEST.fullmatch(self.version) is not None

    def __str__(self) -> str:
        """As it may be typed again."""
        where = f"{self.base.rstrip('/')}/" if self.base else ""
        return f"{where}{self.name}{'@' if self.pinned else ':' if self.version else ''}{self.version}"


def scheme_of(text: str) -> str:
    """``s3`` of ``s3://...``, in lower case, and ``oci`` of ``oci:...``; empty where there is none."""
    if found := _SCHEME.match(text):
        return found[1].lower()
    return "oci" if text.startswith(LAYOUT) else ""


def parse_reference(text: str, *, versioned: bool = True) -> Reference:
    """What ``text`` names; nothing is looked up.

    Args:
        text: as the user typed it.
        versioned: a tag or digest must be there; otherwise it may.

    Raises:
        InputError: none of the forms above, or no version where one must be. A user before the host is not shown.
    """
    base, name, version = _split(text)
    if versioned and not version:
        raise InputError(f"{printable(text, _SHOWN)!r} names no version", hint=_FORMS)
    if not MODEL_NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{printable(text, _SHOWN)!r} names no model: {printable(name, 60)!r} is not 1 to 64 of a-z 0-9 . _ -, "
            "beginning and ending with a letter or digit",
            hint=_FORMS,
        )
    return Reference(base, name, version)


def _split(text: str) -> tuple[str, str, str]:
    """Base, name and version, the name unchecked."""
    scheme = scheme_of(text)
    if scheme not in ("", "http", "https", "oci") or text.lower().startswith("oci://"):
        raise InputError(
            f"{scheme}:// is no registry or layout",
            hint="a registry is HOST/PATH, or http://HOST/PATH; a layout is oci:FOLDER",
        )
    mark = LAYOUT if scheme == "oci" else text[: len(scheme) + 3] if scheme else ""
    head, slash, last = text[len(mark) :].rpartition("/")
    if printable(head, len(head)) != head:  # no line break in what messages and last lines print
        raise InputError(f"{printable(text, _SHOWN)!r} names no registry or layout", hint=_FORMS)
    if mark == LAYOUT:
        base = f"{LAYOUT}{head or ('/' if slash else '.')}"
    elif "@" in head or "?" in head or "#" in head:
        raise InputError(
            "a reference may hold no user or query",
            hint="credentials: docker login, or PROMOTE_REGISTRY_USERNAME and PROMOTE_REGISTRY_PASSWORD",
        )
    elif (slash or mark) and not head.strip("/"):
        raise InputError(f"{printable(text, _SHOWN)!r} names no registry", hint=_FORMS)
    else:
        base = mark + head
    name, at, pin = last.partition("@")
    name, colon, tag = name.partition(":")
    well = not (at and colon) and (not at or DIGEST.fullmatch(pin)) and (not colon or TAG.fullmatch(tag))
    if not well:
        raise InputError(f"{printable(text, _SHOWN)!r} names no version", hint=_FORMS)
    return base, name, pin or tag
