"""``promote bench``: how fast, and how late, the live version answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import choose
from promote.cli.render import print_json, print_table, say
from promote.core.load import PERCENTILES, Figures, Measured, beside
from promote.core.names import model_name, printable
from promote.errors import InputError, Unavailable

if TYPE_CHECKING:
    from promote.pipeline import Bench

_WRONG = 12
_WIDEST = 16


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between, each once, in the order given.

    Args:
        most: the largest allowed.
    """

    name = "N,N,..."

    def __init__(self, most: int) -> None:
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers; fails on anything else."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if any(not word.isdecimal() or not 1 <= int(word) <= self._most for word in words):
            self.fail(f"{value!r}: expected whole numbers from 1 to {self._most} with commas between", param, ctx)
        return tuple(dict.fromkeys(int(word) for word in words))


@click.command()
@click.argument("model")
@options.target
@click.option("--batch", type=Numbers(4096), default="1,4,8", show_default=True, help="Rows of one request.")
@click.option("--concurrency", type=Numbers(64), default="1,2,4", show_default=True, help="Clients that ask at once.")
@click.option("--seconds", type=click.FloatRange(0.2, 600), default=5.0, show_default=True, help="Of each load.")
@click.option(
    "--protocol", "protocols", type=click.Choice(("grpc", "http")), multiple=True, default=("grpc",), show_default=True,
    help="Which; may be given twice.",
)  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False), default=None, metavar="FILE.html", help="Draw it on a page.")
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None,
    model: str,
    target_name: str,
    batch: tuple[int, ...],
    concurrency: tuple[int, ...],
    seconds: float,
    protocols: tuple[str, ...],
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure throughput and latency of the live version of MODEL, over batch sizes and numbers of clients.

    Requests are its golden inputs, repeated to the batch size. A closed loop: each client sends its next request when its
    last one was answered. The figures are kept, and shown beside those of the version that served before. It loads the
    server: beside real traffic, ask with few clients.
    """
    from promote.adapters.settings import current_user
    from promote.pipeline import Loads, bench
    from promote.wiring import open_wiring

    if out is not None and not Path(out).parent.is_dir():
        raise InputError(f"{out}: its folder is not there", hint="create it, or name another file")
    wiring = open_wiring(config, choose(quiet or as_json))
    target = wiring.target(target_name)
    loads = Loads(protocols=tuple(dict.fromkeys(protocols)), batches=batch, clients=concurrency, seconds=seconds)
    with wiring.world(target) as world:
        made = bench(model_name(model), loads, target, current_user(), world)
    if made.faults:
        return _wrong(made, as_json)
    if out is not None:
        _draw(made, Path(out))
    if as_json:
        _print_json(made)
    else:
        _tell(made, "" if out is None else out, quiet=quiet)
    return 0


def _wrong(made: "Bench", as_json: bool) -> int:
    if as_json:
        print_json("bench", _WRONG, name=made.figures.name, version=made.figures.version, faults=list(made.faults))
        return _WRONG
    for fault in made.faults:
        say(click.style("wrong: ", fg="red", bold=True) + printable(fault, 600))
    say(
        "\n"
        + click.style("hint: ", fg="cyan")
        + "a version that answers wrongly is not measured: promote smoke says more"
    )
    return _WRONG


def _draw(made: "Bench", path: Path) -> None:
    from promote.core.load_page import load_page

    try:
        path.write_bytes(load_page(made.figures, made.former, made.notes))
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error


def _print_json(made: "Bench") -> None:
    print_json(
        "bench",
        0,
        **_as_json(made.figures),
        former=_as_json(made.former) if made.former else None,
        notes=list(made.notes),
    )


def _as_json(figures: Figures) -> dict[str, Any]:
    loads = [
        {
            "protocol": m.cell.protocol, "batch": m.cell.batch, "concurrency": m.cell.clients, "seconds": round(m.seconds, 3),
            "answers": m.answers, "rows_per_second": round(m.rate, 3), "mean_ms": round(m.mean, 4),
            "percentiles_ms": {f"p{p}": round(value, 4) for p, value in m.milliseconds.items()},
            "errors": dict(m.errors), "client_busy": round(m.busy, 3),
        }
        for m in figures.cells
    ]  # fmt: skip
    return {
        "name": figures.name, "version": figures.version, "digest": figures.digest, "target": figures.target,
        "triton": figures.triton, "when": figures.when, "by": figures.by, "case": figures.case, "loop": "closed",
        "loads": loads,
    }  # fmt: skip


def _tell(made: "Bench", out: str, *, quiet: bool) -> None:
    figures, former = made.figures, made.former
    fastest = max(measured.rate for measured in figures.cells) or 1.0
    heads = ["protocol", "batch", "clients", "per s", "", *(f"p{p} ms" for p in PERCENTILES), "failed"]
    if former:
        heads.append(f"v{former.version}")
    if not quiet:
        say()
    print_table(heads, (_row(m, beside(m, former), fastest, with_former=former is not None) for m in figures.cells))
    if quiet:
        return
    since = f"; v{former.version} was measured {former.when}" if former else ""
    say(
        f"\n{figures.name} version {figures.version} on {figures.target}, Triton {figures.triton}: rows per second{since}"
    )
    for note in made.notes:
        say(click.style("note: ", fg="yellow") + printable(note, 400))
    if out:
        say(f"drawn in {printable(out)}")


def _row(mine: Measured, other: Measured | None, fastest: float, *, with_former: bool) -> list[str]:
    from promote.core.load_page import change

    bar = "█" * max(round(_WIDEST * mine.rate / fastest), 1)
    marks = ("" if mine.sure else "~") + ("*" if mine.busy > 0.9 else "")
    cells = [
        mine.cell.protocol, str(mine.cell.batch or "-"), str(mine.cell.clients), f"{mine.rate:.1f}{marks}", bar,
        *(f"{mine.milliseconds[p]:.2f}" for p in PERCENTILES), str(mine.failed),
    ]  # fmt: skip
    return [*cells, *([change(mine.rate, other.rate) if other else "-"] if with_former else [])]
