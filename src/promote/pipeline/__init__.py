"""The story, one screen a command: promote, review, deploy, roll back, status, sync, smoke, bench.

Each function takes values and a ``World`` of ports, and returns a value: what came of it, or a refusal with its reasons.
It touches nothing itself.
"""

from promote.pipeline.benching import Bench, Loads, bench
from promote.pipeline.comparing import side_of
from promote.pipeline.deploying import deploy, rollback
from promote.pipeline.furthering import Further, promote_further
from promote.pipeline.gating import gate
from promote.pipeline.listing import Listed, list_bundles
from promote.pipeline.mirroring import Compared, Mirrored, mirror_bundle, verify_mirror
from promote.pipeline.promoting import Order, Prepared, Refusal, promote_model
from promote.pipeline.pulling import Pulled, pull_bundle
from promote.pipeline.pushing import Pushed, push_bundle
from promote.pipeline.reviewing import Outcome, Waiting, case_of, review_model, standing, waiting
from promote.pipeline.serving import Serving, Status, status
from promote.pipeline.smoking import Smoke, smoke
from promote.pipeline.switching import prove
from promote.pipeline.syncing import sync
from promote.pipeline.verifying import Verified, verify_bundle

__all__ = [
    "Bench",
    "Compared",
    "Further",
    "Listed",
    "Loads",
    "Mirrored",
    "Order",
    "Outcome",
    "Prepared",
    "Pulled",
    "Pushed",
    "Refusal",
    "Serving",
    "Smoke",
    "Status",
    "Verified",
    "Waiting",
    "bench",
    "case_of",
    "deploy",
    "gate",
    "list_bundles",
    "mirror_bundle",
    "promote_further",
    "promote_model",
    "prove",
    "pull_bundle",
    "push_bundle",
    "review_model",
    "rollback",
    "side_of",
    "smoke",
    "standing",
    "status",
    "sync",
    "verify_bundle",
    "verify_mirror",
    "waiting",
]
