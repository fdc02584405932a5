"""The plan is found by the rules: where any choice comes out compatible one is taken, and each other says what is against it."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.cli import plan as page
from promote.core.choices import against, choices, try_all
from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.matrix import bare_runtime
from promote.core.plan import SharedPlan, plan_export, plan_for_all
from promote.core.stages import ExportPlan
from promote.core.verdict import Incompatible, Outcome
from tests.unit.test_matrix import MATRIX
from tests.unit.test_plan import candidate, container

EXPORTER = MATRIX.exporter("torch")
RELEASES = [row.release for row in MATRIX.tables.triton_releases if row.onnxruntime]


def facts(**known):
    return {name: None if value is None else Fact(value, "test") for name, value in known.items()}


TARGETS = st.builds(
    lambda release, device, driver, gpu, memory: Target(
        name="box",
        host=HostFacts(**facts(triton=release, device=device, driver=driver, gpu=gpu, memory_bytes=memory)),
    ),
    st.sampled_from(RELEASES),
    st.sampled_from(["gpu", "cpu"]),
    st.sampled_from([None, "470.57", "560.35", "595.71"]),
    st.sampled_from([None, "T4", "L4", "RTX 5090"]),
    st.sampled_from([None, 2**20, 2**40]),
) | st.sampled_from([row.version for row in MATRIX.tables.onnxruntime]).map(
    lambda version: bare_runtime(MATRIX, f"onnxruntime={version}")
)
RUNS = st.builds(
    lambda size, precision: dataclasses.replace(
        candidate(), facts=ModelFacts(**facts(weights_bytes=size, precision=precision))
    ),
    st.sampled_from([None, 2**10, 2**30]),
    st.sampled_from([None, "fp32", "fp16", "bf16"]),
)


@given(RUNS, TARGETS, st.none() | st.integers(EXPORTER.min_opset, EXPORTER.max_opset))
@settings(max_examples=60, deadline=None)
def test_where_any_choice_is_compatible_one_is_found(run, target, opset):
    precision = run.facts.precision.value if run.facts.precision else "fp32"
    good = [c for c in choices(EXPORTER, precision, opset) if not against(c, run, target, MATRIX)]
    plan = plan_export(run, target, MATRIX, opset=opset)
    if good:
        assert isinstance(plan, ExportPlan)
        assert (plan.opset, plan.ir_version) == (good[0].opset, good[0].ir_version)  # and the fastest of them
    else:
        assert isinstance(plan, Incompatible)
        assert plan.findings[0].outcome is Outcome.BROKEN


def test_every_choice_not_taken_says_what_is_against_it():
    tried = try_all(candidate(), container("24.12"), MATRIX)
    for one in tried:
        assert one.accepted or one.why or one.broken
    newest = tried[0]
    assert (newest.choice.opset, [f.rule for f in newest.broken]) == (22, ["onnx-opset"])
    assert next(one.choice.opset for one in tried if one.accepted) == 21
    converted = [one for one in tried if one.choice.precision == "fp16" and one.choice.format == "onnx"]
    assert "model.half()" in converted[0].why
    assert "trtexec" in tried[-1].why


def test_what_no_choice_cures_is_incompatible_with_all_that_is_said():
    target = container("26.04")
    target = dataclasses.replace(
        target, host=dataclasses.replace(target.host, driver=Fact("470.57", "t"), gpu=Fact("RTX 4090", "t"))
    )
    plan = plan_export(candidate(), target, MATRIX)
    assert isinstance(plan, Incompatible)
    assert "driver-floor" in {f.rule for f in plan.findings if f.outcome is Outcome.BROKEN}
    assert len(plan.findings) > 3


def named(release):
    return dataclasses.replace(container(release), name=release)


def test_one_choice_for_all_is_the_newest_that_all_accept():
    shared = plan_for_all(candidate(), [named("26.04"), named("24.10")], MATRIX)
    (variant,) = shared.variants
    assert (variant.plan.opset, variant.targets) == (21, ("26.04", "24.10"))
    assert shared.plan == variant.plan


def test_where_no_one_choice_serves_all_as_few_as_do_are_named():
    """No two releases of today exclude each other, so one is made that takes nothing below opset 22."""
    from promote.core.choices import Choice, Tried
    from promote.core.plan import _variants

    def said(*opsets):
        return tuple(Tried(Choice(opset=o, ir_version=10, precision="fp32")) for o in opsets)

    plan = ExportPlan(opset=22, ir_version=10)
    tried = {"old": said(19, 18), "new": said(22), "both": said(22, 19)}
    found = list(_variants(dict.fromkeys(tried, plan), tried))
    assert [(v.plan.opset, v.targets) for v in found] == [(22, ("new", "both")), (19, ("old",))]


def test_the_table_says_what_is_taken_and_why_not_the_others(capsys):
    shared = plan_for_all(candidate(), [named("26.04"), named("24.12")], MATRIX)
    page._print(shared, "4f2a")
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split() for line in lines if line.startswith("24.12") and "taken" in line] == [
        ["24.12", "onnx,", "opset", "21,", "IR", "version", "10,", "fp32", "taken"]
    ]
    (rejected,) = [line for line in lines if line.startswith("24.12") and "opset 22, IR version 10, fp32" in line]
    assert "rejected" in rejected
    assert "onnx-opset: opset 22, needs opset 21 or lower" in rejected
    assert "for 26.04, 24.12: opset 21, IR version 10, fp32" in said.err
    assert "next: promote model 4f2a --target 24.12 --opset 21" in said.err


@pytest.mark.parametrize("release", ["31.01", "26.10"])
def test_a_target_that_is_not_known_is_told_beside_the_others(release):
    shared = plan_for_all(candidate(), [named("26.04"), named(release)], MATRIX)
    assert isinstance(shared, SharedPlan)
    assert list(shared.refused) == [release]
    assert shared.targets == ("26.04",)


@pytest.mark.parametrize(
    ("gpu", "told"),
    [
        ("T4", "BFLOAT16 without hardware, needs hardware of compute capability 7.5"),
        ("L4", "box has hardware for it: data types at compute capability 8.9"),
    ],
)
def test_of_another_precision_the_table_says_whether_the_gpu_has_the_hardware(gpu, told):
    box = Target(name="box", host=HostFacts(**facts(device="gpu", triton="26.04", gpu=gpu)))
    (bf16,) = [one for one in try_all(candidate(), box, MATRIX) if one.choice.precision == "bf16"]
    assert bf16.why.endswith(told)
    assert not bf16.accepted
