"""What people decided about one version for one target, and what that allows.

A decision is a referrer of the bundle in the registry (``core.decisions``): it names the digest, and is void for any other.
MLflow's tags show it; a tag that somebody set there is a request, since MLflow keeps no author of a tag. Only ``approve``
builds an ``Approved``, so ``deploy`` cannot be handed a release that nobody agreed to.
"""

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from promote.core.facts import Target
from promote.core.policy import Terms
from promote.core.stages import Held

PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"
NOT_REQUIRED = "not required"
"""Of a target that asks for no review."""
MLFLOW, GITHUB, CLAIMED, REQUESTED = "mlflow", "github", "claimed", "requested"
PROVEN = (MLFLOW, GITHUB)
"""How it is known who decided: by the authentication of MLflow or GitHub; the rest is what this machine said, or nothing."""
NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was decided.

    Args:
        state: ``pending``, ``approved`` or ``rejected``.
        digest: the manifest digest the decision is about; empty while pending, and where a tag was set by hand.
        by: who; empty or ``not known`` where that is so.
        reason: theirs, in their words.
        how: how ``by`` is known: ``mlflow``, ``github``, ``claimed`` or ``requested``.
        at: when, RFC 3339 UTC.
        verdict: word of the verdict that was agreed to.
        host: what was known of the target then.
        policy: digest of the policy file that held then; empty without one.
        matrix: digest of the matrix that the verdict rested on.
        signature: of ``core.signed.statement``; empty where nobody signed.
        signer: whose signature it is, by the policy's file of signers; empty where it shows nothing, or was not looked at.
        doubt: why it shows nothing.
        restored: it was found where others may write any line, so its signature alone can make it count.
    """

    state: str = PENDING
    digest: str = ""
    by: str = ""
    reason: str = ""
    how: str = ""
    at: str = ""
    verdict: str = ""
    host: Mapping[str, str] = field(default_factory=dict)
    policy: str = ""
    matrix: str = ""
    signature: str = ""
    signer: str = ""
    doubt: str = ""
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Approved:
    """A bundle, or an index of variants, that may be deployed to ``target``, and the decision that allows it."""

    stored: Held
    target: Target
    review: Review


@dataclass(frozen=True, slots=True)
class NotApproved:
    """Nobody has decided yet, too few have, or the decisions are void."""

    reason: str
    word: str = "not approved"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A person said no."""

    reason: str
    word: str = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a decision is held against.

    Args:
        tag: what MLflow's tags say.
        decisions: about this bundle, from the registry.
        terms: the policy's.
        authors: who trained and who promoted it.
        verdict: word of the verdict as it is now; empty where it is not known.
        withdrawn: who withdrew the bundle and why; empty where nobody did.
        moment: now.
    """

    tag: Review = Review()
    decisions: tuple[Review, ...] = ()
    terms: Terms = field(default_factory=Terms)
    authors: frozenset[str] = frozenset()
    verdict: str = ""
    withdrawn: str = ""
    moment: datetime.datetime


def approve(stored: Held, target: Target, case: Case) -> Approved | NotApproved | Rejected:
    """Whether this digest may serve on this target: each person's last word counts, and one no is a no.

    What was withdrawn serves nowhere, whoever agreed to it.
    """
    if case.withdrawn:
        return Rejected(f"{stored.name} v{stored.version} was {case.withdrawn}")
    if not target.review:
        return Approved(stored, target, Review(state=APPROVED, digest=stored.digest, reason="no review required"))
    words = last_words(_sound(case), stored.digest)
    refused = next((word for word in words if _stands(word, words)), None) or _refused_by_tag(case.tag, stored)
    if refused:
        who = refused.by or "somebody"
        return Rejected(f"{who} rejected {stored.name} v{stored.version} for {target.name}: {refused.reason or '-'}")
    yes = [word for word in words if word.state == APPROVED]
    flawed = [(word, flaw) for word in yes if (flaw := _flaw(word, target, case))]
    flaws = {word.signer or word.by: flaw for word, flaw in flawed}
    counted = [word for word in yes if (word.signer or word.by) not in flaws]
    if len({person(word.signer or word.by) for word in counted}) >= case.terms.approvals:
        return Approved(stored, target, counted[-1])
    unsigned = {word.by: _not_signed(word) for word in last_words(_unsigned(case), stored.digest)}
    return NotApproved(_waits(stored, target, case, counted, unsigned | flaws))


def _unsigned(case: Case) -> list[Review]:
    """Approvals that the policy wants signed, and whose signature shows nobody; they do not even lift their author's no."""
    asked = case.terms.signers is not None
    return [word for word in case.decisions if asked and word.state == APPROVED and not word.signer]


def _sound(case: Case) -> list[Review]:
    """What is a word of anybody; what came from where anybody may write is one by its signature alone, unless it is a no."""
    unsigned = _unsigned(case)
    return [
        word for word in case.decisions
        if word not in unsigned and (word.state == REJECTED or word.signer or not word.restored)
    ]  # fmt: skip


