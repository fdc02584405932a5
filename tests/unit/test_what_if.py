"""What a changed host does to many models: the same answer as every rule asked for every model, only sooner."""

import dataclasses
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.cli.main import run
from promote.cli.what_if_part import Part
from promote.core.facts import Fact, HostFacts, ModelFacts, NodeUse, Target
from promote.core.passport import canonical, plain
from promote.core.rules.case import Case, always, finding, rule
from promote.core.rules.engine import RULES, check
from promote.core.tensors import TensorSpec
from promote.core.verdict import WORST_FIRST, Outcome
from promote.core.what_if import WhatIf, change
from tests.unit.test_matrix import MATRIX


def measured(value):
    return Fact(value, "model.onnx", measured=True)


def host(name, release, gpu="L4", memory=24):
    facts = HostFacts(device=Fact("gpu", "t"), arch=Fact("x86_64", "t"), triton=Fact(release, "t"), gpu=Fact(gpu, "t"),
                      driver=Fact("560.35", "t"), memory_bytes=Fact(memory * 2**30, "t"))  # fmt: skip
    return Target(name=name, host=facts)


HOSTS = [host("a", "24.10"), host("b", "25.06", "RTX 4090", 16), host("c", "26.04", "A100", 80), host("d", "24.10")]
MODELS = st.builds(
    ModelFacts,
    format=st.sampled_from([measured("onnx"), measured("onnx"), measured("tensorrt"), None]),
    ir_version=st.none() | st.integers(8, 13).map(measured),
    opsets=st.none() | st.integers(11, 25).map(lambda opset: measured({"": opset})),
    weights_bytes=st.none() | st.integers(0, 100 * 2**30).map(measured),
    dtypes=st.sampled_from([None, measured(frozenset({"FLOAT"})), measured(frozenset({"FLOAT16", "BFLOAT16"}))]),
    inputs=st.sampled_from([None, measured((TensorSpec("x", "BFLOAT16", ("batch",)),))]),
    nodes=st.sampled_from(
        [None, measured(frozenset({NodeUse("", "Add", 14, ("tensor(float)",) * 2, ("tensor(float)",))}))]
    ),
    tensorrt=st.sampled_from([None, measured("10.4.0.26")]),
    compute_capability=st.sampled_from([None, measured("8.9")]),
)


def plainly(model, changed):
    """Word before, word after, and each rule's worst outcomes where they differ: every rule asked, nothing remembered."""
    worst = []
    for target in (changed.before, changed.after):
        said = {}
        for one in check(model, target, MATRIX):
            rank = WORST_FIRST.index(one.outcome)
            said[one.rule] = min(rank, said.get(one.rule, 9))
        worst.append(said)
    before, after = worst
    fine = WORST_FIRST.index(Outcome.OK)
    shifts = {r for r in before | after if before.get(r, fine) != after.get(r, fine)}
    words = [("incompatible", "undecided", "degraded", "compatible")[min([*w.values(), fine])] for w in worst]
    return (*words, shifts)


