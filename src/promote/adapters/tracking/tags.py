"""What the tags and aliases of a model version are called: what ``docs`` promise to scripts that read them."""

import re
from collections.abc import Mapping

_ALIAS = re.compile(r"[^\w-]", re.ASCII)
_NO_KEY = re.compile(r"[^\w.-]", re.ASCII)
_RESERVED = re.compile(r"(?i)latest|v\d+")


def review_tag(target: str, part: str = "") -> str:
    """``promote.review.TARGET``, or its ``digest``, ``by`` or ``reason``."""
    return f"promote.review.{target}" + (f".{part}" if part else "")


RUN_TAG = "promote.run"
"""The promotion's own run."""
PROMOTED = "promoted"


def run_tag(target: str) -> str:
    """``promote.run.TARGET``: the run of the promotion for a further target."""
    return f"{RUN_TAG}.{target}"


def run_of(tags: Mapping[str, str], target: str) -> str:
    """The run of the promotion for ``target``; the one that made the version where there is no other."""
    return tags.get(run_tag(target)) or tags.get(RUN_TAG, "")


def target_tag(target: str) -> str:
    """``promote.target.TARGET``: the version was promoted for it."""
    return f"promote.target.{target}"


def verdict_tag(target: str) -> str:
    """``promote.verdict.TARGET``."""
    return f"promote.verdict.{target}"


def further(tags: Mapping[str, str]) -> dict[str, str]:
    """Target -> verdict, of every target that a version was promoted for."""
    head = verdict_tag("")
    return {tag.removeprefix(head): word for tag, word in sorted(tags.items()) if tag.startswith(head)}


def deployed_tag(target: str) -> str:
    """``promote.deployed.TARGET``."""
    return f"promote.deployed.{target}"


def agent_tag(target: str, by: str) -> str:
    """``promote.sync.TARGET.HOST``: several hosts may serve one target."""
    return f"promote.sync.{target}.{_NO_KEY.sub('-', by.rpartition('@')[2])[:100]}"


def alias_of(target: str) -> str:
    """The target's name as an alias; MLflow allows word characters and ``-``, and keeps ``latest`` and ``vN`` for itself."""
    alias = _ALIAS.sub("-", target)
    return f"target-{alias}" if _RESERVED.fullmatch(alias) else alias
