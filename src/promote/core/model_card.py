"""The page that a repository of the Hugging Face Hub shows of a bundle: ``README.md``, from the passport alone. Pure.

What the passport tells comes from outside: it is shown as code, which no reader of Markdown takes for markup, a link or a name.
Where the bundle came from is left out: the page may be public, and a registry's address or a folder here is not for everybody.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from promote.core.names import printable
from promote.core.passport_summary import summary
from promote.core.stages import Stored
from promote.errors import IntegrityError

CARD = "README.md"
MARK = "<!-- written by promote copy, and again by the next one: take this line out to keep words of your own -->"
# Of the Hub's list, huggingface.co/docs/hub/repositories-licenses; any other is "other" there, with its name beside it.
_LICENCES = frozenset(
    {
        "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0",
        "gpl-2.0", "gpl-3.0", "isc", "lgpl-3.0", "mit", "mpl-2.0", "openrail", "unlicense",
    }
)  # fmt: skip


def write_card(stored: Stored, passport: bytes) -> bytes:
    """The page of one bundle; the same bundle gives the same bytes.

    Args:
        stored: the bundle.
        passport: its passport; one that this version of promote cannot read tells nothing.
    """
    try:
        told = summary(passport)
    except IntegrityError:
        told = {"passport": "of another form than this version of promote reads"}
    licence = _licence(passport)
    head = {"tags": ["promote", "triton", "onnx"], "library_name": "onnx"} | _licence_fields(licence)
    rows = {"version": str(stored.version), **told, "licence": licence or "not told by the run's tag license"}
    table = "\n".join(f"| {name} | {_code(value)} |" for name, value in rows.items())
    within = f"{stored.name}/{stored.version}/promote"
    return f"""---
{yaml.safe_dump(head, sort_keys=True, allow_unicode=True)}---
{MARK}

# {stored.name}

A model for NVIDIA Triton. This repository is a Triton model repository as it lies:
`tritonserver --model-repository=<where it was downloaded>`.

| | |
|---|---|
{table}
| bundle | `{stored.digest}` |

It is a copy. The bundle is what its digest names, in the registry that it was promoted to; `{within}/manifest.json` is its
manifest, `{within}/passport.json` says how it was checked. `promote verify REFERENCE hf://...` holds every byte here against it.
""".encode()


def may_write(there: bytes | None) -> bool:
    """Whether a card may be replaced: there is none, or promote wrote it and nobody took the mark out."""
    return there is None or MARK.encode() in there.splitlines()


def _licence(passport: bytes) -> str:
    try:
        tags: Mapping[str, Any] = json.loads(passport)["lineage"]["tags"]
        return printable(str(tags.get("license") or tags.get("licence") or ""), 100)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _licence_fields(licence: str) -> dict[str, str]:
    known = licence.casefold()
    if not licence:
        return {}
    return {"license": known} if known in _LICENCES else {"license": "other", "license_name": licence}


def _code(text: str) -> str:
    """A code span in a table's cell: no backtick ends it, no bar ends the cell (GitHub Flavored Markdown, 4.10 and 6.1)."""
    kept = re.sub(r"\s+", " ", printable(text, 400)).replace("`", "'").replace("\\", "/").replace("|", "\\|").strip()
    return f"`{kept or '-'}`"
