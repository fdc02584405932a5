"""How fast and how late the live version answers, over batch sizes and numbers of clients; beside the former one's figures."""

from dataclasses import dataclass

from promote.core.facts import Target
from promote.core.golden import split
from promote.core.load import Cell, Figures, Measured
from promote.core.page import with_load
from promote.core.parity import Tolerance
from promote.core.stages import Deployed
from promote.errors import InputError, PromoteError
from promote.pipeline.dating import now
from promote.pipeline.replaying import ask
from promote.pipeline.smoking import live_version
from promote.ports import Tensors, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What shall be measured.

    Args:
        protocols: ``grpc``, ``http``.
        batches: rows of one request.
        clients: how many ask at once.
        seconds: of each load.
    """

    protocols: tuple[str, ...]
    batches: tuple[int, ...]
    clients: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What was measured.

    Args:
        figures: of the live version.
        former: the figures of the version that served before it, where it was measured on this target; or ``None``.
        notes: what was left out, and what to bear in mind, a line each.
        faults: why answers of the live version are wrong: then nothing was measured.
    """

    figures: Figures
    former: Figures | None
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def bench(name: str, loads: Loads, target: Target, by: str, world: World) -> Bench:
    """Measures the live version, keeps the figures, and gives them beside those of the version before.

    A request is a golden case, its rows repeated to the batch size; before a size is measured it is answered once, and the
    answer is held against the golden one. A version that answers wrongly is not measured: fast and wrong is no figure.

    Raises:
        NotFound, Unavailable: as ``live_version``; or not one request of a load was answered.
        InputError: the model takes none of the batch sizes.
    """
    triton = world.server.require()
    live = live_version(name, target, world)
    former = _former(live, target, world)  # before minutes of measuring: a damaged file is told now
    golden, tolerance = world.store.golden(name, live.version)
    cases = split(golden)
    case = "typical" if "typical" in cases else next(iter(cases))
    most = world.load.largest_batch(name, live.version)
    batches, notes = _batches(loads.batches, most, name)
    measured: list[Measured] = []
    for protocol in loads.protocols:
        for batch in batches:
            tensors = cases[case] if batch == 0 else tuple(_rows(side, batch) for side in cases[case])
            inputs, expected = tensors
            fault = _fault(live, protocol, (inputs, expected), tolerance, world)
            if fault:
                told = (f"{protocol}, batch {batch}: {fault}",)
                return Bench(
                    figures=_figures(live, target, triton, by, case, loads, measured), former=None, faults=told
                )
            for clients in loads.clients:
                cell = Cell(protocol, batch, clients)
                with world.progress.stage("measure", _words(cell)) as step:
                    found = world.load.measure(name, live.version, inputs, cell, loads.seconds)
                    step.say(f"{found.rate:.1f}/s, median {found.milliseconds[50]:.2f} ms")
                measured.append(found)
    figures = _figures(live, target, triton, by, case, loads, measured)
    world.figures.keep(figures)
    return Bench(figures=figures, former=former, notes=(*notes, *_doubts(figures), *_compared(figures, former, world)))


def _compared(figures: Figures, former: Figures | None, world: World) -> tuple[str, ...]:
    """Adds the figures to the run of the promotion in MLflow and draws them in its report; a note where that cannot be."""
    with world.progress.stage("note", "in MLflow") as step:
        try:
            there = world.ledger.measured(figures)
            known = (figures, former) if former else (figures,)
            drawn = there and world.ledger.redraw(figures, lambda page: with_load(page, known, figures.digest))
        except PromoteError as error:
            step.say("failed")
            return (f"MLflow was not told: {error.message}",)
        told = "beside its promotion" + (", and in its report" if drawn else ", which has no report there")
        step.say(told if there else "this version's promotion has no run there")
    return ()


def _batches(asked: tuple[int, ...], most: int, name: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if most == 0:
        return (0,), (f"{name} takes no batches: its requests are the golden one as it is",)
    fits = tuple(batch for batch in asked if batch <= most)
    if not fits:
        raise InputError(f"{name} takes batches of up to {most}, none of those asked for", hint=f"--batch {most}")
    beyond = ", ".join(str(batch) for batch in asked if batch > most)
    return fits, ((f"batch {beyond} is left out: {name} takes up to {most}",) if beyond else ())


def _rows(tensors: Tensors, batch: int) -> Tensors:
    """Rows repeated, or cut, to ``batch``: the first axis of a model that batches."""
    return {name: array[[row % len(array) for row in range(batch)]] for name, array in tensors.items()}


def _fault(live: Deployed, protocol: str, golden: tuple[Tensors, Tensors], tolerance: Tolerance, world: World) -> str:
    return ask((live.name, live.version), protocol, "golden", golden, tolerance, world.server)[1]


def _words(cell: Cell) -> str:
    batch = f"batch {cell.batch}, " if cell.batch else ""
    return f"{cell.protocol}, {batch}{cell.clients} client" + ("s" if cell.clients > 1 else "")


def _figures(
    live: Deployed, target: Target, triton: str, by: str, case: str, loads: Loads, cells: list[Measured]
) -> Figures:
    return Figures(
        name=live.name, version=live.version, digest=live.digest, target=target.name, triton=triton, when=now(), by=by,
        case=case, seconds=loads.seconds, cells=tuple(cells),
    )  # fmt: skip


def _former(live: Deployed, target: Target, world: World) -> Figures | None:
    """Of the version that served last before the live one and was measured here."""
    known = {figures.digest: figures for figures in world.figures.of(target.name, live.name)}
    earlier = [d.digest for d in world.store.history(live.name) if d.digest != live.digest]
    return next((known[digest] for digest in reversed(earlier) if digest in known), None)


def _doubts(figures: Figures) -> tuple[str, ...]:
    told = []
    failed = sum(measured.failed for measured in figures.cells)
    if failed:
        why = {reason for measured in figures.cells for reason in measured.errors}
        told.append(f"{failed} requests failed: {'; '.join(sorted(why)[:3])}")
    if not all(measured.sure for measured in figures.cells):
        told.append(
            "loads with fewer than 100 answers are marked ~: their p99 is the slowest answer; --seconds gives more"
        )
    if any(measured.busy > 0.9 for measured in figures.cells):
        told.append("loads marked * kept this client's processor core busy: the server may be able to do more")
    return tuple(told)
