"""``promote build-engine``: a TensorRT plan is built on the host that will serve it, proven there, and kept with its record."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from promote.cli import options
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
from promote.core.engine_place import IN_IMAGE, INSTALLED, WAYS, Place
from promote.core.engine_recipe import PRECISIONS, Lengths
from promote.core.names import printable
from promote.core.parity import ParityFailed
from promote.core.variants import LEVELS
from promote.core.verdict import Incompatible, Undecided
from promote.errors import InputError

if TYPE_CHECKING:
    from promote.core.engine_record import Build
    from promote.wiring.story import Wiring

_AXIS = re.compile(r"(.{1,200})=([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9})")


@click.command()
@click.argument("reference")
@options.target
@click.option("--out", metavar="FOLDER", required=True, help="Where plan, record and log go; not there yet.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True)
@click.option("--axis", "axes", metavar="NAME=S:U:L", multiple=True, help="Shortest, usual, longest of a dynamic axis.")
@click.option("--level", type=click.Choice(LEVELS), default="none", show_default=True, help="Hardware compatibility.")
@click.option("--version-compatible", is_flag=True, help="To load on a newer TensorRT of the same major version too.")
@click.option("--in", "way", type=click.Choice(WAYS), default=INSTALLED, show_default=True, help="How trtexec is run.")
@click.option("--image", metavar="REF", default="", help="The container's image; else as last probed.")
@click.option(
    "--trtexec", "program", metavar="PATH", default="", help="Where trtexec is, else on PATH or as in NGC's images."
)
@click.option("--ssh", metavar="HOST", default="", help="Where to build; else as last probed, else here.")
@click.option("--gpu", type=click.IntRange(0, 63), default=0, show_default=True, help="Which GPU there.")
@click.option("--seconds", type=click.IntRange(1, 604_800), default=3600, show_default=True, help="Limit of one run.")
@click.option("--memory-gib", type=click.FloatRange(0.1, 4096), default=None, help="Limit of host memory.")
@click.option(
    "--workspace", type=click.IntRange(1, 2**22), default=None, metavar="MIB", help="Limit of scratch GPU memory."
)
@options.registry
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None,
    reference: str,
    target_name: str,
    out: str,
    precision: str,
    axes: tuple[str, ...],
    level: str,
    version_compatible: bool,
    way: str,
    image: str,
    program: str,
    ssh: str,
    gpu: int,
    seconds: int,
    memory_gib: float | None,
    workspace: int | None,
    registry: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Build a TensorRT plan of REFERENCE (MODEL:vN or MODEL@sha256:...) on the host that will serve it.

    Reads the bundle's ONNX, has trtexec build a plan of it (installed, or in the target's Triton container), reads the plan
    back, and holds its answers to the golden samples against the recorded ones. FOLDER then holds model.plan, build.json and
    trtexec.log. The last line of stdout is the plan's sha256:... A plan from elsewhere is never taken.

    Exit code 5 the host could not build it, 7 TensorRT cannot build this model, 10 or 11 the plan would not load there,
    12 its answers are off.
    """
    from promote.adapters.settings import current_user
    from promote.pipeline import Wish, build_engine
    from promote.wiring import open_wiring
    from promote.wiring.forges import forge

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, choose(quiet or as_json), registry=registry or options.split_base(reference))
    say_if_stale(wiring.matrix)
    target = wiring.target(target_name)
    asked = Place(ssh=ssh, gpu=gpu, seconds=seconds, memory_gib=memory_gib or 0)
    place = _place(wiring, target_name, asked, way, image, program)
    wish = Wish(
        precision=precision, lengths=_lengths(axes), level=level, version_compatible=version_compatible,
        workspace_mib=workspace or 0, tolerances=wiring.settings.tolerances(), out=out, by=current_user(),
    )  # fmt: skip
    with wiring.world(target) as world, wiring.work() as work:
        found = world.registry.find(name, version)
        with forge(wiring, place, work, memory_gib=memory_gib or 0) as made:
            outcome = build_engine(wish, found, target, made, str(work / "bundle"), world)
    if isinstance(outcome, ParityFailed):
        return _failed(outcome, as_json)
    if isinstance(outcome, Incompatible | Undecided):
        return print_refused("build-engine", outcome, "no plan was kept", as_json=as_json)
    return _built(outcome, out, as_json, quiet)


def _place(wiring: "Wiring", target: str, asked: Place, way: str, image: str, program: str) -> Place:
    from promote.wiring.forges import probed_place

    known_image, known_ssh, _ = probed_place(wiring, target)
    wanted = image or (known_image if way != INSTALLED else "")
    usual = "trtexec" if way == INSTALLED else IN_IMAGE
    return replace(asked, way=way, image=wanted, ssh=asked.ssh or known_ssh, program=program or usual)


def _lengths(axes: tuple[str, ...]) -> dict[str, Lengths]:
    made = {}
    for text in axes:
        found = _AXIS.fullmatch(text)
        if found is None or found[1] in made:
            raise InputError(
                f"--axis {printable(text, 80)!r}: expected NAME=SHORTEST:USUAL:LONGEST, each name once",
                hint="for instance: --axis sequence=1:64:384",
            )
        made[found[1]] = Lengths(int(found[2]), int(found[3]), int(found[4]))
    return made


def _failed(outcome: ParityFailed, as_json: bool) -> int:
    code = CODES[outcome.word]
    if as_json:
        print_json("build-engine", code, verdict=outcome.word, reasons=list(outcome.reasons))
    else:
        print_parity_failed(outcome)
        say("\nno plan was kept")
    return code


def _built(build: "Build", out: str, as_json: bool, quiet: bool) -> int:
    from promote.core.passport import plain

    built, worst = build.built, build.parity.worst
    if as_json:
        print_json(
            "build-engine", 0, digest=built.digest, size=built.size, folder=out, precision=build.precision,
            binding=plain(build.binding), gpu=built.device.gpu, source=build.source, target=build.verdict.target,
            verdict=build.verdict.word, findings=plain(build.verdict.findings), max_absolute=worst.max_absolute,
            seconds={"build": built.seconds, "replay": build.replay_seconds}, timing_cache=built.cached,
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        print_verdict(build.verdict.word, build.verdict.target, build.verdict.findings)
        say()
        told = {
            "plan": f"{built.size:,} bytes, {build.precision}, by TensorRT {built.tensorrt} on {built.device.gpu}",
            "from": build.source,
            "parity": f"largest difference {worst.max_absolute:.2g} of the recorded answers",
            "built": f"{build.where} in {built.seconds:.1f} s, by {build.by}",
        }
        print_facts(out, told)
    click.echo(built.digest)
    return 0
