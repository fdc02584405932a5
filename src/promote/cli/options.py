"""Options that several verbs share, so that they are spelled and explained once."""

import re
from collections.abc import Callable
from typing import Any

import click

from promote.core.references import parse_reference
from promote.errors import InputError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

target: Decorator = click.option(
    "--target", "target_name", metavar="NAME", required=True, help="As in `promote targets`."
)
registry: Decorator = click.option(
    "--registry", metavar="URL", default="", help="Registry or layout, e.g. ghcr.io/acme/models or oci:/srv/bundles."
)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
quiet: Decorator = click.option("--quiet", "-q", is_flag=True, help="No progress and no summary: stdout alone.")

summary: Decorator = click.option(
    "--summary", metavar="FILE", default="", help="Append the verdict as Markdown, for $GITHUB_STEP_SUMMARY."
)
outputs: Decorator = click.option(
    "--outputs", metavar="FILE", default="", help="Append name=value lines, for $GITHUB_OUTPUT."
)


def split_reference(text: str, *, newest: bool = False) -> tuple[str, str]:
    """``ner:v3`` or ``ner@sha256:...`` (a registry before the name is allowed and must be the configured one's).

    Args:
        text: as the user typed it.
        newest: a model alone will do; its reference is then empty.

    Returns:
        The model's name, and its tag or digest.

    Raises:
        InputError: neither form.
    """
    found = parse_reference(text, versioned=not newest)
    return found.name, found.version


def names_bundle(text: str) -> bool:
    """Whether this is ``MODEL:vN`` or ``MODEL@sha256:...``, with or without a registry before it."""
    return re.fullmatch(r".*(@sha256:[0-9a-f]{64}|[^/]:v[1-9][0-9]*)", text) is not None


def split_base(text: str) -> str:
    """The registry part of a full reference, or an empty string; also where it is no reference."""
    try:
        return parse_reference(text, versioned=False).base
    except InputError:
        return ""
