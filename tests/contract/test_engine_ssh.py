"""A plan built on another host over a real SSH: Debian's ``sshd`` on loopback; only ``trtexec`` there is the stand-in."""

import shutil
import time
from pathlib import Path

import pytest

from promote.adapters.engine.building import answers, ask_builder, build
from promote.adapters.engine.running import Limits
from promote.adapters.engine.workshop import workshop
from promote.core.engine_place import Place
from promote.core.engine_recipe import Order, profiles
from promote.core.parity import ParityProven, compare
from promote.core.passport import sha256
from promote.errors import IntegrityError, Unavailable
from tests.fakes.bundle import TOLERANCE, X, Y, samples, times
from tests.parts.ssh_server import SSHD, ssh_server
from tests.parts.trtexec import install, set_up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SSHD, reason="no sshd here: Debian's openssh-server has it, or PROMOTE_SSHD names it"),
]

ORDER = Order(tensorrt="10.6.0.26", profiles=profiles([X], batch=8))
LIMITS = Limits(seconds=60)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A host named ``calypso`` with a ``trtexec`` first on its PATH."""
    (tmp_path / "server").mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    with ssh_server(tmp_path / "server") as made:
        (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {made.config} "$@"\n')
        (programs / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        install(made.programs)
        yield made


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(times(2.0))
    return {"model.onnx": str(tmp_path / "model.onnx")}


def test_a_plan_is_built_there_brought_here_asked_there_and_nothing_stays(server, model, tmp_path):
    caches = tmp_path / "timings"
    with workshop(Place(ssh="calypso"), tmp_path / "shop", LIMITS, print) as shop:
        assert ask_builder(shop).tensorrt == "10.6.0.26"
        plan = build(shop, ORDER, model, ([X], [Y]), caches, "H100 9.0")
        cases = {case: given for case, (given, _) in samples(2.0).items()}
        got, _ = answers(shop, plan, cases, [Y], dynamic=True)
        root = Path(shop.root)
        assert root.is_dir()
        assert root.stat().st_mode & 0o077 == 0
    assert not root.exists()
    assert plan.digest == sha256((tmp_path / "shop/out/model.plan").read_bytes())
    want = {case: outputs for case, (_, outputs) in samples(2.0).items()}
    assert isinstance(compare(want, got, TOLERANCE), ParityProven)
    assert [path.read_bytes() for path in caches.iterdir()] == [b"timing"]


@pytest.mark.parametrize(("fail", "says"), [("gpu", "no GPU was found"), ("hang", "longer than allowed")])
def test_what_fails_there_is_told_here_and_nothing_stays(server, model, tmp_path, fail, says):
    set_up(server.programs, fail=fail)
    place = Place(ssh="calypso", seconds=2)
    with workshop(place, tmp_path / "shop", LIMITS, print) as shop:
        with pytest.raises(Unavailable, match=says):
            build(shop, ORDER, model, ([X], [Y]))
        root = Path(shop.root)
    assert not root.exists()
    if fail == "hang":  # what it started there is ended with it, though it ignores a polite word
        child = Path(f"/proc/{(server.programs / 'child').read_text()}")
        until = time.monotonic() + 10
        while child.exists() and time.monotonic() < until:  # killed, and not yet taken away
            time.sleep(0.05)
        assert not child.exists()


def test_a_plan_changed_there_while_it_answers_is_not_taken(server, model, tmp_path):
    with workshop(Place(ssh="calypso"), tmp_path / "shop", LIMITS, print) as shop:
        plan = build(shop, ORDER, model, ([X], [Y]))
        set_up(server.programs, fail="swapped")
        with pytest.raises(IntegrityError, match="not the plan that was built"):
            answers(shop, plan, {"typical": samples(2.0)["typical"][0]}, [Y], dynamic=True)


def test_a_host_that_lets_nobody_in_is_told(server, tmp_path):
    with pytest.raises(Unavailable, match="cannot be reached over SSH"):
        with workshop(Place(ssh="stranger"), tmp_path / "shop", LIMITS, print):
            pass
