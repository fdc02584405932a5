"""Files that people review (the matrix, the policy): read strictly, and what is wrong told by the field's path. Pure."""

import hashlib
import re
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from promote.core.names import printable
from promote.core.plain_yaml import plain_yaml
from promote.errors import InputError

_M = TypeVar("_M", bound=BaseModel)


def read_reviewed(text: str, origin: str, model: type[_M], largest: int, hint: str) -> tuple[_M, str, str]:
    """What the file in ``text`` says, the file's own name, and the digest of its bytes.

    Args:
        text: YAML.
        origin: where it was read, for messages.
        model: what it must hold.
        largest: bytes at most.
        hint: where every key is described.

    Raises:
        InputError: too large, no plain YAML, or a key that is unknown or wrong; the message names ``origin`` and the first
            wrong field by its path, and counts the others.
    """
    encoded = text.encode()
    if len(encoded) > largest:
        raise InputError(f"{origin} has {len(encoded):,} bytes, the most allowed is {largest:,}", hint=hint)
    try:
        said = model.model_validate(plain_yaml(text))
    except yaml.YAMLError as error:
        fault = printable(" ".join(str(error).split()), 160)
        raise InputError(f"{origin} is no plain YAML: {fault}", hint=hint) from error
    except ValidationError as error:
        raise refuse(origin, problems(error), hint) from error
    return said, re.split(r"[/\\]", origin)[-1], "sha256:" + hashlib.sha256(encoded).hexdigest()


def problems(error: ValidationError) -> list[str]:
    """One line per fault: the field's path, what is wrong, what was given."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "the file"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown key")
            continue
        said = fault["msg"].removeprefix("Value error, ")
        said = said[0].lower() + said[1:]
        given = printable(repr(fault["input"]), 60)
        quote = " (quote it)" if fault["type"] == "string_type" and isinstance(fault["input"], int | float) else ""
        # A secret put where its variable's name belongs is not repeated, nor a password in an address.
        secret = "headers_env" in fault["loc"] or "@" in given
        lines.append(f"{path}: {said}" + ("" if fault["type"] == "missing" or secret else f", got {given}{quote}"))
    return lines


def refuse(origin: str, lines: list[str], hint: str) -> InputError:
    """The error for faults in data: the first in full, the others counted and named."""
    more = f" (and {len(lines) - 1} more: {', '.join(line.split(':')[0] for line in lines[1:4])})" if lines[1:] else ""
    return InputError(f"{origin}: {lines[0]}{more}", hint=hint)
