"""``config.pbtxt`` as the protobuf message, from text that may come from anybody. Pure.

Not here: what a bundle's configuration may say (``bundle_files``), and what follows from one (``rules``).
Source of the fields: triton common ``protobuf/model_config.proto``.
"""

from typing import TYPE_CHECKING, Any

from promote.core.names import printable
from promote.core.triton_messages import configs
from promote.errors import IntegrityError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

LARGEST_CONFIG = 1024 * 1024
_DEEPEST = 100  # of braces: protobuf's parser of text descends by recursion


def parse_config(data: bytes, origin: str) -> "ModelConfig":
    """The message in a ``config.pbtxt``.

    Args:
        data: the file's bytes.
        origin: for messages.

    Raises:
        IntegrityError: larger than 1 MiB, nested deeper than 100 levels, no UTF-8, or not a ``ModelConfig``; the message
            names the line.
    """
    from google.protobuf import text_format

    if len(data) > LARGEST_CONFIG:
        raise IntegrityError(f"{printable(origin)} has more than {LARGEST_CONFIG:,} bytes, which no configuration has")
    try:
        text = data.decode()
        if _depth(text) > _DEEPEST:
            raise IntegrityError(f"{printable(origin)} is nested deeper than {_DEEPEST} levels")
        return text_format.Parse(text, configs().ModelConfig())
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{printable(origin)} is no model configuration: {printable(str(error), 120)}") from error


def _depth(text: str) -> int:
    """At most so deep: brackets in strings and comments count too, which no real configuration minds."""
    depth = deepest = 0
    for character in text:
        depth += (character in "{<[") - (character in "}>]")
        deepest = max(deepest, depth)
    return deepest


def enum_word(message: Any, field: str) -> str:
    """The name of an enum field's value, as ``config.pbtxt`` writes it."""
    found = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(getattr(message, field))
    return str(found.name) if found else "an unknown value"
