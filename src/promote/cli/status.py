"""``promote status``: what serves on a target, and whether it answers."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say


@click.command()
@options.target
@options.as_json
@click.pass_obj
def command(config: str | None, target_name: str, as_json: bool) -> int:
    """List what serves on a target: version, digest, since when, by whom, and whether it answers."""
    from promote.core.passport import plain
    from promote.pipeline import status
    from promote.wiring import open_wiring

    wiring = open_wiring(config, Silent())
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        version, serving = status(world)
    if as_json:
        print_json("status", 0, target=target_name, triton=version, models=[plain(row) for row in serving])
        return 0
    rows = []
    for row in serving:
        live, stats = row.deployed, row.statistics
        answers = "ready" if row.ready else "NOT READY"
        rows.append([
            live.name, f"v{live.version}", answers, live.digest[:19], live.since, live.by,
            f"{stats.get('requests', 0):.0f}", f"{stats.get('failures', 0):.0f}", f"{stats.get('mean_ms', 0):.1f}",
        ])  # fmt: skip
    print_table(["model", "version", "state", "digest", "since", "by", "requests", "failed", "mean ms"], rows)
    say(f"\n{target_name}: Triton {version} at {target.http}")
    if any(not row.ready for row in serving):
        say("hint: promote deploy MODEL:vN loads a version that is not ready")
    return 0