def _stands(word: Review, words: Iterable[Review]) -> bool:
    """Whether it is a no that nobody took back; one that is not signed is taken back by a signed yes in the same name."""
    back = (one for one in words if one.state == APPROVED and one.signer and one.by == word.by and one.at > word.at)
    return word.state == REJECTED and (word.signer != "" or next(back, None) is None)


def _not_signed(word: Review) -> str:
    if not word.signature:
        return "it is not signed, and the policy wants that (--sign KEY)"
    return f"its signature shows nobody: {word.doubt or 'it was not looked at'}"


def last_words(decisions: Iterable[Review], digest: str) -> tuple[Review, ...]:
    """The last decision under each name about ``digest``, oldest first; of two at one moment the no is the later one."""
    last = {
        d.signer or d.by: d for d in sorted(decisions, key=lambda d: (d.at, d.state == REJECTED)) if d.digest == digest
    }
    return tuple(sorted(last.values(), key=lambda d: d.at))


def is_request(case: Case, stored: Held) -> bool:
    """Whether somebody set the tag in MLflow to ``approved``; one is met once for a digest."""
    nobody = case.tag.by in (
        "",
        NOT_KNOWN,
    )  # not known: it was met elsewhere, and what was written of it did not come along
    asked = case.tag.state == APPROVED and nobody and case.tag.digest in ("", stored.digest)
    return asked and not any(d.how == REQUESTED and d.digest == stored.digest for d in case.decisions)


def host_words(target: Target) -> dict[str, str]:
    """What an approval remembers of a target: another GPU, driver or Triton is another target."""
    facts = ((name, getattr(target.host, name)) for name in ("arch", "device", "driver", "gpu", "triton"))
    return {name: str(fact.value) for name, fact in facts if fact}


def _refused_by_tag(tag: Review, stored: Held) -> Review | None:
    """Anybody may say no in MLflow; about another digest it says nothing."""
    return tag if tag.state == REJECTED and tag.digest in ("", stored.digest) else None


def _flaw(word: Review, target: Target, case: Case) -> str:
    """Why an approval does not count, or an empty string."""
    terms = case.terms
    if case.verdict and word.verdict and word.verdict != case.verdict:
        return f"it is about the verdict {word.verdict}, which is {case.verdict} now"
    now = host_words(target)
    changed = [f"{name} {was}, now {now[name]}" for name, was in word.host.items() if now.get(name, was) != was]
    if changed:
        return f"the target has changed since ({'; '.join(changed)})"
    if terms.approval_days is not None and (reason := _expired(word.at, terms.approval_days, case.moment)):
        return reason
    if terms.identity == "proven" and not word.signer and word.how not in PROVEN:
        return "who said it is not proven, and the policy wants that"
    known = (word.signer or word.by) not in ("", NOT_KNOWN)
    if not known and terms.approvals > 1:
        return "who said it is not known, and the policy counts people"
    if not terms.self_approval:
        return _own(word, known, case.authors)
    return ""


def _own(word: Review, known: bool, authors: frozenset[str]) -> str:
    if not known or not authors:
        whose = "said it" if not known else "made the release"
        return f"who {whose} is not known, and the policy forbids approving one's own"
    if {person(word.by), person(word.signer)} & {person(author) for author in authors}:
        return "it is of the release's own author, which the policy forbids"
    return ""


def _expired(at: str, days: int, moment: datetime.datetime) -> str:
    try:
        said = datetime.datetime.fromisoformat(at)
        end = said.replace(tzinfo=said.tzinfo or datetime.UTC) + datetime.timedelta(days=days)
    except (ValueError, OverflowError):
        return "when it was said is not known, and the policy lets approvals expire"
    return f"it expired {end:%Y-%m-%d}" if moment >= end else ""


def person(name: str) -> str:
    """``ada`` of ``ada@desk``, ``github:ada`` or ``Ada``: one person under the names that different systems give."""
    return re.sub(r"^(github|mlflow):", "", name).partition("@")[0].casefold()


def _waits(stored: Held, target: Target, case: Case, counted: list[Review], flaws: Mapping[str, str]) -> str:
    """Why it is not approved, in one sentence."""
    void = "".join(f"; the approval of {by or NOT_KNOWN} is void: {flaw}" for by, flaw in flaws.items())
    tag, needed = case.tag, case.terms.approvals
    if counted or flaws:
        have = len({person(word.by) for word in counted})
        some = f"has {have} of {needed} approvals" if needed > 1 else "waits for a review"
        return f"{stored.name} v{stored.version} {some} for {target.name}{void}"
    if tag.state == APPROVED and tag.digest not in ("", stored.digest):
        return f"the approval for {target.name} names {tag.digest}, not {stored.digest}: it is void"
    if tag.state == APPROVED:
        return (
            f"{stored.name} v{stored.version} is asked for in MLflow by somebody who is not known, "
            f"and nobody approved it for {target.name}"
        )
    return f"{stored.name} v{stored.version} waits for a review for {target.name}"
