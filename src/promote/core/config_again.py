"""The config of a bundle made once more from its manifest and passport: the one part of it that no host keeps. Pure.

Its digest stands in the manifest, so what is made is it, byte for byte, or is refused.
"""

import json
from typing import Any

from promote.core.manifest import config_blob, from_directory
from promote.core.passport import sha256
from promote.core.stages import Stored
from promote.errors import IntegrityError

_STANDARD = "org.opencontainers.image."
_KNOWN = {"created": "createdAt", "source": "sourceURL", "revision": "revision"}


def config_again(stored: Stored, passport: bytes) -> bytes:
    """The bytes of the config.

    Raises:
        IntegrityError: they are not of the digest that the manifest names: a later release of promote made it.
    """
    wanted = config_blob(stored)
    data = json.dumps(
        _config(stored, passport), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()
    if (sha256(data), len(data)) != (wanted.digest, wanted.size):
        raise IntegrityError(
            f"the config of {stored.name} v{stored.version} cannot be made again: {sha256(data)}, expected {wanted.digest}",
            hint="promote of the release that made the bundle can, or the run promoted again",
        )
    return data


def _config(stored: Stored, passport: bytes) -> dict[str, Any]:
    """As ``core.manifest`` makes it."""
    layers = {"type": "layers", "diffIds": [blob.digest for _, blob in sorted(stored.files.items())]}
    head = {"name": stored.name, "version": str(stored.version)}
    if from_directory(stored):
        return {"descriptor": head, "config": {"format": "onnx"}, "modelfs": layers}
    try:
        plan = json.loads(passport)["plan"]
        how = {"format": plan["format"], "precision": plan["precision"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the passport of {stored.name} v{stored.version} tells no plan") from error
    told = {word: stored.annotations.get(_STANDARD + key, "") for key, word in _KNOWN.items()}
    return {"descriptor": head | {key: value for key, value in told.items() if value}, "config": how, "modelfs": layers}
