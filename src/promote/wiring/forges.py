"""Opens the ``trtexec`` that shall build a plan, where it was asked for, with a workshop in this command's own folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from promote.errors import PromoteError

if TYPE_CHECKING:
    from promote.adapters.engine.forge import Forge
    from promote.core.engine_place import Place
    from promote.wiring.story import Wiring

TIMINGS, FAILED = "timings", "build-engine.log"


def probed_place(wiring: Wiring, target: str) -> tuple[str, str, bool]:
    """Image, SSH host, and whether it is this machine, as the target's last probe had them; empty where there was none."""
    probe = wiring.last_probe(target)
    return (probe.image, probe.ssh, probe.here) if probe else ("", "", False)


@contextmanager
def forge(wiring: Wiring, place: Place, work: Path, *, memory_gib: float) -> Iterator[Forge]:
    """The forge; the folder on another host goes when the block ends. A failed build leaves its log in the work folder."""
    from promote.adapters.engine.forge import Forge as Made
    from promote.adapters.engine.running import Limits
    from promote.adapters.engine.workshop import workshop

    limits = Limits(seconds=place.seconds + (60 if place.ssh else 0))
    if memory_gib:
        limits = replace(limits, memory_bytes=int(memory_gib * 2**30))
    caches = wiring.settings.path(wiring.settings.work_dir) / TIMINGS
    where = f"{place.way} {'on ' + place.ssh if place.ssh else 'here'}"
    with workshop(place, work / "forge", limits, lambda _: None) as shop:
        try:
            yield Made(shop, caches, where, place.image)
        except PromoteError:
            with contextlib.suppress(OSError):  # the reason is told, with or without its log
                shutil.copyfile(shop.log, wiring.work_root() / FAILED)
            raise


__all__ = ["forge", "probed_place"]
