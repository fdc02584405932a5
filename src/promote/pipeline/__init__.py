"""The story, one screen a command: promote, review, deploy, roll back, status, sync, smoke, bench.

Each function takes values and a ``World`` of ports, and returns a value: what came of it, or a refusal with its reasons.
It touches nothing itself. A story is imported when it is asked for: a rollback shall not wait for the rules to be read.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promote.pipeline.benching import Bench, Loads, bench
    from promote.pipeline.choosing import Chosen, choose, speaker, weigh
    from promote.pipeline.comparing import side_of
    from promote.pipeline.deploying import deploy
    from promote.pipeline.forging import Wish, build_engine
    from promote.pipeline.furthering import Further, promote_further
    from promote.pipeline.gating import gate
    from promote.pipeline.listing import Listed, list_bundles
    from promote.pipeline.mirroring import Compared, Mirrored, mirror_bundle, verify_mirror
    from promote.pipeline.promoting import Order, Prepared, Refusal, promote_model
    from promote.pipeline.pulling import Pulled, pull_bundle
    from promote.pipeline.pushing import Pushed, push_bundle
    from promote.pipeline.returning import Withdrawn, rollback
    from promote.pipeline.reviewing import Outcome, Waiting, case_of, review_model, standing, waiting
    from promote.pipeline.serving import Serving, Status, status
    from promote.pipeline.smoking import Smoke, smoke
    from promote.pipeline.switching import prove
    from promote.pipeline.syncing import sync
    from promote.pipeline.verifying import Verified, verify_bundle

_TOLD_IN = {
    "Bench": "benching",
    "Chosen": "choosing",
    "Compared": "mirroring",
    "Further": "furthering",
    "Listed": "listing",
    "Loads": "benching",
    "Mirrored": "mirroring",
    "Order": "promoting",
    "Outcome": "reviewing",
    "Prepared": "promoting",
    "Pulled": "pulling",
    "Pushed": "pushing",
    "Refusal": "promoting",
    "Serving": "serving",
    "Smoke": "smoking",
    "Status": "serving",
    "Verified": "verifying",
    "Waiting": "reviewing",
    "Wish": "forging",
    "Withdrawn": "returning",
    "bench": "benching",
    "build_engine": "forging",
    "case_of": "reviewing",
    "choose": "choosing",
    "deploy": "deploying",
    "gate": "gating",
    "list_bundles": "listing",
    "mirror_bundle": "mirroring",
    "promote_further": "furthering",
    "promote_model": "promoting",
    "prove": "switching",
    "pull_bundle": "pulling",
    "push_bundle": "pushing",
    "review_model": "reviewing",
    "rollback": "returning",
    "side_of": "comparing",
    "smoke": "smoking",
    "speaker": "choosing",
    "standing": "reviewing",
    "status": "serving",
    "sync": "syncing",
    "verify_bundle": "verifying",
    "verify_mirror": "mirroring",
    "waiting": "reviewing",
    "weigh": "choosing",
}


def __getattr__(name: str) -> object:
    """The story of that name, imported now."""
    if name not in _TOLD_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_TOLD_IN[name]}"), name)


__all__ = [
    "Bench",
    "Chosen",
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
    "Wish",
    "Withdrawn",
    "bench",
    "build_engine",
    "case_of",
    "choose",
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
    "speaker",
    "standing",
    "status",
    "sync",
    "verify_bundle",
    "verify_mirror",
    "waiting",
    "weigh",
]
