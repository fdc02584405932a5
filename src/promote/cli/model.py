"""``promote model``: an MLflow run becomes a release that waits for its review."""

from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.handing import Handing, state_of
from promote.cli.model_bundle import promote_bundle, say_next
from promote.cli.model_variants import line, lines_of, told, variants_of
from promote.cli.progress import choose
from promote.cli.render import (
    CODES,
    print_facts,
    print_json,
    print_parity_failed,
    print_refused,
    print_verdict,
    say,
    say_if_stale,
)
from promote.cli.telling import tell
from promote.core.parity import ParityFailed
from promote.core.passport_summary import summary as summary_of
from promote.core.stages import Bundle, Promotion
from promote.core.variants import LOWER
from promote.core.verdict import Incompatible, Undecided

if TYPE_CHECKING:
    from promote.pipeline import Prepared


@click.command()
@click.argument("subject", metavar="RUN_ID|MODEL:vN")
@options.target
@click.option("--name", default="", help="Model name to serve under; else the name it was logged with.")
@click.option("--model", "model_name", default="", help="Which model, where the run logged several.")
@click.option("--opset", type=click.IntRange(7, 99), default=None, help="ONNX opset; else chosen for the target.")
@click.option(
    "--variant", "variants", type=click.Choice(LOWER), multiple=True, help="A lower precision beside fp32; may repeat."
)
@options.registry
@click.option("--allow-pickle", is_flag=True, help="Load a pickled module, in a process without credentials.")
@click.option("--dry-run", is_flag=True, help="Stop before anything outside this machine is written.")
@options.summary
@options.outputs
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None,
    subject: str,
    target_name: str,
    name: str,
    model_name: str,
    opset: int | None,
    variants: tuple[str, ...],
    registry: str,
    allow_pickle: bool,
    dry_run: bool,
    summary: str,
    outputs: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Take the model of MLflow run RUN_ID to a release for a target; or a bundle, MODEL:vN, to a further target.

    Finds it, exports it, proves parity, checks it, lays out a Triton model repository, pushes it and records it in
    MLflow. The last line of stdout is REPOSITORY@sha256:... Running it again goes on where it stopped.

    A bundle is judged for the target as it is: its digest stays, and the verdict is attached to it (promote inspect).
    """
    from promote.adapters.settings import current_user
    from promote.core.stages import RunRef
    from promote.pipeline import Order, Prepared, promote_model
    from promote.wiring import open_wiring

    bundle = options.names_bundle(subject)
    if bundle and (name or model_name or opset or allow_pickle or variants):
        raise click.UsageError(
            "--name, --model, --opset, --variant and --allow-pickle are about a run: a bundle stays as it is",
            click.get_current_context(),
        )
    handing = Handing(summary, outputs)
    base = registry or (options.split_base(subject) if bundle else "")
    wiring = open_wiring(config, choose(quiet or as_json), registry=base, allow_pickle=allow_pickle)
    say_if_stale(wiring.matrix)
    order = Order(
        ref=RunRef(subject, model_name),
        name=name,
        opset=opset,
        tolerances=wiring.settings.tolerances(),
        dry_run=dry_run,
        variants=tuple(precision for precision in LOWER if precision in variants),
    )
    target = wiring.target(target_name)
    if bundle:
        reference = options.split_reference(subject)
        return promote_bundle(
            wiring, target, *reference, dry_run=dry_run, as_json=as_json, quiet=quiet, handing=handing
        )
    with wiring.world(target) as world:
        outcome = promote_model(order, target, world)
        if isinstance(outcome, Promotion):
            code = _promoted(outcome, as_json, quiet, handing)
            stored = outcome.release.stored
            tell(
                wiring, "pushed", stored.name, target_name, by=current_user(), version=stored.version,
                reference=stored.reference, reason=f"review {outcome.review}",
            )  # fmt: skip
            return code
        if isinstance(outcome, Prepared):
            return _prepared(outcome, as_json, handing)
    return _refused(outcome, as_json, handing)


def _promoted(promotion: Promotion, as_json: bool, quiet: bool, handing: Handing) -> int:
    release, bundle = promotion.release, promotion.release.bundle
    stored = release.stored
    _hand(bundle, handing, {"bundle": stored.reference, "review": promotion.review})
    handing.give(
        digest=stored.digest, reference=stored.reference, name=bundle.name, version=str(bundle.version),
        verdict=bundle.verdict.word, state=state_of(promotion.review),
    )  # fmt: skip
    if as_json:
        print_json(
            "model", 0, reference=stored.reference, digest=stored.digest, name=bundle.name, version=bundle.version,
            target=bundle.target.name, verdict=bundle.verdict.word, review=promotion.review, report=promotion.report,
            ui=promotion.ui, bytes={"sent": release.sent, "skipped": release.skipped}, variants=variants_of(release),
        )  # fmt: skip
        return 0
    if not quiet:
        _tell(promotion)
    click.echo(stored.reference)
    return 0


def _tell(promotion: Promotion) -> None:
    bundle = promotion.release.bundle
    say()
    print_verdict(bundle.verdict.word, bundle.target.name, bundle.verdict.findings)
    say()
    print_facts(
        f"{bundle.name} v{bundle.version}",
        summary_of(bundle.passport)
        | lines_of(promotion.release)
        | {"look at": promotion.ui, "report": promotion.report},
    )
    say()
    say_next(bundle.name, bundle.version, bundle.target.name, promotion.review)


def _hand(bundle: Bundle, handing: Handing, more: dict[str, str]) -> None:
    facts = {"model": f"{bundle.name} v{bundle.version}"} | summary_of(bundle.passport) | more
    handing.verdict(bundle.verdict.word, bundle.target.name, bundle.verdict.findings, facts)


def _prepared(prepared: "Prepared", as_json: bool, handing: Handing) -> int:
    bundle = prepared.bundle
    _hand(bundle, handing, {"dry run": "nothing was pushed or recorded"})
    handing.give(name=bundle.name, version=str(bundle.version), verdict=bundle.verdict.word)
    files = {path: blob.size for path, blob in bundle.files.items()}
    if as_json:
        print_json(
            "model", 0, dry_run=True, name=bundle.name, version=bundle.version, verdict=bundle.verdict.word, files=files,
            variants=[told(one) for one in prepared.variants],
        )  # fmt: skip
        return 0
    say()
    print_verdict(bundle.verdict.word, bundle.target.name, bundle.verdict.findings)
    say()
    print_facts(
        f"{bundle.name} v{bundle.version} (dry run: nothing was pushed or recorded)",
        summary_of(bundle.passport) | {told(one)["variant"]: line(told(one)) for one in prepared.variants},
    )
    for path, size in files.items():
        click.echo(f"{size:>12}  {path}")
    return 0


def _refused(outcome: Incompatible | Undecided | ParityFailed, as_json: bool, handing: Handing) -> int:
    from promote.core.passport import plain

    handing.give(verdict=outcome.word)
    if isinstance(outcome, ParityFailed):
        handing.reasons(outcome.word, outcome.reasons)
        code = CODES[outcome.word]
        if as_json:
            print_json(
                "model",
                code,
                verdict=outcome.word,
                reasons=list(outcome.reasons),
                differences=plain(outcome.differences),
            )
        else:
            print_parity_failed(outcome)
        return code
    handing.verdict(outcome.word, outcome.target, outcome.findings, {})
    return print_refused("model", outcome, "nothing was pushed", as_json=as_json)
