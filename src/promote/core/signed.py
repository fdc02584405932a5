"""A decision as the bytes that a person signs, and what a signature of it shows. Pure.

Everything that makes the decision what it is stands in them: a signature moved to another digest, target, time or word is
none. Not here: making and checking signatures (``adapters.signing``), and whether one is asked for (``core.review``).
"""

import json
from dataclasses import dataclass, replace

from promote.core.events import LONGEST_REASON, LONGEST_SHORT
from promote.core.names import printable
from promote.core.review import Review
from promote.core.stages import Held

NAMESPACE = "promote-review"
"""Of SSH signatures, so that one made for git or a file is none of a decision; PROTOCOL.sshsig of OpenSSH."""
SCHEMA = "promote.decision/1"
LONGEST = LONGEST_REASON
"""Characters of a signature: what an event holds of one text."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a signature shows.

    Args:
        signer: the name that the file of signers gives the key; empty where it shows nothing.
        doubt: then why, a clause.
    """

    signer: str = ""
    doubt: str = ""


def statement(stored: Held, target: str, review: Review) -> bytes:
    """The canonical bytes of a decision: ASCII JSON, keys in order, texts as an event keeps them."""
    told = {
        "schema": SCHEMA, "model": stored.name, "version": stored.version, "bundle": stored.digest,
        "target": printable(target, LONGEST_SHORT), "state": review.state, "at": review.at,
        "by": printable(review.by, LONGEST_SHORT), "how": printable(review.how, LONGEST_SHORT),
        "reason": printable(review.reason, LONGEST_REASON), "verdict": printable(review.verdict, LONGEST_REASON),
        "matrix": printable(review.matrix, LONGEST_REASON), "policy": printable(review.policy, LONGEST_REASON),
        "host": {printable(key): printable(value, LONGEST_REASON) for key, value in review.host.items()},
    }  # fmt: skip
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def with_seen(review: Review, seen: Seen) -> Review:
    """The decision, and what its signature shows."""
    return replace(review, signer=printable(seen.signer, LONGEST_SHORT), doubt=seen.doubt)
