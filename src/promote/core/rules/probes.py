"""The rule about the probe of a host: how long ago it was. What was measured is judged by the other rules."""

from promote.core.rules.case import Answer, Case, finding, rule
from promote.core.verdict import Outcome


def _was_probed(case: Case) -> bool:
    return case.target.probed is not None


@rule(
    "probe-age",
    title="What was measured of the host was measured lately",
    source="promote: 30 days",
    applies=_was_probed,
    remedy="promote target probe",
)
def probe_age(case: Case) -> Answer:
    """A driver, an image or a card is replaced without a word; facts of a month ago may be another machine's."""
    probed = case.target.probed
    if probed is None:
        return None
    has = f"{case.target.name} was probed on {probed.date}"
    if not probed.old:
        return finding(Outcome.OK, has)
    return finding(Outcome.DEGRADED, has, needs="a probe of the last 30 days", remedy=probed.renew)
