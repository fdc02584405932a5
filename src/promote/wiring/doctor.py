"""Chooses what `promote doctor` looks at: the registry, the tracking server, a target's Triton, and how old the facts are."""

import os
from collections.abc import Iterator

from promote.core.diagnosis import Check, Standing, failed
from promote.core.facts import Target
from promote.core.matrix import STALE_DAYS, stale
from promote.errors import InputError, PromoteError
from promote.wiring.hosts import today
from promote.wiring.parts import Parts


def examine(parts: Parts, model: str, target: str = "") -> Iterator[Check]:
    """Every check, as it is made; nothing is left anywhere.

    Args:
        parts: of the command line.
        model: whose repository is asked for; it need not be there.
        target: whose Triton is asked, and the tracking server with it; empty: neither.

    Raises:
        InputError, NotFound: no such target.
    """
    from promote.adapters.oci.examine import examine as examine_registry

    host = parts.target(target) if target else None
    yield from examine_registry(parts.registry_base, os.environ, model)
    if host:
        yield _tracking(parts)
        yield _triton(parts, host)
        yield _probe(host)
    yield _matrix(parts)


def _tracking(parts: Parts) -> Check:
    """One question to MLflow, as a promotion asks it."""
    from promote.adapters.tracking.client import connect

    try:
        opened = connect(parts.tracking_uri)
        opened.require()
    except PromoteError as error:
        return failed("mlflow", error)
    return Check("mlflow", Standing.OK, f"{opened.address.shown} answers")


def _triton(parts: Parts, target: Target) -> Check:
    if not target.http or not target.grpc:
        return Check(
            "triton",
            Standing.WARN,
            f"{target.name} has no http and grpc endpoint, so nothing can be deployed to it",
            f'in promote.toml: [targets.{target.name}] http = "host:8000", grpc = "host:8001"',
        )
    try:
        version = parts.server(target).require()
    except PromoteError as error:
        return failed(
            "triton", error, f"start it, or say where it is: [targets.{target.name}] http, grpc in promote.toml"
        )
    return Check("triton", Standing.OK, f"Triton {version} answers at {target.http} and {target.grpc}")


def _probe(target: Target) -> Check:
    """How old what is known of the host is."""
    name, renew = "probe-age", f"promote target probe {target.name}"
    if target.probed is None:
        return Check(
            name, Standing.WARN, f"{target.name} was never probed: what is known of it is declared only", renew
        )
    if target.probed.old:
        return Check(name, Standing.WARN, f"{target.name} was probed {target.probed.date}", target.probed.renew)
    return Check(name, Standing.OK, f"{target.name} was probed {target.probed.date}")


def _matrix(parts: Parts) -> Check:
    """How old the facts are that verdicts rest on."""
    try:
        has = f"{parts.matrix.file} was collected {parts.matrix.tables.collected}"
    except InputError as error:
        return failed("matrix-age", error)
    if not stale(parts.matrix, today()):
        return Check("matrix-age", Standing.OK, has)
    return Check(
        "matrix-age", Standing.WARN, f"{has}, more than {STALE_DAYS} days ago", "promote matrix refresh --image IMAGE"
    )