@given(st.lists(MODELS, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_remembering_changes_no_answer(models):
    supposed = {"triton": "26.06", "driver": "580.95", "gpu": "RTX 5090", "memory_gib": 32}
    hosts = [change(MATRIX.complete(target), supposed, MATRIX) for target in HOSTS]
    what_if = WhatIf(hosts, MATRIX)
    for model in models:
        for changed, told in zip(hosts, what_if.changes(model), strict=True):
            assert (told.before, told.after, {s.rule for s in told.shifts}) == plainly(model, changed)


def test_a_rule_that_reads_more_of_one_model_is_asked_again():
    """A fact read only where another says so: what was remembered without it may not be found any more."""
    asked = []

    @rule("picky", title="t", source="s", applies=always)
    def picky(case: Case):
        """Why."""
        asked.append(case.target.name)
        if case.model.format.value == "tensorrt" and case.target.host.gpu.value != "L4":
            return finding(Outcome.BROKEN if case.model.tensorrt.value == "1" else Outcome.OK, "x")
        return finding(Outcome.OK, "x")

    hosts = [change(MATRIX.complete(t), {"gpu": "RTX 5090", "memory_gib": 32}, MATRIX) for t in HOSTS[:1]]
    what_if = WhatIf(hosts, MATRIX, rules=(picky,))
    plan = ModelFacts(format=measured("tensorrt"), tensorrt=measured("1"))
    assert what_if.changes(ModelFacts(format=measured("onnx")))[0].effect == "same"
    assert what_if.changes(plan)[0].effect == "breaks"
    assert what_if.changes(dataclasses.replace(plan, tensorrt=measured("2")))[0].effect == "same"
    number = len(asked)
    assert what_if.changes(plan)[0].effect == "breaks"
    assert what_if.changes(dataclasses.replace(plan, producer=measured("p")))[0].effect == "breaks"
    assert len(asked) == number + 2  # the group was made anew once; the producer is not read


def test_hosts_that_are_equal_in_what_a_rule_reads_are_asked_once():
    asked = []

    @rule("driver-only", title="t", source="s", applies=always)
    def driver_only(case: Case):
        """Why."""
        asked.append(case.target.host.driver.value)
        return finding(Outcome.OK, "x")

    hosts = [change(MATRIX.complete(t), {"driver": "580.95"}, MATRIX) for t in HOSTS]
    WhatIf(hosts, MATRIX, rules=(driver_only,)).changes(ModelFacts())
    assert len(asked) <= 3  # once to see what it reads, then once for each driver


def test_hosts_that_differ_in_a_source_are_asked_apart_only_by_a_rule_that_reads_it():
    asked = {"value": 0, "source": 0, "known": 0}

    def reads(what):
        @rule(what, title="t", source="s", applies=always)
        def one(case: Case):
            """Why."""
            asked[what] += 1
            driver = case.target.host.driver
            return (
                finding(Outcome.OK, "x") if what == "known" and driver else finding(Outcome.OK, getattr(driver, what))
            )

        return one

    targets = [
        dataclasses.replace(t, host=dataclasses.replace(t.host, driver=Fact("560.35", f"targets.{t.name}")))
        for t in HOSTS
    ]
    hosts = [change(MATRIX.complete(t), {"driver": "580.95"}, MATRIX) for t in targets]
    WhatIf(hosts, MATRIX, rules=[reads(what) for what in asked]).changes(ModelFacts())
    assert asked == {"value": 2, "source": 5, "known": 1}  # four sources, and what is supposed has one


@pytest.fixture
def bundles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "promote.toml").write_text(
        '[targets.box]\ndevice = "gpu"\narch = "x86_64"\ntriton = "24.10"\ngpu = "L4"\ndriver = "580.95"\nmemory_gib = 24\n'
    )
    for number in range(300):
        facts = ModelFacts(format=measured("onnx"), weights_bytes=measured(number // 10 * 2**30))
        passport = {"schema": "promote.passport/1", "name": f"m{number}", "version": 1, "target": {"name": "box"},
                    "facts": plain(facts)}  # fmt: skip
        at = tmp_path / f"bundles/m{number}/1/promote"
        at.mkdir(parents=True)
        (at / "passport.json").write_bytes(canonical(passport))
    return tmp_path


ALL = ["what-if", "bundles", "--target", "box", "--memory-gib", "8", "--gpu", "L4", "--json", "--all"]


def said_in(monkeypatch, capsys, many=2):
    """What it answers with so many things in a folder that two processes are worth it."""
    monkeypatch.setattr("promote.cli.what_if_judging._MANY", many)
    assert run(ALL) == 6
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("room", [0, 500, 2**26])
def test_two_processes_say_what_one_says(bundles, monkeypatch, capsys, room):
    """Also of facts that one leaves to the other, and that turn out to be none."""
    (bundles / "bundles/m7/1/promote/passport.json").write_text("{")
    (bundles / "bundles/m8/1/promote/passport.json").write_text("{")
    for number in range(40, 60):  # two different wrong facts
        path = bundles / f"bundles/m{number}/1/promote/passport.json"
        path.write_bytes(path.read_bytes().replace(b'"onnx"', b"%d" % (number % 2)))
    monkeypatch.setattr("promote.cli.what_if_judging._ROOM", room)
    one, two = said_in(monkeypatch, capsys, 10**9), said_in(monkeypatch, capsys)
    assert one == two
    assert len(one["damaged"]) == 22
    assert len(one["models"]) == 278
    assert one["counts"]["breaks"] > 0


@pytest.mark.parametrize("moment", ["read", "answer", "told"])
def test_where_the_second_process_ends_the_first_does_its_work(bundles, monkeypatch, capsys, moment):
    (bundles / "bundles/m7/1/promote/passport.json").write_text("{")
    one, here, done = said_in(monkeypatch, capsys, 10**9), os.getpid(), getattr(Part, moment)
    monkeypatch.setattr(Part, moment, lambda *given: done(*given) if os.getpid() == here else os._exit(9))
    assert said_in(monkeypatch, capsys) == one


def test_a_gpu_is_supposed_by_any_of_its_names(bundles, capsys):
    said = []
    for name in ("RTX 5090", "rtx5090", "NVIDIA GeForce RTX 5090"):
        code = run(["what-if", "bundles", "--target", "box", "--gpu", name, "--json", "--all"])
        said.append((code, capsys.readouterr().out))
    assert said[0] == said[1] == said[2]
    assert json.loads(said[0][1])["targets"][0]["supposed"]["gpu"] == {"before": "L4", "after": "RTX 5090"}


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_an_error_is_an_object_where_objects_were_asked_for(bundles, capsys, form):
    assert run(["what-if", "bundles", "--target", "box", "--gpu", "rtx5091", form]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["exit"]["code"] == 2
    assert told["error"]["message"] == "compat_matrix.yaml has no GPU 'rtx5091'"
    assert "RTX 5090" in told["error"]["hint"]


def test_what_the_second_process_meets_is_said_by_the_first(bundles, monkeypatch, capsys):
    monkeypatch.setattr("promote.cli.what_if_judging._MANY", 2)
    assert run(["what-if", "bundles", "not-there", "--target", "box", "--memory-gib", "8"]) == 3
    assert "not-there is not there" in capsys.readouterr().err


def test_all_rules_are_asked():
    what_if = WhatIf([change(MATRIX.complete(HOSTS[0]), {"driver": "580.95"}, MATRIX)], MATRIX)
    assert len(what_if._answers._asked) == len(RULES)
