"""``promote fsck``: do registry, MLflow and a host tell the same; either record rebuilt from the other."""

from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say
from promote.core.names import model_name, printable

if TYPE_CHECKING:
    from promote.core.differences import Difference
    from promote.core.facts import Target
    from promote.ports import Store
    from promote.wiring import Wiring


@click.command()
@click.argument("model", required=False, default="")
@click.option("--target", "target_name", metavar="NAME", default="", help="Hold the record of its host against both.")
@click.option("--repair", is_flag=True, help="Put what is missing where it is missing; nothing is taken away.")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, model: str, target_name: str, repair: bool, registry: str, as_json: bool) -> int:
    """Hold registry, MLflow and a host's record of MODEL (or of all) against each other; one line for each difference.

    Exit code 6 while they differ. --repair copies events both ways, makes versions that MLflow lost again, and with --target
    writes what only the host knows, and sends bundles that the registry lost from its disk. An approval that comes back from
    MLflow is history, and allows nothing unless it is signed.
    """
    from promote.core.passport import plain
    from promote.wiring import open_wiring

    wiring = open_wiring(config, Silent(), registry=registry)
    target = wiring.target(target_name) if target_name else None
    store = wiring.store(target) if target else None
    away: dict[str, str] = {}
    names = (model_name(model),) if model else _names(wiring, store, away)
    found: list[Difference] = []
    for name in names:
        found += _of(name, wiring, target, store, away, repair=repair)
    grave = [difference for difference in found if difference.counts]
    code = 6 if grave else 0
    if as_json:
        print_json("fsck", code, models=list(names), away=away, repaired=repair, differences=plain(tuple(found)))
        return code
    for where, why in away.items():
        say(click.style("warning: ", fg="yellow") + f"{where} does not tell: {printable(why, 400)}")
    if found:
        print_table(("about", "kind", "what", "remedy"), [(d.about, d.kind.value, d.has, d.remedy) for d in found])
    if not grave:
        say(f"{', '.join(names) or 'nothing'}: {'no difference' if not away else 'no difference in what answers'}")
    return code


def _names(wiring: "Wiring", store: "Store | None", away: dict[str, str]) -> tuple[str, ...]:
    """All models that somebody knows: the registry, where it lists them, MLflow, and the host; one that does not tell is away.

    Raises:
        PromoteError: nobody tells.
    """
    from promote.errors import AuthError, InputError, NotFound, PromoteError, Unavailable

    names, first = set(store.models() if store else ()), list[PromoteError]()
    for where, part in (("registry", wiring.registry), ("mlflow", wiring.ledger)):
        try:
            names |= {*part.models()}
        except (AuthError, InputError, NotFound, Unavailable) as error:  # some registries list nothing
            first.append(error)
            away[where] = error.message
    if len(first) == 2 and not store:
        raise first[0]
    return tuple(sorted(names))


def _of(
    name: str, wiring: "Wiring", target: "Target | None", store: "Store | None", away: dict[str, str], *, repair: bool
) -> "list[Difference]":
    from promote.adapters.settings import current_user
    from promote.core.differences import REPAIR, Difference, Kind
    from promote.errors import NotFound
    from promote.pipeline.auditing import audit, audit_host
    from promote.pipeline.mending import bring_back, lost, mend, mend_host
    from promote.pipeline.recalling import recall

    gone = tuple[tuple[int, str], ...]()
    if store:
        if repair:
            with wiring.progress.stage("fsck", f"{name}, from the host's disk") as step:
                for one in bring_back(name, store, wiring.registry, step):
                    say(f"{name} v{one.version} {one.digest[:19]}: " + (one.why or "sent from the host's disk"))
        gone = lost(name, store, wiring.registry)
    try:
        recalled = recall(name, wiring.registry, wiring.ledger)
    except NotFound:
        if not gone or target is None:
            raise
        remedy = f"{REPAIR} --target {target.name} sends it from that host's disk, and makes MLflow's version again"
        return [
            Difference(
                Kind.NOT_IN_REGISTRY,
                f"{name} v{version}",
                f"{digest} served on {target.name}, and only that host knows",
                remedy,
                True,
            )
            for version, digest in gone
        ]
    if repair:
        mend(recalled, wiring)
        if target and store:
            mend_host(name, target, store, wiring)
        recalled = recall(name, wiring.registry, wiring.ledger)
    away |= recalled.away
    found = list(audit(recalled, wiring, target.name if target else "", {digest for _, digest in gone}))
    if target and store:
        found += audit_host(recalled, target, current_user(), store)
    return found
