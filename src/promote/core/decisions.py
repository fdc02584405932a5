"""A person's decision as it is kept: a referrer of the bundle, told in its annotations and as JSON. Pure.

What writes it must be allowed to write to the registry, which a tag of MLflow does not prove. Not here: what it allows
(``core.review``), nor attaching it (``adapters.oci``).
"""

import json
from collections.abc import Iterable

from promote.core.names import printable
from promote.core.passport import canonical, plain
from promote.core.referrers import CREATED, Referrer
from promote.core.review import APPROVED, REJECTED, Review
from promote.core.stages import Stored

REVIEW_TYPE = "application/vnd.promote.review.v1+json"
SCHEMA = "promote.review/1"
TARGET = "io.promote.target"
LONGEST_REASON = 2000
_FIELD = "io.promote.review."
_TEXTS = ("state", "by", "reason", "how", "at", "verdict", "policy")


def write_decision(stored: Stored, target: str, review: Review) -> bytes:
    """The decision's bytes."""
    head = {"schema": SCHEMA, "name": stored.name, "version": stored.version, "bundle": stored.digest, "target": target}
    return canonical(head | {"decision": plain(review)})


def decision_annotations(target: str, review: Review) -> dict[str, str]:
    """What a list of referrers tells of the decision: all of it, so that nobody has to fetch it to know."""
    told = {_FIELD + name: str(getattr(review, name)) for name in _TEXTS if getattr(review, name)}
    return {CREATED: review.at, TARGET: target, _FIELD + "host": canonical(dict(review.host)).decode()} | told


def decisions_of(referrers: Iterable[Referrer], stored: Stored, target: str = "") -> tuple[tuple[str, Review], ...]:
    """Target and decision of each referrer that is one, oldest first; about one target where one is named.

    A decision in words that are not ours is left out: it allows nothing and forbids nothing.
    """
    found = []
    for referrer in referrers:
        told, about = referrer.annotations, referrer.annotations.get(TARGET, "")
        fields = {name: printable(told.get(_FIELD + name, ""), LONGEST_REASON) for name in _TEXTS}
        if referrer.artifact_type != REVIEW_TYPE or target not in ("", about):
            continue
        if fields["state"] in (APPROVED, REJECTED):
            found.append((about, Review(digest=stored.digest, host=_host(told.get(_FIELD + "host", "")), **fields)))
    return tuple(sorted(found, key=lambda pair: pair[1].at))


def _host(text: str) -> dict[str, str]:
    """What cannot be read is a host unlike any."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return {"triton": "unreadable"}
    return {str(name): printable(str(given), 100) for name, given in value.items()}
