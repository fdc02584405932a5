"""What ``promote deploy`` and ``promote rollback`` say of what serves now."""

from typing import TYPE_CHECKING

import click

from promote.cli.render import print_facts, print_json, say
from promote.cli.telling import tell, warn
from promote.core.stages import Deployment

if TYPE_CHECKING:
    from promote.wiring import Wiring


def tell_deployment(wiring: "Wiring", kind: str, deployment: Deployment, target: str) -> None:
    """Tells the webhook of the settings what serves now."""
    live = deployment.live
    reference = f"{live.repository}@{live.digest}"
    tell(wiring, kind, live.name, target, by=live.by, version=live.version, reference=reference)


def report_deployment(verb: str, deployment: Deployment, target: str, *, as_json: bool, quiet: bool) -> int:
    """What serves now. The last line of stdout is the reference that answers."""
    live, former = deployment.live, deployment.former
    reference = f"{live.repository}@{live.digest}"
    worst = max((replay.max_absolute for replay in deployment.replays), default=0.0)
    if as_json:
        print_json(
            verb, 0, reference=reference, digest=live.digest, name=live.name, version=live.version, target=target,
            former=former.version if former else None, seconds=round(deployment.seconds, 3),
            replays=[{"case": r.case, "protocol": r.protocol, "max_absolute": r.max_absolute} for r in deployment.replays],
            warnings=list(deployment.warnings), release=live.promoted, variant=deployment.variant, cost=deployment.cost,
        )  # fmt: skip
        return 0
    for warning in deployment.warnings:
        warn(warning)
    if not quiet:
        _tell(deployment, target, worst)
    click.echo(reference)
    return 0


def _which(deployment: Deployment) -> dict[str, str]:
    """Which variant serves, and what a better one would have brought; nothing where there is one only."""
    if not deployment.variant:
        return {}
    back = {"falls back": deployment.cost} if deployment.cost else {}
    return {"variant": f"{deployment.variant} of {deployment.live.promoted}"} | back


def _tell(deployment: Deployment, target: str, worst: float) -> None:
    live, former = deployment.live, deployment.former
    say()
    print_facts(
        f"{live.name} version {live.version} is live on {target}",
        {
            **_which(deployment),
            "answers": f"{len(deployment.replays)} golden inputs over http and grpc, largest difference {worst:.2g}",
            "former": f"version {former.version}, kept on disk" if former else "none",
            "took": f"{deployment.seconds:.1f} s",
        },
    )
