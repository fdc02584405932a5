"""What a promotion says of a bundle that is there already, for a further target: a verdict as JSON beside the bundle. Pure.

The passport inside the bundle is about the target it was made for and never changes. Not here: how evidence is attached
(``core.referrers``, ``adapters.oci``).
"""

from collections.abc import Iterable

from promote.core.facts import Target
from promote.core.passport import canonical, plain, sha256
from promote.core.referrers import CREATED, Referrer
from promote.core.stages import Held
from promote.core.verdict import Compatible

VERDICT_TYPE = "application/vnd.promote.verdict.v1+json"
SCHEMA = "promote.verdict/1"
TARGET, VERDICT = "io.promote.target", "io.promote.verdict"
_CONTENT = "io.promote.evidence"


def write_verdict(verdict: Compatible[Held], target: Target, matrix: str) -> bytes:
    """The evidence's bytes; it holds no time, so the same verdict gives the same bytes.

    Args:
        verdict: of the stored bundle.
        target: as it was judged.
        matrix: digest of the matrix that judged.
    """
    stored = verdict.subject
    return canonical(
        {
            "schema": SCHEMA,
            "name": stored.name,
            "version": stored.version,
            "bundle": stored.digest,
            "target": plain(target),
            "verdict": verdict.word,
            "findings": plain(verdict.findings),
            "matrix": matrix,
        }
    )


def annotations_of(verdict: Compatible[Held], evidence: bytes, created: str) -> dict[str, str]:
    """What a list of referrers tells of the evidence; ``created`` is RFC 3339."""
    return {CREATED: created, TARGET: verdict.target, VERDICT: verdict.word, _CONTENT: sha256(evidence)}


def verdicts_of(held: Held, referrers: Iterable[Referrer]) -> dict[str, str]:
    """Target -> the verdict's word: of the target that the bundle was made for, and of those it was judged for later."""
    told = [(held.annotations.get(TARGET, ""), held.annotations.get(VERDICT, ""))]
    told += [
        (one.annotations.get(TARGET, ""), one.annotations.get(VERDICT, ""))
        for one in referrers
        if one.artifact_type == VERDICT_TYPE
    ]
    return {target: verdict for target, verdict in told if target}


def same_evidence(referrer: Referrer, evidence: bytes) -> bool:
    """Whether this referrer says that it holds these very bytes."""
    return referrer.artifact_type == VERDICT_TYPE and referrer.annotations.get(_CONTENT) == sha256(evidence)
