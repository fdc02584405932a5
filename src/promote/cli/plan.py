"""``promote plan``: what a run would be exported to, for one target or several, and why nothing else. Exports nothing."""

import click

from promote.cli import options
from promote.cli.handing import Handing
from promote.cli.progress import choose
from promote.cli.render import CODES, print_json, print_table, print_verdict, say
from promote.core.choices import Tried
from promote.core.passport import plain
from promote.core.plan import SharedPlan, Variant


@click.command("plan")
@click.argument("run_id")
@click.option("--target", "names", metavar="NAME", multiple=True, required=True, help="Host to serve on; may repeat.")
@click.option("--model", "model_name", default="", help="Which model, where the run logged several.")
@click.option("--opset", type=click.IntRange(7, 99), default=None, help="ONNX opset; else chosen for the targets.")
@options.summary
@options.as_json
@click.pass_obj
def command(
    config: str | None,
    run_id: str,
    names: tuple[str, ...],
    model_name: str,
    opset: int | None,
    summary: str,
    as_json: bool,
) -> int:
    """Say what the model of MLflow run RUN_ID would be exported to, so that it loads on every target.

    Every choice is judged by the rules, fastest first; the table says which are accepted and what rules the others out.
    Exit code 0 each target can be served, 10 one cannot, 11 a needed fact of one is not known.
    """
    from promote.core.plan import plan_for_all
    from promote.wiring import open_wiring

    wiring = open_wiring(config, choose(as_json))
    targets = [wiring.target(name) for name in dict.fromkeys(names)]
    shared = plan_for_all(wiring.candidate(run_id, model_name), targets, wiring.matrix, opset=opset)
    code = max((CODES[verdict.word] for verdict in shared.refused.values()), default=0)
    code = 10 if any(CODES[verdict.word] == 10 for verdict in shared.refused.values()) else code
    for name, verdict in shared.refused.items():
        Handing(summary).verdict(verdict.word, name, verdict.findings, {"run": run_id})
    if as_json:
        _print_json(shared, code, run_id)
    else:
        _print(shared, run_id)
    return code


def _print_json(shared: SharedPlan, code: int, run_id: str) -> None:
    tried = {
        name: [
            {"choice": plain(one.choice), "accepted": one.accepted, "why": one.why, "broken": plain(one.broken)}
            for one in rows
        ]
        for name, rows in shared.tried.items()
    }
    refused = {name: {"verdict": v.word, "findings": plain(v.findings)} for name, v in shared.refused.items()}
    print_json("plan", code, run=run_id, variants=plain(shared.variants), refused=refused, tried=tried)


def _print(shared: SharedPlan, run_id: str) -> None:
    rows = []
    for name, tried in shared.tried.items():
        taken = next((v.plan for v in shared.variants if name in v.targets), None)
        for one in _told(tried):
            took = taken is not None and not one.why and (taken.opset, taken.ir_version) == (
                one.choice.opset, one.choice.ir_version
            )  # fmt: skip
            word = "taken" if took else "accepted" if one.accepted else "rejected"
            rows.append((name, str(one.choice), word, _why(one)))
    print_table(("target", "choice", "", "why"), rows)
    for name, verdict in shared.refused.items():
        say()
        print_verdict(verdict.word, name, verdict.findings)
    say()
    for variant in shared.variants:
        say(_line(variant))
    if len(shared.variants) > 1:
        say(f"{len(shared.variants)} exports are needed: no one choice serves all")
    for variant in shared.variants:
        for name in variant.targets:
            chosen = f" --opset {variant.plan.opset}" if variant.plan.opset else ""
            say(f"next: promote model {run_id} --target {name}{chosen}")


def _told(tried: tuple[Tried, ...]) -> list[Tried]:
    """Of each opset the best choice alone: the IR versions below one that is accepted tell nothing new."""
    told: dict[object, Tried] = {}
    for one in tried:
        key = (one.choice.format, one.choice.opset, one.choice.precision)
        if key not in told or (one.accepted and not told[key].accepted):
            told[key] = one
    return list(told.values())


def _why(one: Tried) -> str:
    broken = "; ".join(f"{f.rule}: {f.has}" + (f", needs {f.needs}" if f.needs else "") for f in one.broken)
    return "; ".join(part for part in (broken, one.why) if part)


def _line(variant: Variant) -> str:
    plan = variant.plan
    opset = (
        "the ONNX model as it was logged" if plan.opset is None else f"opset {plan.opset}, IR version {plan.ir_version}"
    )
    return f"for {', '.join(variant.targets)}: {opset}, {plan.precision}, batches up to {plan.max_batch_size}"
